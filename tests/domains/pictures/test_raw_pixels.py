"""Raw pixels as a baseline: as they are if they are few, averaged and said so if they are many."""

import math

import pytest
import torch

from tellapart.domains.pictures.raw_pixels import RawPixels


def shape(n, channels, side):
    return torch.Size([n, channels, side, side])


def test_few_small_pictures_are_taken_as_they_are():
    pictures = torch.randint(256, (300, 3, 6, 6), dtype=torch.uint8)
    raw = RawPixels.within_bounds(pictures.shape, 200, 100)
    found = raw(pictures)
    assert torch.equal(found.float(), pictures.float().flatten(1))
    assert found.dtype == torch.float16  # half of float32's memory, and exact for bytes
    assert raw.notes() == []


def test_views_of_pictures_keep_their_precision():
    views = torch.rand(3, 1, 6, 6)
    assert torch.equal(RawPixels(6, False)(views), views.flatten(1))


def test_averaged_pictures_are_means_of_equal_patches_and_the_note_says_how_many():
    pictures = torch.randint(256, (5, 3, 12, 12), dtype=torch.uint8)
    found = RawPixels(4, True)(pictures)
    patches = pictures.double().reshape(5, 3, 4, 3, 4, 3).mean(dim=(3, 5)) / 255
    assert torch.allclose(found.double(), patches.flatten(1), atol=1e-6)
    assert RawPixels(4, True).notes() == ["Raw pixels: pictures averaged to 4 × 4, to bound memory and time."]


@pytest.mark.parametrize("n_known", [2, 60_000])
@pytest.mark.parametrize("n_asked", [2, 10_000, 40_000])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [28, 224, 1024])
def test_no_number_of_pictures_takes_more_than_a_gibibyte(n_known, n_asked, channels, side):
    raw = RawPixels.within_bounds(shape(n_asked, channels, side), n_known, n_asked)
    width = channels * raw.side**2
    # In float32 and, for a probe, all that is known in float64, which it takes of few.
    assert width * (4 * (n_known + n_asked) + 8 * n_known) <= 2**30
    assert width * n_known * n_asked <= 2**40
    assert raw.is_averaged == (raw.side < side)
    assert width <= 2**14
    wider = channels * (raw.side + 1) ** 2
    shares = wider * (n_known + n_asked) / 2**26, wider * n_known * n_asked / 2**40, wider / 2**14
    assert raw.side == side or max(shares) > 1
    assert math.isfinite(raw.side)
