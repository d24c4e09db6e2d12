"""Views and their points: whatever the warps, a point and its place show the same thing."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart.domains.pixels import Sampler, Shown, Video, recoloured
from tellapart.domains.pixels.encoder import STRIDE
from tellapart.domains.pixels.flow import sampled
from tellapart.domains.pixels.views import chosen
from tellapart.systems.pixels import Config
from tests.tiny.pixels import PIXEL_OPTIONS, moving_frames


def sampler(frames=None, **options):
    frames = moving_frames(height=96, width=120) if frames is None else frames
    return Sampler([Video("x", frames)], Config(**PIXEL_OPTIONS | {"data": "x"} | options))


@pytest.mark.parametrize("counterpart", ["flow", "still"])
@pytest.mark.parametrize("seed", range(3))
def test_a_point_and_its_place_show_the_same(counterpart, seed, monkeypatch):
    monkeypatch.setattr("tellapart.domains.pixels.sampling.recoloured", lambda views: views)
    torch.manual_seed(seed)
    views = sampler(counterpart=counterpart).draw(Shown(torch.zeros(4, dtype=torch.long), torch.tensor([0, 5, 12, 19])))
    assert len(views.points) > 80
    apart, by_chance = [], []
    for pair in range(4):
        mine = views.pair == pair
        one, other = (
            sampled(view[pair].permute(1, 2, 0).float().numpy(), at[mine].numpy())
            for view, at in ((views.first, views.points), (views.second, views.places))
        )
        apart.append(np.abs(one - other).mean())
        by_chance.append(np.abs(one - other[::-1]).mean())
    assert np.mean(apart) < 6 < 30 < np.mean(by_chance)


@given(
    moves=st.lists(st.sampled_from([0.0, 0.6, 1.5, 40.0]), max_size=60),
    queries=st.integers(1, 40),
    moving=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
)
def test_points_that_move_against_the_frame_are_taken_first_up_to_their_share(moves, queries, moving):
    known = np.arange(100, 100 + len(moves))
    shift = np.array([[move + 7.0, -3.0] for move in moves]).reshape(-1, 2)
    kept = chosen(known, shift, Config(data="x", queries=queries, moving=moving))
    assert len(kept) == min(queries, len(moves))
    assert len(set(kept.tolist())) == len(kept)
    against = known[np.abs(np.array(moves) - np.median(moves)) > 1] if moves else known
    wanted = min(round(moving * queries), len(against))
    assert kept[:wanted].tolist() == against[:wanted].tolist()
    assert kept[wanted:].tolist() == [number for number in known if number not in kept[:wanted]][: len(kept) - wanted]


def test_more_points_are_on_a_small_thing_that_moves():
    frames = np.repeat(moving_frames(1, height=96, width=120), 4, axis=0)
    for number in range(4):  # 22 of 120 × 96 pixels' width and height
        frames[number, 40:62, 30 + 6 * number : 52 + 6 * number] = moving_frames(1, 22, 22, seed=1)[0][..., ::-1]
    shares = []
    for moving in (0.0, 0.5):
        torch.manual_seed(0)
        made = sampler(frames, gap=1, hop=1, moving=moving, stretch=1.0, turn=0.0)
        views = made.draw(Shown(torch.zeros(60, dtype=torch.long), torch.arange(60) % 4))
        shift = views.places - views.points
        # Without turning and stretching, all points of a pair but those that move are shifted alike.
        still = torch.stack([shift[views.pair == pair].median(dim=0).values for pair in range(60)])[views.pair]
        shares.append(((shift - still).norm(dim=1) > 3).float().mean())
    assert 0 < 1.5 * shares[0] < shares[1] <= 0.5


def test_position_alone_does_not_answer():
    """On a fixed camera the same place would: views are cut and turned each by itself."""
    torch.manual_seed(0)
    still = np.repeat(moving_frames(1, height=96, width=120), 8, axis=0)
    views = sampler(still).draw(Shown(torch.zeros(8, dtype=torch.long), torch.arange(8)))
    moved = (views.points - views.places).norm(dim=1)
    assert moved.median() > 2 * STRIDE


def test_where_flow_leads_nowhere_the_frame_is_taken_twice():
    noise = np.random.default_rng(0).integers(0, 256, (6, 96, 120, 3)).astype(np.uint8)
    torch.manual_seed(0)
    views = sampler(noise, gap=5, hop=1).draw(Shown(torch.zeros(2, dtype=torch.long), torch.tensor([0, 3])))
    assert set(views.pair.tolist()) == {0, 1}


def test_frames_are_counted_over_all_videos():
    two = Sampler([Video("a", moving_frames(3)), Video("b", moving_frames(4))], Config(**PIXEL_OPTIONS, data="x"))
    shown = two.frames(torch.tensor([0, 2, 3, 6]))
    assert (shown.video.tolist(), shown.frame.tolist()) == ([0, 0, 1, 1], [0, 2, 0, 3])


@pytest.mark.parametrize(("frame", "n"), [(0, 9), (4, 9), (8, 9), (0, 2)])
def test_the_other_frame_is_another_one_of_the_video_and_not_farther_than_the_gap(frame, n):
    made = sampler(gap=3)
    torch.manual_seed(0)
    found = {made._other(frame, n) for _ in range(200)}
    assert found == {x for x in range(n) if 0 < abs(x - frame) <= 3}


def test_the_cells_of_positives_and_near_cells_are_those_of_the_own_second_view():
    torch.manual_seed(1)
    views = sampler().draw(Shown(torch.zeros(3, dtype=torch.long), torch.tensor([2, 9, 15])))
    rows = cols = 12
    n, m = len(views.pair), 3 * rows * cols
    weights = views.positives(rows, cols).tile(slice(0, n), slice(0, m))
    near = views.near(rows, cols, 3.0).tile(slice(0, n), slice(0, m))
    torch.testing.assert_close(weights.sum(1), torch.ones(n), rtol=1e-5, atol=1e-5)
    cell = torch.arange(m) % (rows * cols)
    centres = STRIDE * torch.stack([cell % cols, cell // cols], dim=1).float()
    own = torch.arange(m) // (rows * cols) == views.pair[:, None]
    assert torch.equal(near, own & (torch.cdist(views.places, centres) <= 3 * STRIDE))
    # The mean of the four centres is the place.
    assert (weights @ centres - views.places.clamp(max=STRIDE * (cols - 1))).abs().max() < 1e-3
    assert not (weights > 0)[~own].any()


def test_recolouring_changes_views_and_not_their_layout():
    torch.manual_seed(0)
    frames = torch.from_numpy(moving_frames(16)).permute(0, 3, 1, 2)
    made = recoloured(frames)
    assert made.shape == frames.shape
    assert made.dtype == torch.uint8
    grey = (made.float().std(dim=1).mean(dim=(1, 2)) < 15).float().mean()
    assert 0 < grey < 1
    assert not torch.equal(made, frames)
