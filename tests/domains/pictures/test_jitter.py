"""Views of pictures."""

import sys

import pytest
import torch

from tellapart import InputError, reading
from tellapart.domains.pictures import jitter, jitter_for, kind_of


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


def photographs(n):
    """Smooth shades that reach the border, brightest at the left."""
    slope = torch.linspace(150, 90, 16).expand(n, 3, 16, 16)
    return (slope + torch.arange(n)[:, None, None, None] % 7).to(torch.uint8)


def notes_of(pictures, kind="auto", strength=0.2):
    with reading.accounted("skip") as account:
        change = jitter_for(kind_of(pictures, kind), 16, strength)
    return change, " ".join(account.notes)


def test_drawings_on_white_and_photographs_are_told_apart_and_it_is_said():
    drawings = torch.full((600, 3, 16, 16), 255, dtype=torch.uint8)
    drawings[:, :, 5:11, 5:11] = 30
    for mostly, rarely, kind in ((drawings, photographs(200), "drawing"), (photographs(600), drawings[:200], "photog")):
        change, said = notes_of(torch.cat([rarely, mostly]))
        assert f"a little as a {kind}" in said
        torch.manual_seed(1)
        changed = change(mostly[:8])
        torch.manual_seed(1)
        by_name = {"drawing": lambda x: jitter(x, 0.2), "photog": notes_of(mostly, "photograph")[0]}
        assert torch.equal(changed, by_name[kind](mostly[:8]))
    assert notes_of(drawings, "drawing")[1] == ""


def test_photographs_get_no_pixel_that_is_not_theirs_and_are_not_mirrored():
    pictures = photographs(200)
    torch.manual_seed(0)
    changed = notes_of(pictures, strength=0.2)[0](pictures)
    assert changed.dtype == torch.uint8
    assert changed.shape == pictures.shape
    assert changed.min() > 40  # neither black nor white comes in at the border
    assert changed.max() < 240
    rows = changed.double().mean(dim=(1, 2))
    assert (rows[:, 0] > rows[:, -1]).all()  # bright on the left, as before
    spread = rows.mean(dim=1) / pictures.double().mean(dim=(1, 2, 3))
    assert 0.1 < spread.std() < 0.25
    assert spread.min() > 0.6
    assert spread.max() < 1.4


def test_without_strength_photographs_stay_and_kornia_is_not_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "kornia", None)
    pictures = photographs(4)
    assert torch.equal(jitter_for("photograph", 16, 0.0)(pictures), pictures)
    with pytest.raises(InputError, match=r"pip install 'tellapart\[views\]'"):
        jitter_for(kind_of(pictures), 16, 0.1)
