"""SimCLR's views: each part does what it says, to each picture on its own, and a seed decides all."""

import sys

import pytest
import torch

from tellapart import InputError
from tellapart.domains.pictures import Augment

OFF = {"crop": (1.0, 1.0), "flip": 0.0, "jitter": 0.0, "grey": 0.0, "blur": 0.0}
ALL = {"crop": (0.08, 1.0), "flip": 0.5, "jitter": 1.0, "grey": 0.2, "blur": 0.5}


def random_pictures(n=8, channels=3, size=12):
    return torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8)


def near(share, chance, n):
    """Whether a share of n independent draws lies within four deviations of its expectation."""
    return abs(share - chance) <= 4 * (chance * (1 - chance) / n) ** 0.5


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [10, 12, 17])
def test_views_have_their_size_and_lie_between_0_and_1(channels, side):
    views = Augment(12, channels, **ALL)(random_pictures(5, channels, side), n_views=3)
    assert len(views) == 3
    for view in views:
        assert view.shape == (5, channels, 12, 12)
        assert view.dtype == torch.float32
        assert 0 <= view.min() < view.max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_a_step_of_the_generator_decides_all_for_bytes_and_shares_alike(channels):
    pictures = random_pictures(channels=channels)
    augment = Augment(12, channels, **ALL)
    torch.manual_seed(3)
    first = torch.cat(augment(pictures))
    torch.manual_seed(3)
    assert torch.equal(torch.cat(Augment(12, channels, **ALL)(pictures)), first)
    torch.manual_seed(3)
    assert torch.equal(torch.cat(augment(pictures.float() / 255)), first)
    assert not torch.equal(torch.cat(augment(pictures)), first)


@pytest.mark.parametrize("only", ["crop", "flip", "jitter", "grey", "blur"])
def test_every_view_of_every_picture_has_its_own_randomness(only):
    torch.manual_seed(0)
    picture = random_pictures(1)
    augment = Augment(12, 3, **(OFF | {only: ALL[only]}))
    views = torch.cat(augment(picture.expand(64, -1, -1, -1)))
    distinct = len({view.numpy().tobytes() for view in views})
    assert distinct == 2 if only in ("flip", "grey") else distinct > 32


@pytest.mark.parametrize("channels", [1, 3])
def test_a_view_does_not_depend_on_the_other_pictures_of_the_batch(channels):
    augment = Augment(12, channels, **(ALL | {"blur": 1.0}))
    pictures = random_pictures(channels=channels)
    others = random_pictures(channels=channels)
    others[3] = pictures[3]
    views = []
    for batch in (pictures, others):
        torch.manual_seed(1)
        views.append([view[3] for view in augment(batch)])
    torch.testing.assert_close(views[0], views[1])


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_switched_off_changes_nothing(channels):
    pictures = random_pictures(channels=channels)
    for view in Augment(12, channels, **OFF)(pictures):
        torch.testing.assert_close(view, pictures / 255)


def test_a_certain_flip_mirrors_left_and_right():
    pictures = random_pictures()
    view, _ = Augment(12, 3, **(OFF | {"flip": 1.0}))(pictures)
    torch.testing.assert_close(view, pictures.flip(-1) / 255)


def test_rectangles_have_the_areas_and_ratios_that_were_asked_for():
    """On ramps along x and y, the slopes of a view are the sides of its rectangle."""
    torch.manual_seed(0)
    side, n = 64, 400
    ramp = torch.linspace(0, 1, side).expand(side, side)
    picture = torch.stack([ramp, ramp.T, torch.ones(side, side)])
    views, _ = Augment(side, 3, **(OFF | {"crop": (0.2, 0.6)}))(picture.expand(n, -1, -1, -1))
    width = (views[:, 0, :, -1] - views[:, 0, :, 0]).mean(dim=1)
    height = (views[:, 1, -1] - views[:, 1, 0]).mean(dim=1)
    area, ratio = width * height, width / height
    assert (area > 0.18).all()
    assert (area < 0.62).all()
    assert area.max() - area.min() > 0.35
    assert (ratio > 0.7).all()
    assert (ratio < 1.43).all()
    assert ratio.max() - ratio.min() > 0.5
    assert views[:, 2].min() > 1 - 1e-4  # nothing comes in from outside


def test_brightness_varies_within_the_strength_and_as_often_as_asked():
    """A plain grey picture has no contrast to change: what changes is brightness, by up to 0.8 × 0.5."""
    torch.manual_seed(0)
    n = 2000
    picture = torch.full((n, 1, 4, 4), 0.5)
    view, _ = Augment(4, 1, **(OFF | {"jitter": 0.5}), jitter_chance=0.7)(picture)
    factor = view[:, 0, 0, 0] / 0.5
    assert factor.min() >= 0.6 - 1e-6
    assert factor.max() <= 1.4 + 1e-6
    assert factor.max() - factor.min() > 0.75
    changed = (factor - 1).abs() > 1e-6
    assert near(changed.double().mean().item(), 0.7, n)


def test_contrast_varies_in_grey_pictures_too():
    torch.manual_seed(0)
    picture = torch.full((500, 1, 4, 4), 0.45)
    picture[:, :, :2] = 0.55  # far from 0 and 1, where changes would be cut
    view, _ = Augment(4, 1, **(OFF | {"jitter": 0.5}), jitter_chance=1.0)(picture)
    relative = (view[:, 0, 0, 0] - view[:, 0, 3, 0]) / view.mean(dim=(1, 2, 3)) / 0.2
    assert relative.min() > 0.59
    assert relative.max() < 1.41
    assert relative.max() - relative.min() > 0.6


def test_colours_are_drained_as_often_as_asked():
    torch.manual_seed(0)
    n = 2000
    view, _ = Augment(4, 3, **(OFF | {"grey": 0.2}))(random_pictures(n, size=4))
    drained = (view == view[:, :1]).all(dim=3).all(dim=2).all(dim=1)
    assert near(drained.double().mean().item(), 0.2, n)


def test_blur_takes_away_the_detail_of_as_many_pictures_as_asked_and_keeps_their_mean():
    torch.manual_seed(0)
    n = 1000
    pictures = random_pictures(n, 1, 30).float() / 255
    view, _ = Augment(30, 1, **(OFF | {"blur": 0.5}))(pictures)
    change = view.std(dim=(1, 2, 3)) / pictures.std(dim=(1, 2, 3))
    # A deviation of 0.1 pixels, which some draws come near, changes nothing.
    assert 0.42 < (change < 0.99).double().mean() < 0.56
    assert change.min() < 0.45
    torch.testing.assert_close(view.mean(dim=(1, 2, 3)), pictures.mean(dim=(1, 2, 3)), atol=0.02, rtol=0)


def test_it_adds_nothing_to_a_checkpoint():
    assert not Augment(12, 3, **ALL).state_dict()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", 1),
        ("channels", 2),
        ("crop", (0.0, 1.0)),
        ("crop", (0.9, 0.5)),
        ("crop", (0.5, 1.5)),
        ("flip", -0.1),
        ("jitter", 2.0),
        ("jitter", float("nan")),
        ("jitter_chance", 1.1),
        ("grey", 2.0),
        ("blur", -1.0),
    ],
)
def test_an_argument_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must"):
        Augment(**({"size": 8, "channels": 3} | {name: value}))


def test_pictures_of_other_channels_are_refused():
    with pytest.raises(ValueError, match=r"`pictures` must be \(n, 1, h, w\)\. Got \(8, 3, 12, 12\)"):
        Augment(12, 1)(random_pictures())


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "kornia", None)
    with pytest.raises(InputError, match=r"the package kornia is missing\. pip install 'tellapart\[views\]'"):
        Augment(8, 3)
