"""Figures of the report that depend on how much there is to show."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from tellapart.report.colours import ON_DARK, palette
from tellapart.report.figures import accuracy_curve, label_map, loss_curve
from tellapart.report.images import as_source, sheet
from tellapart.report.page import _figures
from tellapart.runs import THUMBNAIL, thumbnails


@pytest.mark.parametrize(("n", "colours"), [(1, 1), (7, 7), (8, 8), (22, 22), (24, 24), (25, 24), (60, 24)])
def test_each_label_of_a_map_has_its_own_colour_and_all_items_are_shown(n, colours):
    figure = label_map(np.zeros((2 * n, 2)), [str(row % n) for row in range(2 * n)], "place")
    assert len({trace.marker.color for trace in figure.data}) == len(figure.data) == colours
    assert sum(len(trace.x) for trace in figure.data) == 2 * n
    assert (figure.data[-1].name == f"{n - 23} other labels") == (n > 24)


def test_colours_are_far_apart_on_light_and_dark_and_neither_faint():
    """In OKLab, where 0.02 is a difference that is just seen."""
    for of in (palette(24), [ON_DARK[colour] for colour in palette(24)]):
        lab = np.array([oklab(colour) for colour in of])
        apart = np.linalg.norm(lab[:, None] - lab, axis=2) + np.eye(24)
        assert apart.min() > 0.04
    assert max(oklab(colour)[0] for colour in palette(24)) < 0.75
    assert min(oklab(ON_DARK[colour])[0] for colour in palette(24)) > 0.55


def oklab(colour):
    """Lightness and two axes of hue, by Ottosson's matrices."""
    encoded = np.array(list(bytes.fromhex(colour[1:]))) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    axes = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return axes @ np.cbrt(cones @ linear)


@pytest.mark.parametrize(("side", "most", "kept"), [(8, 3_000, True), (64, 30_000, False), (64, 3_000, False)])
def test_pictures_on_a_page_keep_to_their_room(side, most, kept):
    """Noise is the hardest to pack; what fits is kept without loss."""
    noise = np.random.default_rng(0).integers(0, 256, (side, 12 * side, 3), dtype=np.uint8)
    data = base64.b64decode(as_source(Image.fromarray(noise), most).removeprefix("data:image/webp;base64,"))
    assert len(data) <= most
    with Image.open(io.BytesIO(data)) as picture:
        same = picture.size == (12 * side, side) and (np.array(picture.convert("RGB")) == noise).all()
    assert same == kept


def test_a_sheet_holds_each_thumbnail_at_its_place():
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0), (0, 200, 200)]
    made = sheet([png(colour, 20 + i) for i, colour in enumerate(colours)], 100_000)
    data = base64.b64decode(made.source.removeprefix("data:image/webp;base64,"))
    with Image.open(io.BytesIO(data)) as picture:
        for i, colour in enumerate(colours):
            at = (THUMBNAIL * (i % made.columns) + 32, THUMBNAIL * (i // made.columns) + 32)
            assert picture.convert("RGB").getpixel(at) == colour


def png(colour, side):
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_thumbnails_of_large_pictures_are_reduced_and_small_ones_kept():
    for side, kept in ((16, 16), (64, 64), (200, 64)):
        pictures = torch.zeros(2, 3, side, side, dtype=torch.uint8)
        first, second = thumbnails(pictures, torch.tensor([True, False]))
        assert second is None
        with Image.open(io.BytesIO(first)) as picture:
            assert picture.size == (kept, kept)


@pytest.mark.parametrize(("known", "drawn"), [(0, False), (10, False), (11, True), (20, True)])
def test_a_bound_that_few_steps_have_is_not_drawn(known, drawn):
    log = [{"step": step, "loss": 1.0, "n_candidates": 8.0} for step in range(1, 21)]
    for entry in log[:known]:
        entry |= {"mi_bound": 0.5, "mi_ceiling": 2.0}
    assert ("information" in _figures(log)) is drawn


@pytest.mark.parametrize(("draw", "name"), [(loss_curve, "loss"), (accuracy_curve, "accuracy")])
def test_what_was_measured_on_held_out_rows_is_a_line_beside_that_of_training(draw, name):
    log = [{"step": step, "loss": 1.0, "accuracy": 0.5, "n_candidates": 8.0} for step in range(1, 21)]
    before = [trace.name for trace in draw(log).data]
    for entry in log[9::10]:
        entry |= {f"held_out_{name}": entry["step"] / 100, "held_out_n_candidates": 6.0}
    after = {trace.name: trace for trace in draw(log).data}
    assert set(after) - set(before) == {"held out, K + 1 = 6"}
    line = after["held out, K + 1 = 6"]
    assert (list(line.x), list(line.y)) == ([10, 20], [0.1, 0.2])
    colours = [trace.line.color for trace in after.values()]
    assert len(set(colours)) == len(colours)
