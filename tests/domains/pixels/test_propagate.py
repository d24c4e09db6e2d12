"""Masks carried through a video whose motion is known, and masks that are none."""

import numpy as np
import pytest
import torch
from PIL import Image

from tellapart import InputError
from tellapart.domains.pixels import Video
from tellapart.domains.pixels.propagate import labels_of_alike, propagate, read_mask
from tests.domains.pixels.test_matching import colours
from tests.tiny.pixels import moving_frames


def square(left, top, side=24, height=64, width=80):
    mask = np.zeros((height, width), np.uint8)
    mask[max(0, top) : top + side, max(0, left) : left + side] = 7
    return mask


def overlap(found, expected):
    return ((found > 0) & (expected > 0)).sum() / ((found > 0) | (expected > 0)).sum()


@pytest.mark.parametrize("scale", [1, 2])
def test_a_mask_goes_where_its_object_goes_at_any_size_of_the_mask(scale):
    """Eight pixels to the left and four up in eight frames; a mask that stays would overlap by less."""
    first, last = (np.kron(square(left, top), np.ones((scale, scale), np.uint8)) for left, top in ((40, 24), (32, 20)))
    labels = propagate(colours, Video("x", moving_frames(9)), first, 0.05).labels
    assert labels.shape == (9, 64 * scale, 80 * scale)
    assert set(np.unique(labels)) == {0, 7}
    assert np.array_equal(labels[0], first)
    assert overlap(labels[-1], last) > 0.75 > 0.6 > overlap(first, last)


def test_labels_come_from_near_cells_only():
    """The same look stands twice; the one that is far away has another label."""
    cells = torch.zeros(3, 4, 40)
    cells[0] = 1.0
    cells[:, 0, 0] = cells[:, 0, 30] = torch.tensor([0.0, 1.0, 0.0])
    labels = torch.zeros(160, 3)
    labels[:, 0] = 1
    labels[0], labels[30] = torch.tensor([0.0, 1, 0]), torch.tensor([0.0, 0, 1])
    found = labels_of_alike(cells, [(cells, labels)], 0.01)
    assert found[0].argmax() == 1
    assert found[30].argmax() == 2
    assert torch.allclose(found.sum(1), torch.ones(160))


def test_masks_are_read_as_labels_and_what_is_none_is_named(tmp_path):
    labels = square(3, 4)
    Image.fromarray(labels).save(tmp_path / "grey.png")
    palette = Image.fromarray(labels, "L").convert("P")
    palette.putdata(labels.flatten().tolist())
    palette.save(tmp_path / "palette.png")
    Image.fromarray(labels > 0).save(tmp_path / "binary.png")
    assert np.array_equal(read_mask(tmp_path / "grey.png"), labels)
    assert np.array_equal(read_mask(tmp_path / "palette.png"), labels)
    assert set(np.unique(read_mask(tmp_path / "binary.png"))) == {0, 255}
    Image.fromarray(moving_frames(1)[0]).save(tmp_path / "colour.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    for name, message in (
        ("colour.png", r"labels must be a grey picture or one with a palette.*Got mode RGB"),
        ("broken.png", "no mask that can be read"),
        ("none.png", "there is no such file or folder"),
    ):
        with pytest.raises(InputError, match=message):
            read_mask(tmp_path / name)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((64, 64), np.uint8), "mask: 64×64 pixels, of other proportions than the frames, 80×64"),
        (np.ones((64, 80), np.uint8), "mask: all of it has the label 1"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(mask, message):
    with pytest.raises(InputError, match=message):
        propagate(colours, Video("x", moving_frames(3)), mask, 0.05)


def test_masks_are_written_a_file_a_frame_or_in_one(tmp_path):
    found = propagate(colours, Video("x", moving_frames(3)), square(20, 20), 0.05)
    found.save(tmp_path / "masks")
    assert [path.name for path in sorted((tmp_path / "masks").iterdir())] == ["00000.png", "00001.png", "00002.png"]
    assert np.array_equal(read_mask(tmp_path / "masks" / "00002.png"), found.labels[2])
    found.save(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as arrays:
        assert np.array_equal(arrays["labels"], found.labels)
    with pytest.raises(InputError, match="exists and is not an empty folder"):
        found.save(tmp_path / "masks")
    with pytest.raises(InputError, match=r"must be a new folder, or end in \.npz"):
        found.save(tmp_path / "x.mp4")
    assert [row[0] for row in found.table().rows] == ["0", "7"]
