"""Patches: cut where they are said to be, turned from the larger field, and telling nothing of their angle."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch
from scipy.ndimage import gaussian_filter, map_coordinates

from tellapart.domains.micrographs import (
    Blocks,
    Cutter,
    Micrograph,
    MicrographOptions,
    Places,
    Region,
    TextureNet,
    cut_twice,
    disc,
    standardised,
    varied,
)
from tellapart.domains.micrographs.patches import _blurred, _mirrored
from tellapart.evaluation import linear_probe


def field(height=90, width=120, seed=0, name="a"):
    made = gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), 1.5)
    return Micrograph(name, (10_000 + 30_000 * made).astype(np.uint16 if made.min() > 1 else np.float32), name)


def whole(made, scale=1.0):
    return Region(made, 0, made.pixels.shape[1], scale)


def cutter(*fields, **options):
    return Cutter([whole(made) for made in fields], MicrographOptions(**{"patch": 32} | options))


def places(*shares, region=None):
    return Places(torch.tensor(region or [0] * len(shares)), torch.tensor(shares, dtype=torch.float64).reshape(-1, 2))


def test_a_patch_is_the_field_at_its_place_standardised_within_the_disc():
    made = field()
    cut = cutter(made)
    found = cut.cut(cut.windows(places((0.0, 0.0), (1.0, 1.0), (0.5, 0.25))), torch.zeros(3))
    inside = disc(32).bool().numpy()
    for patch, (y, x) in zip(found.numpy(), [(0, 0), (58, 88), (29, 22)], strict=True):
        expected = made.pixels[y : y + 32, x : x + 32].astype(float)
        expected = (expected - expected[inside].mean()) / expected[inside].std()
        np.testing.assert_allclose(patch, np.where(inside, expected, 0), atol=2e-3)
    assert cut.corners(places((0.0, 0.0), (1.0, 1.0), (0.5, 0.25))).tolist() == [[0, 0], [88, 58], [22, 29]]


def test_a_turned_patch_is_cut_from_the_field_around_it():
    """Against SciPy's splines at the turned places, some of which lie beyond the square."""
    made = field()
    cut = cutter(made)
    for degrees in (30, 45, 200):
        angle = math.radians(degrees)
        found = cut.cut(cut.windows(places((0.5, 0.5))), torch.tensor([angle]))[0].numpy()
        y, x = np.indices((32, 32)) - 15.5
        down, right = math.sin(angle) * x + math.cos(angle) * y, math.cos(angle) * x - math.sin(angle) * y
        at = map_coordinates(made.pixels.astype(float), [29 + 15.5 + down, 44 + 15.5 + right], order=3)
        inside = disc(32).bool().numpy()
        expected = np.where(inside, (at - at[inside].mean()) / at[inside].std(), 0)
        assert np.abs(found - expected).max() < 0.1


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_quarter_turn_moves_pixels_and_changes_none(quarters):
    cut = cutter(field())
    windows = cut.windows(places((0.3, 0.6), (0.9, 0.1)))
    upright, turned = (cut.cut(windows, torch.full((2,), angle)) for angle in (0.0, quarters * math.pi / 2))
    torch.testing.assert_close(turned, upright.rot90(quarters, (1, 2)), rtol=0, atol=1e-4)


def angle_told(aperture):
    """How well a linear probe of an untrained network's features tells +22.5° from -22.5°, which mirror each other."""
    n, side = 300, 32
    cut = cutter(*(field(side, side, seed=i, name=str(i)) for i in range(n)), aperture=aperture)
    windows = cut.windows(places(*[(0.5, 0.5)] * n, region=list(range(n))))
    sign = torch.arange(n) % 2
    patches = cut.cut(windows, (2 * sign - 1) * math.pi / 8)
    torch.manual_seed(0)
    with torch.no_grad():
        features = TextureNet(cut.mask, width=8).eval()(patches)
    features = (features - features.mean(0)) / features.std(0)
    told = linear_probe(features[:200], sign[:200], features[200:]).labels
    return (told == sign[200:]).double().mean().item()


def test_black_corners_tell_the_angle_and_the_disc_hides_it():
    """Of fields with no direction of their own: within a square a probe tells which way they were turned."""
    assert angle_told("square") > 0.95
    assert angle_told("disc") < 0.65


def test_a_square_has_the_darkest_value_in_its_corners():
    cut = cutter(field(), aperture="square")
    patch = cut.cut(cut.windows(places((0.5, 0.5))), torch.tensor([math.pi / 4]))[0]
    assert patch[0, 0] == pytest.approx(patch[31, 31].item(), abs=1e-3)
    assert patch[0, 0] <= patch[8:24, 8:24].min() + 1e-3


def test_the_disc_is_round_and_unchanged_by_quarter_turns():
    mask = disc(64)
    assert mask.mean().item() == pytest.approx(math.pi / 4, abs=0.01)
    assert torch.equal(mask, mask.rot90())
    assert mask[0, 31] == mask[31, 0] == 1


def test_what_is_flat_becomes_0_and_is_never_not_finite():
    flat = torch.full((2, 32, 32), 4e4)
    flat[1, 0, 0] = 7  # beyond the disc
    assert torch.equal(standardised(flat, disc(32)), torch.zeros(2, 32, 32))
    cut = cutter(field())
    assert varied(torch.zeros(2, 40, 40), 1.0).isfinite().all()
    assert cut.cut(varied(flat.repeat(1, 2, 2)[:, :40, :40], 3.0), torch.zeros(2)).isfinite().all()


def test_a_region_shows_nothing_of_its_neighbour():
    """What is held out lies beside what is trained on: changing it changes no window of the other part."""
    made = field()
    changed = Micrograph("a", made.pixels.copy(), "a")
    changed.pixels[:, 60:] = 0
    shares = [(0.0, 1.0), (1.0, 1.0), (0.4, 0.9)]
    found = [
        Cutter([Region(each, 0, 60, 1.0)], MicrographOptions(patch=32)).windows(places(*shares))
        for each in (made, changed)
    ]
    assert torch.equal(*found)


def test_windows_of_a_mapped_field_are_those_of_one_in_memory(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 2**16, (200, 150), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", byteorder=">")
    mapped = tifffile.memmap(tmp_path / "a.tif", mode="r")
    shares = places((0.0, 0.0), (0.7, 0.2), (1.0, 1.0))
    of = [cutter(Micrograph("a", each, "a")).windows(shares) for each in (pixels, mapped)]
    assert torch.equal(*of)


def test_pixels_of_half_the_size_are_brought_to_the_size_of_the_others():
    """A field with twice the pixels across shows the same patch as the one that it was enlarged from."""
    small = field(64, 64).pixels.astype(np.float32)
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    options, at = MicrographOptions(patch=32), places((0.25, 0.5), (1.0, 0.0))
    made = Cutter([Region(Micrograph("l", large, "l"), 0, 128, 2.0)], options)
    reference = Cutter([whole(Micrograph("s", small, "s"))], options)
    of = [each.cut(each.windows(at), torch.zeros(2)) for each in (made, reference)]
    assert (of[0] - of[1]).abs().mean() < 0.15
    assert made.corners(at).tolist() == [[2 * x, 2 * y] for x, y in reference.corners(at).tolist()]


def test_mirrored_indices_are_those_of_numpy():
    for start, n, size in ((-7, 20, 9), (3, 40, 5), (0, 4, 4), (-2, 5, 1)):
        # A line, padded far enough on both sides.
        line = np.pad(np.arange(size), 60, mode="reflect") if size > 1 else np.zeros(121, dtype=int)
        assert _mirrored(start + 10, n, 10, 10 + size).tolist() == (10 + line[60 + start : 60 + start + n]).tolist()


def test_focus_is_a_gaussian_blur_of_each_window():
    windows = torch.randn(3, 40, 40)
    sigma = torch.tensor([0.0, 0.5, 0.9])
    found = _blurred(windows, sigma)
    torch.testing.assert_close(found[0], windows[0])
    for window, blurred, s in list(zip(windows, found, sigma.tolist(), strict=True))[1:]:
        expected = gaussian_filter(window.double().numpy(), s, mode="mirror", radius=3)
        np.testing.assert_allclose(blurred.numpy(), expected, atol=1e-4)


def test_variation_differs_between_patches_and_keeps_what_they_show():
    torch.manual_seed(0)
    cut = cutter(field())
    windows = cut.windows(places(*[(0.5, 0.5)] * 16))
    made = varied(windows, 1.0)
    assert len({round(x, 4) for x in (made - made[0]).abs().mean((1, 2)).tolist()}) == 16
    plain = cut.cut(windows, torch.zeros(16))
    likeness = torch.cosine_similarity(cut.cut(made, torch.zeros(16)).flatten(1), plain.flatten(1))
    assert 0.7 < likeness.min() < likeness.max() < 0.9999


def blocks(options, n=24):
    """Places of two specimens, the second of which has two fields."""
    made = Cutter([whole(field(seed=i, name=str(i))) for i in range(3)], options)
    region = torch.arange(n) % 3
    return Blocks(made, torch.tensor([0, 1, 1]), region, torch.zeros(n, 2).double(), torch.ones(n, 2).double())


def test_a_counterpart_is_from_elsewhere_on_the_same_specimen(monkeypatch):
    """What was read is noted: the first n places, then their counterparts."""
    options, read = MicrographOptions(patch=32), []
    given = blocks(options)
    monkeypatch.setattr(Cutter, "windows", lambda _, at: (read.append(at), torch.randn(len(at.region), 40, 40))[1])
    torch.manual_seed(0)
    cut = cut_twice(given, options)
    first, second = read
    assert torch.equal(cut.specimen, given.specimen[torch.cat([first.region, second.region])])
    assert torch.equal(cut.specimen[:24], cut.specimen[24:])
    far = (given.cutter.middles(first) - given.cutter.middles(second)).norm(dim=1)
    alone = first.region == 0
    assert (second.region[alone] == 0).all()
    assert far[alone].min() > 12
    assert (first.region[~alone] != second.region[~alone]).double().mean() > 0.8


def test_paired_with_itself_and_not_turned_both_are_the_same_patch():
    options = MicrographOptions(patch=32, counterpart="itself", turn=False, variation=0.0)
    patches = cut_twice(blocks(options), options).patches
    assert torch.equal(patches[:24], patches[24:])
    turned = cut_twice(blocks(options), SimpleNamespace(**{**vars(options), "turn": True})).patches
    assert not torch.allclose(turned[:24], turned[24:], atol=0.1)
