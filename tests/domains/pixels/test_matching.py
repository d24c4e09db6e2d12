"""Maps of cells, what is found in them, and matches of whole pictures."""

import numpy as np
import pytest
import torch
from torch.nn.functional import unfold

from tellapart import InputError
from tellapart.domains.pixels import PYRAMID, DenseConv, FourCells, as_cells, find, match, read, seen_at, share_found
from tellapart.domains.pixels.measure import Asked
from tellapart.scores import unit
from tests.tiny.pixels import moving_frames


def colours(frames):
    """An encoder that learned nothing, and tells places of a texture well: the colours of 5 × 5 cells."""
    small = torch.from_numpy(frames[:, ::4, ::4].copy()).permute(0, 3, 1, 2).float()
    around = unfold(small, 5, padding=2)
    return unit((around - around.mean(1, keepdim=True)).mT).mT.unflatten(2, small.shape[2:])


@pytest.mark.parametrize(("height", "width"), [(64, 80), (33, 35), (192, 192)])
def test_the_encoder_takes_any_size_and_a_cell_is_centred_where_it_is_said_to_be(height, width):
    """The gradient of a cell's embedding is symmetric about its centre on an even picture."""
    torch.manual_seed(0)
    encoder = DenseConv(8, 4, 1).eval()
    frames = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8)
    rows, cols = -(-height // 4), -(-width // 4)
    assert encoder(frames).shape == (2, 4, rows, cols)
    picture = torch.full((1, 3, height, width), 99.0, requires_grad=True)
    row, col = rows // 2, cols // 2
    encoder(picture)[0, :, row, col].abs().sum().backward()
    seen = picture.grad[0].abs().sum(0)
    at = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"), -1)[seen > 0]
    middle = (at.amin(0) + at.amax(0)) / 2
    assert middle.tolist() == [4 * row, 4 * col]


def test_a_shifted_picture_gives_a_shifted_map_so_that_place_is_not_seen():
    """videowalk 6 and 27: zeros at the edges tell where a cell is. Beyond the edge's reach nothing does here."""
    torch.manual_seed(0)
    encoder = DenseConv(8, 4, 1).eval()
    flat = torch.full((1, 3, 64, 64), 120, dtype=torch.uint8)
    maps = encoder(flat)
    torch.testing.assert_close(maps, maps[:, :, :1, :1].expand_as(maps))
    wide = torch.from_numpy(moving_frames(1, height=96, width=112)).permute(0, 3, 1, 2)
    one, other = encoder(wide[..., :96, :96])[..., 8:16, 8:16], encoder(wide[..., :96, 8:104])[..., 8:16, 6:14]
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("size", [0.75, 1.5, 2.0])
@pytest.mark.parametrize(("height", "width"), [(96, 128), (97, 131)])
def test_a_cell_of_a_pyramid_shows_the_same_place_at_each_size(size, height, width):
    """The colours of a frame are its places, so that a shift of a tenth of a pixel would be seen."""
    y, x = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    frame = torch.stack([x, y, torch.ones_like(x)])[None]
    own, resized = (seen_at((k,), lambda frames: frames[:, :, ::4, ::4], frame) for k in (1.0, size))
    assert own.shape == resized.shape
    inner = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(resized[inner], own[inner], atol=0.1 / width, rtol=0)


def test_the_cosine_of_a_pyramid_is_the_mean_of_the_cosines_of_its_sizes():
    torch.manual_seed(0)
    encoder = DenseConv(8, 4, 1).eval()
    frame = torch.from_numpy(moving_frames(1, height=64, width=80)).permute(0, 3, 1, 2).float()
    alone = [seen_at((k,), encoder, frame).flatten(2)[0] for k in PYRAMID]
    together = seen_at(PYRAMID, encoder, frame).flatten(2)[0]
    torch.testing.assert_close(together.T @ together, sum(one.T @ one for one in alone) / len(PYRAMID))


def test_four_cells_read_a_linear_map_exactly_and_stay_inside():
    rows, cols = 5, 7
    linear = torch.stack(torch.meshgrid(torch.arange(cols), torch.arange(rows), indexing="xy")).float()[None]
    points = torch.tensor([[0.0, 0.0], [9.0, 6.0], [24.0, 16.0], [99.0, -5.0]])
    found = FourCells.of(points, rows, cols).read(as_cells(linear))
    assert found.tolist() == [[0, 0], [2.25, 1.5], [6, 4], [6, 0]]
    one = FourCells.of(torch.tensor([[3.0, 2.0]]), 1, 1)
    assert one.cells.tolist() == [[0, 0, 0, 0]]
    assert one.weight.sum() == 1


def test_what_was_read_at_a_point_is_found_there():
    torch.manual_seed(0)
    encoded = unit(torch.randn(12, 9, 32)).movedim(-1, 0)
    cells = np.array([[0, 0], [4, 4], [8, 11], [3, 7]])
    points = cells[:, ::-1].astype(np.float32) * 4
    queries = read(encoded.transpose(1, 2), points)
    found = find(queries, encoded.transpose(1, 2))
    assert np.abs(found.places - points).max() < 2
    np.testing.assert_allclose(found.cosines, 1, rtol=1e-5)


def test_the_share_found_counts_those_within_the_radius():
    points = np.zeros((4, 2), np.float32)
    asked = [Asked(None, None, points, np.array([[0, 0], [3, 4], [0, 4.9], [9, 9]], np.float32))]
    assert share_found(asked, lambda _a, _b, at: at) == 0.5
    assert share_found(asked, lambda _a, _b, at: at, within=20) == 1


def test_matches_of_a_shifted_picture_are_the_shift_at_any_scale():
    frame = moving_frames(1, height=96, width=128)[0]
    a, b = frame[:, :112], frame[:, 8:120]
    for height in (96, 48):
        found = match(colours, a, b, height, 0.05)
        assert found.flow.shape == (96, 112, 2)
        sure = (found.confidence > 0.5)[16:-16, 24:-24]
        assert sure.mean() > 0.2
        apart = np.linalg.norm(found.flow[16:-16, 24:-24] - (-8, 0), axis=-1)[sure]
        assert np.median(apart) < 3


def test_confidence_is_low_where_the_other_picture_has_nothing_alike():
    a, b = moving_frames(2, seed=0)[0], moving_frames(2, seed=5)[0]
    same, other = match(colours, a, a, 64, 0.05), match(colours, a, b, 64, 0.05)
    assert same.confidence.min() >= 0
    assert same.confidence.max() <= 1
    assert other.confidence.mean() < 0.5 * same.confidence.mean()


def test_flow_is_written_as_middlebury_reads_it(tmp_path):
    a, b = moving_frames(3)[[0, 2]]
    found = match(colours, a, b, 64, 0.05)
    found.save(tmp_path / "x.flo")
    raw = (tmp_path / "x.flo").read_bytes()
    assert raw[:4] == b"PIEH"
    assert np.frombuffer(raw, "<i4", 2, 4).tolist() == [80, 64]
    np.testing.assert_array_equal(np.frombuffer(raw, "<f4", offset=12).reshape(64, 80, 2), found.flow)
    found.save(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as arrays:
        np.testing.assert_array_equal(arrays["flow"], found.flow)
        np.testing.assert_array_equal(arrays["confidence"], found.confidence)
    found.save(tmp_path / "x.png")
    assert read_size(tmp_path / "x.png") == (168, 64)
    with pytest.raises(InputError, match=r"x\.txt: the output must end in \.flo, \.npz or \.png"):
        found.save(tmp_path / "x.txt")


def read_size(path):
    from PIL import Image

    with Image.open(path) as picture:
        return picture.size
