"""Flow and its chains, on a texture whose motion is known."""

import cv2
import numpy as np
import pytest

from tellapart.domains.pixels import Flows, Video, dis_flow, sampled
from tellapart.domains.pixels.flow import inside, pixels
from tests.tiny.pixels import moving_frames

MIDDLE = pixels(64, 80)[20:50:5, 25:60:5].reshape(-1, 2)


def test_flow_finds_a_known_motion():
    a, b = moving_frames(4)[[0, 2]]
    assert np.abs(sampled(dis_flow(a, b), MIDDLE) - (-2, -1)).max() < 0.3


@pytest.mark.parametrize("hop", [1, 3, 20])
@pytest.mark.parametrize(("a", "b"), [(0, 8), (8, 0), (3, 3), (0, 7)])
def test_points_followed_over_any_hops_are_where_the_motion_takes_them(hop, a, b):
    flows = Flows(Video("x", moving_frames(9)), hop)
    places, reliable = flows.follow(a, b, MIDDLE)
    expected = MIDDLE + np.array([a - b, a // 2 - b // 2])
    assert reliable.mean() > 0.9
    assert np.abs(places - expected)[reliable].max() < 1


def test_points_that_leave_the_frame_or_come_back_elsewhere_cannot_be_relied_on():
    frames = moving_frames(12)
    leaving = np.array([[2.0, 30.0], [40.0, 30.0], [-1.0, 30.0]], np.float32)
    assert Flows(Video("x", frames), 2).follow(0, 11, leaving).reliable.tolist() == [False, True, False]
    noise = np.random.default_rng(0).integers(0, 256, frames.shape).astype(np.uint8)
    assert Flows(Video("x", noise), 1).follow(0, 6, MIDDLE).reliable.mean() < 0.3


def test_flow_has_the_same_bits_for_any_number_of_threads():
    """What training resumes from is made anew, perhaps on another machine."""
    a, b = (np.kron(frame, np.ones((4, 4, 1), np.uint8)) for frame in moving_frames(8)[[0, 7]])
    before = cv2.getNumThreads()
    try:
        found = []
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            found.append(dis_flow(a, b))
    finally:
        cv2.setNumThreads(before)
    assert np.array_equal(*found)


def test_a_field_is_read_between_its_pixels_and_at_its_edge():
    field = pixels(5, 6)
    points = np.array([[0.25, 3.5], [5.0, 4.0], [-3.0, 9.0]], np.float32)
    assert sampled(field, points).tolist() == [[0.25, 3.5], [5.0, 4.0], [0.0, 4.0]]
    many = np.random.default_rng(0).uniform(0, 4, (40_000, 2)).astype(np.float32)
    assert np.abs(sampled(field, many) - many).max() < 1 / 32
    assert inside(points, 5, 6).tolist() == [True, True, False]
