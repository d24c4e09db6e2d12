"""The encoder of textures: mean and deviation over the aperture, whatever is beyond it and wherever things are."""

import pytest
import torch

from tellapart.domains.micrographs import TextureNet, disc, radial_spectrum


def net(mask, width=4):
    torch.manual_seed(0)
    return TextureNet(mask, width).eval()


def test_features_are_means_and_deviations_of_each_scale_in_loops():
    mask = disc(32)
    made = net(mask)
    patches = torch.randn(3, 32, 32, dtype=torch.float64) * mask
    made = made.double()
    with torch.no_grad():
        found = made(patches)
        expected, maps, shares = [], patches[:, None], mask.double()[None, None]
        for scale, layer in enumerate(made.scales):
            if scale:
                maps, shares = (torch.nn.functional.avg_pool2d(x, 2) for x in (maps, shares))
            maps = layer(maps)
            weights = shares[0, 0] / shares.sum()
            means = torch.stack([(channel * weights).sum() for patch in maps for channel in patch])
            squares = [((c - m) ** 2 * weights).sum() for c, m in zip(maps.flatten(0, 1), means, strict=True)]
            expected += [means.view(3, -1), (torch.stack(squares).view(3, -1) + 1e-4).sqrt()]
    torch.testing.assert_close(found, torch.cat(expected, dim=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_it_works_in_other_number_formats(dtype):
    patches = torch.randn(2, 32, 32) * disc(32)
    made = net(disc(32))
    with torch.no_grad():
        expected, found = made(patches), made.to(dtype)(patches)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.05)


def test_a_texture_that_is_moved_round_within_a_periodic_field_changes_little():
    torch.manual_seed(1)
    field = torch.randn(1, 64, 64)
    with torch.no_grad():
        made = net(torch.ones(64, 64))
        here, there, other = (made(x) for x in (field, field.roll((20, 9), (1, 2)), torch.rand(1, 64, 64)))
    assert (here - there).norm() < 0.2 * (here - other).norm()


def test_the_radial_spectrum_is_unchanged_by_quarter_turns_and_tells_periods():
    x = torch.arange(64.0)
    stripes = torch.stack([torch.sin(2 * torch.pi * x / period).expand(64, 64) for period in (4, 8, 16)])
    spectrum = radial_spectrum(stripes)
    torch.testing.assert_close(radial_spectrum(stripes.rot90(1, (1, 2))), spectrum, rtol=0, atol=1e-4)
    assert (spectrum.argmax(dim=1) + 1).tolist() == [16, 8, 4]
