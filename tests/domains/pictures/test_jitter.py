"""Views of pictures."""

import torch

from tellapart.domains.pictures import jitter


def test_no_strength_changes_nothing():
    pictures = torch.randint(0, 256, (4, 3, 9, 9), dtype=torch.uint8)
    assert torch.equal(jitter(pictures, 0), pictures)


def moments(pictures):
    """Ink, centre (x, y), spread along both axes and their covariance, of each picture."""
    ink = (255.0 - pictures[:, 0].double()).clamp(min=0)
    total = ink.sum(dim=(1, 2))
    grid = torch.arange(pictures.shape[-1], dtype=torch.float64)
    x = (ink.sum(dim=1) * grid).sum(dim=1) / total
    y = (ink.sum(dim=2) * grid).sum(dim=1) / total
    dx, dy = grid[None, None, :] - x[:, None, None], grid[None, :, None] - y[:, None, None]
    xx, yy, xy = ((ink * product).sum(dim=(1, 2)) / total for product in (dx * dx, dy * dy, dx * dy))
    return total, x, y, xx, yy, xy


def test_it_moves_turns_scales_and_fades_each_picture_by_up_to_the_strength():
    """A bar of ink: its weight, centre, size and tilt all vary, and within what the strength allows."""
    strength, side = 0.15, 48
    pictures = torch.full((300, 3, side, side), 255, dtype=torch.uint8)
    pictures[:, :, 20:28, 14:34] = 55  # 20 wide, 8 high, 200 of ink
    torch.manual_seed(0)
    moved = jitter(pictures, strength)
    assert moved.dtype == torch.uint8
    total, x, y, xx, yy, xy = moments(moved)
    tilt = 0.5 * torch.atan2(2 * xy, xx - yy)
    for value, low, high in (
        (x, 23.5 - strength * side * 1.3, 23.5 + strength * side * 1.3),
        (y, 23.5 - strength * side * 1.3, 23.5 + strength * side * 1.3),
        (tilt, -strength - 0.02, strength + 0.02),
        ((xx + yy) / (20**2 + 8**2) * 12, 0.9 / (1 + strength) ** 2, 1.1 / (1 - strength) ** 2),
        (total / (200 * 160), 0.9 * (1 - strength) / (1 + strength) ** 2, 1.1 * (1 + strength) / (1 - strength) ** 2),
    ):
        assert low <= value.min()
        assert value.max() <= high
        assert value.max() - value.min() > 0.4 * (high - low)


def test_a_step_of_the_generator_decides_all():
    pictures = torch.randint(0, 256, (4, 3, 9, 9), dtype=torch.uint8)
    torch.manual_seed(3)
    first = jitter(pictures, 0.2)
    torch.manual_seed(3)
    assert torch.equal(jitter(pictures, 0.2), first)
