"""Views and their points: whatever the warps, a point and its place show the same thing."""

import numpy as np
import pytest
import torch

from tellapart.domains.pixels import Sampler, Shown, Video, recoloured
from tellapart.domains.pixels.encoder import STRIDE
from tellapart.domains.pixels.flow import sampled
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
