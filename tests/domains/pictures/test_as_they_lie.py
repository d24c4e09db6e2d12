"""Pictures as people have them: thin ones, odd suffixes, links, splits, arrays of other shapes, broken files."""

import io
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from tellapart import InputError, reading
from tellapart.domains import picture_files
from tellapart.domains.pictures import ImageShape, load_pictures, load_splits
from tellapart.domains.pictures.images import read_picture
from tellapart.domains.pictures.load import load_pairs
from tellapart.domains.pictures.parts import picture_parts
from tellapart.domains.pictures.picture_sets import Form
from tellapart.domains.tables import Form as TableForm
from tellapart.runs import gathered
from tests.tiny.pictures import draw, write_pairs


def save(path, *, form=None, colour="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(colour, "circle").save(path, form)
    return path


@pytest.mark.parametrize("shape", [(2000, 3), (3, 2000), (5000, 1)])
def test_of_a_thin_picture_a_line_is_left(tmp_path, shape):
    Image.new("RGB", shape, "black").save(tmp_path / "x.png")
    found = read_picture(tmp_path / "x.png", 32)
    assert (found == 0).sum() == 3 * 32


def test_all_that_pillow_decodes_is_a_picture_by_its_name_or_its_first_bytes(tmp_path):
    for name, form in (
        ("a.jfif", "JPEG"),
        ("b.jpe", "JPEG"),
        ("c.jp2", "JPEG2000"),
        ("d.tga", "TGA"),
        ("e.avif", "AVIF"),
    ):
        save(tmp_path / name, form=form)
    save(tmp_path / "without", form="PNG")
    save(tmp_path / "f.dat", form="JPEG")
    (tmp_path / "notes.txt").write_text("no picture")
    with reading.accounted() as account:
        assert load_pictures(str(tmp_path), 8).names == [
            "a.jfif",
            "b.jpe",
            "c.jp2",
            "d.tga",
            "e.avif",
            "f.dat",
            "without",
        ]
    assert account.told().startswith("Read 7 pictures. Left out 1: file that is none of the pictures (.txt).")


@pytest.mark.parametrize("held_out", ["valid", "validation", "testing", "Val"])
def test_pictures_to_measure_with_are_never_trained_on(tmp_path, held_out):
    for name in ("train/cat/1.png", "train/dog/2.png", f"{held_out}/cat/3.png", f"{held_out}/dog/4.png"):
        save(tmp_path / name)
    training, test = load_splits(str(tmp_path), 8)
    assert training.classes == ["cat", "dog"]
    assert training.names == ["train/cat/1.png", "train/dog/2.png"]
    assert test.names == [f"{held_out}/cat/3.png", f"{held_out}/dog/4.png"]


def test_of_three_splits_validation_is_left_out_and_counted(tmp_path):
    for split in ("train", "val", "test"):
        save(tmp_path / split / "cat" / f"{split}.png")
        save(tmp_path / split / "dog" / f"{split}.png")
    with reading.accounted() as account:
        training, test = load_splits(str(tmp_path), 8)
    assert [len(training), len(test)] == [2, 2]
    assert account.counts == {"picture for validation, of which the run makes no use": 2}


def test_classes_that_are_links_are_read(tmp_path):
    save(tmp_path / "source" / "dog" / "1.png")
    save(tmp_path / "data" / "cat" / "2.png")
    (tmp_path / "data" / "dog").symlink_to(tmp_path / "source" / "dog")
    assert load_pictures(str(tmp_path / "data"), 8).classes == ["cat", "dog"]


def test_of_a_folder_without_labels_it_is_said_where_labels_matter_and_nowhere_else(tmp_path):
    for name in ("cat/1.png", "dog/2.png", "3.png"):
        save(tmp_path / name)
    with reading.accounted() as account:
        load_splits(str(tmp_path), 8)
    assert "No labels: 1 of 3 files lie beside the folders that would be labels." in account.told()
    with reading.accounted() as account:
        found = gathered(picture_parts(str(tmp_path), ImageShape(8, 3), lambda x: x.float().flatten(1)))
    assert found.names == ["3.png", "cat/1.png", "dog/2.png"]
    assert account.told() == "Read 3 pictures."


def test_a_broken_picture_is_left_out_with_its_label_and_its_text_or_stops(tmp_path):
    for name in ("cat/1.png", "cat/3.png", "dog/4.png"):
        save(tmp_path / name)
    (tmp_path / "cat" / "2.png").write_bytes(save(tmp_path / "whole.png").read_bytes()[:60])
    (tmp_path / "whole.png").unlink()
    (tmp_path / "page.jpg").write_text("<!DOCTYPE html>")
    (tmp_path / "t.csv").write_text("image,text\ncat/1.png,one\ncat/2.png,two\ndog/4.png,four\n")
    with reading.accounted() as account:
        pairs = load_pairs(str(tmp_path / "t.csv"), 8)
    assert (pairs.texts, pairs.names) == (["one", "four"], ["cat/1.png", "dog/4.png"])
    assert account.counts == {"broken picture": 1}
    (tmp_path / "page.jpg").rename(tmp_path / "dog" / "page.jpg")
    with reading.accounted() as account:
        found = load_pictures(str(tmp_path), 8)
    assert found.label_names() == ["cat", "cat", "dog"]
    assert found.names == ["cat/1.png", "cat/3.png", "dog/4.png"]
    assert account.counts["broken picture"] == 2
    with reading.accounted("stop"), pytest.raises(InputError, match=r"2\.png.*and 1 more broken"):
        load_pictures(str(tmp_path), 8)
    with pytest.raises(InputError, match=r"page\.jpg: an HTML page, not a picture that can be read"):
        load_pictures(str(tmp_path / "dog" / "page.jpg"), 8)


def test_a_name_that_is_no_utf8_is_read_and_shown_with_a_question_mark(tmp_path):
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    save(tmp_path / name)
    save(tmp_path / "b.png")
    with reading.accounted() as account:
        found = load_pictures(str(tmp_path), 8)
    assert len(found.fingerprint()) == 64
    assert len(found) == 2
    assert account.read == {"picture": 2}


def test_pictures_and_labels_come_from_a_table_with_the_pictures_inside(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    def content(colour):
        buffer = io.BytesIO()
        draw(colour, "dot").save(buffer, "PNG")
        return {"bytes": buffer.getvalue(), "path": None}

    table = pa.table({"image": [content(c) for c in ("red", "blue", "green")], "label": [0, 1, 1]})
    pq.write_table(table, tmp_path / "x.parquet")
    found = load_pictures(str(tmp_path / "x.parquet"))
    assert found.pictures.shape == (3, 3, 24, 24)
    assert found.label_names() == ["0", "1", "1"]
    save(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text("path;class\na.png;cat\na.png;dog\n")
    form = Form(table=TableForm("image=path,label=class", ";"))
    assert load_pictures(str(tmp_path / "t.csv"), form=form).label_names() == ["cat", "dog"]


def test_arrays_called_as_in_medmnist_are_two_sets_and_the_third_is_counted(tmp_path):
    parts = {f"{s}_images": np.full((n, 8, 8), n, np.uint8) for s, n in (("train", 5), ("val", 3), ("test", 4))}
    labels = {f"{s}_labels": np.arange(n)[:, None] % 2 for s, n in (("train", 5), ("val", 3), ("test", 4))}
    np.savez(tmp_path / "x.npz", **parts, **labels)
    with reading.accounted() as account:
        training, test = load_splits(str(tmp_path / "x.npz"))
    assert [len(training), len(test)] == [5, 4]
    assert test.labels.tolist() == [0, 1, 0, 1]
    assert account.counts == {"array of another split, of which the run makes no use": 1}


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_arrays_of_one_to_four_channels_are_read_and_opacity_is_laid_on_white(tmp_path, channels, last):
    pictures = np.random.default_rng(0).integers(0, 256, (5, 9, 9, channels), dtype=np.uint8)
    np.save(tmp_path / "x.npy", pictures if last else np.moveaxis(pictures, 3, 1))
    found = load_pictures(str(tmp_path / "x.npy")).pictures.permute(0, 2, 3, 1).numpy().astype(int)
    colour = pictures.astype(float)
    if channels in (2, 4):
        opacity = colour[..., -1:] / 255
        colour = colour[..., :-1] * opacity + 255 * (1 - opacity)
    assert found.shape[-1] == colour.shape[-1]
    assert np.abs(found - colour).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(("side", "tells", "said"), [(11, True, True), (12, True, False), (11, False, False)])
def test_pairs_whose_pictures_are_shrunk_say_so_where_it_can_be_changed(tmp_path, side, tells, said):
    with reading.accounted() as account:
        load_pairs(str(write_pairs(tmp_path)), side, tells_size=tells)
    assert ("Pictures, as of 24×24 pixels, are shrunk to 11×11 (--picture_size)." in account.notes) == said


def test_a_huge_jpeg_is_decoded_smaller_and_another_huge_picture_is_left_out_by_its_true_name(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_files, "MAX_PIXELS", 10_000)
    monkeypatch.setattr(picture_files, "_DRAFT", 16)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)  # Pillow refuses twice as many
    for name, side in (("a.jpg", 150), ("b.jpg", 400), ("c.png", 150), ("d.png", 400), ("e.png", 40)):
        Image.new("RGB", (side, side), "blue").save(tmp_path / name)
    with reading.accounted() as account:
        found = load_pictures(str(tmp_path), 8)
    assert found.names == ["a.jpg", "b.jpg", "c.png", "e.png"]
    assert (found.pictures[:, 2] > 250).all()
    assert account.counts == {"picture of too many pixels": 1}
    with picture_files.opened(tmp_path / "b.jpg") as image:
        assert image.width == 50
    for name in ("b.jpg", "a.jpg"):
        with pytest.raises(InputError, match=r"pixels"), picture_files.opened(tmp_path / name, shrinks=False):
            pass


def test_large_pictures_are_opened_in_many_threads_without_a_warning(tmp_path, monkeypatch):
    """Filters of warnings are those of the process: a thread must not restore them while another one opens."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)
    Image.new("RGB", (150, 150), "blue").save(tmp_path / "a.png")

    def width(_):
        with picture_files.opened(tmp_path / "a.png") as image:
            return image.width

    with ThreadPoolExecutor(8) as pool, warnings.catch_warnings(action="error"):
        assert set(pool.map(width, range(2000))) == {150}


def write_heic(folder):
    pillow_heif = pytest.importorskip("pillow_heif")
    for i in range(5):
        if i < 2:
            pillow_heif.from_pillow(draw("red", "square").resize((64, 64))).save(folder / f"{i}.heic")
        else:
            save(folder / f"{i}.png")


def test_photographs_in_heic_are_read(tmp_path):
    write_heic(tmp_path)
    found = load_pictures(str(tmp_path), 16)
    assert len(found) == 5
    assert (found.pictures[0, :, 8, 8].int() - torch.tensor([255, 0, 0])).abs().max() < 30


def test_without_the_extra_photographs_in_heic_are_counted_and_the_extra_is_named(tmp_path):
    write_heic(tmp_path)
    code = "import sys; sys.modules['pillow_heif'] = None\n"
    code += "from tellapart import reading; from tellapart.domains.pictures import load_pictures\n"
    code += f"with reading.accounted() as account: print(len(load_pictures({str(tmp_path)!r}, 16)), account.told())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.stdout.startswith("3 "), found.stderr
    wanted = "Left out 2: 2 × picture in HEIC, which needs: pip install 'tellapart[heic]', "
    assert wanted in found.stdout
