"""Tar shards as webdataset writes them: samples, captions and labels; what is left out or damaged."""

import gzip
import io
import json
import tarfile

import pytest

from tellapart import InputError, reading
from tellapart.domains.pictures import load_splits
from tellapart.domains.pictures.load import load_items, load_pairs
from tellapart.domains.tables import Form
from tests.tiny.pictures import COLOURS, draw


def png(colour):
    content = io.BytesIO()
    draw(colour, "circle").save(content, "PNG")
    return content.getvalue()


def write_tar(path, files):
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def samples(colours, **more):
    """A picture and its text for each colour, and further files by their endings."""
    files = {}
    for i, colour in enumerate(colours):
        files |= {f"a/{i:03}.png": png(colour), f"a/{i:03}.txt": f"a {colour} circle".encode()}
        files |= {f"a/{i:03}.{ending}": content(i) for ending, content in more.items()}
    return files


@pytest.fixture
def shards(tmp_path):
    """Two shards of three pictures, the second packed; and what names both."""
    write_tar(tmp_path / "data-000.tar", samples(COLOURS[:3]))
    write_tar(tmp_path / "data-001.tar", samples(COLOURS[3:]))
    return tmp_path


def test_a_shard_a_packed_one_several_and_a_folder_of_them_are_read(shards):
    wanted = [f"a {colour} circle" for colour in COLOURS]
    first = shards / "data-000.tar"
    assert load_pairs(str(first), 8).texts == wanted[:3]
    assert load_pairs(str(shards / "data-{000..001}.tar"), 8).texts == wanted
    found = load_pairs(str(shards), 8)
    assert (found.texts, found.names[:2]) == (wanted, ["a/000", "a/001"])
    for name in ("packed.tar.gz", "packed.tgz"):
        (shards / name).write_bytes(gzip.compress(first.read_bytes()))
        assert load_pairs(str(shards / name), 8).picture_ids() == found.picture_ids()[:3]
    assert load_items(str(first), 8).texts == wanted[:3]


def test_what_webdataset_writes_is_read(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "x.tar")) as writer:
        for i, colour in enumerate(COLOURS):
            writer.write({"__key__": f"{i:04}", "png": png(colour), "txt": colour, "cls": i})
    assert load_pairs(str(tmp_path / "x.tar"), 8).texts == list(COLOURS)
    assert load_splits(str(tmp_path / "x.tar"), 8)[0].label_names() == [*"012345"]


def test_captions_may_be_in_json_and_any_field_can_be_the_text(tmp_path):
    def fields(i):
        return json.dumps({"caption": f"caption {i}", "title": f"title {i}", "sizes": [1]}).encode()

    files = {name: content for name, content in samples(COLOURS[:3], json=fields).items() if not name.endswith(".txt")}
    path = str(write_tar(tmp_path / "x.tar", files))
    assert load_pairs(path, 8).texts == [f"caption {i}" for i in range(3)]
    assert load_pairs(path, 8, Form(columns="text=title")).texts == [f"title {i}" for i in range(3)]


def test_labels_are_in_cls_files_and_what_is_of_no_use_is_counted(tmp_path):
    path = write_tar(tmp_path / "x.tar", samples(COLOURS, cls=lambda i: b"cat" if i % 2 else b"dog", npy=bytes))
    with reading.accounted() as account:
        found, _ = load_splits(str(tmp_path), 8)
    assert found.label_names() == ["dog", "cat"] * 3
    assert account.counts == {f"file of a sample that is of no use here (.{x})": 6 for x in ("npy", "txt")}
    assert load_splits(str(path), 8)[0].classes == ["cat", "dog"]


def test_broken_samples_are_left_out_and_counted_or_stop(tmp_path):
    files = samples(COLOURS) | {"a/003.png": b"no picture", "a/004.txt": b"caf\xe9"}
    del files["a/005.txt"]
    path = str(write_tar(tmp_path / "x.tar", files | {"._a.png": b""}))
    with reading.accounted() as account:
        assert load_pairs(path, 8).texts == [f"a {colour} circle" for colour in COLOURS[:3]]
    assert account.counts["broken picture"] == 1
    assert account.counts["sample with a text that cannot be read"] == 1
    assert account.counts["row with an empty text"] == 1
    with reading.accounted("stop"), pytest.raises(InputError, match=r"x\.tar sample a/004: a text that cannot be read"):
        load_pairs(path, 8)


def test_of_several_pictures_the_option_says_which(tmp_path):
    files = {f"{i}.{side}.png": png(colour) for i, colour in enumerate(COLOURS) for side in ("left", "right")}
    path = str(write_tar(tmp_path / "x.tar", files))
    with pytest.raises(InputError, match=r"several pictures \(left\.png, right\.png\)\. Say which: --columns"):
        load_items(path, 8)
    assert len(load_items(path, 8, Form(columns="image=right.png")).names) == 6


@pytest.mark.parametrize("left", [0, 100, 512, 700, 1200, 5000])
def test_a_shard_that_is_cut_short_is_never_taken_for_a_whole_one(tmp_path, left):
    path = write_tar(tmp_path / "x.tar", samples(COLOURS))
    size = sum(512 + -(-len(content) // 512) * 512 for content in samples(COLOURS).values())
    path.write_bytes(path.read_bytes()[: size - left])
    with reading.accounted(), pytest.raises(InputError, match=r"x\.tar: .*truncated or damaged"):
        load_pairs(str(path), 8)


def test_what_is_no_shard_is_called_by_its_name(tmp_path):
    (tmp_path / "x.tar").write_bytes(b"PK\x03\x04" + bytes(2000))
    with pytest.raises(InputError, match=r"x\.tar: a zip archive, not a tar archive"):
        load_pairs(str(tmp_path / "x.tar"), 8)
    with pytest.raises(InputError, match=r"data-001\.tar: there is no such file"):
        load_pairs(str(tmp_path / "data-{001..002}.tar"), 8)
    with pytest.raises(InputError, match="must count up"):
        load_pairs(str(tmp_path / "data-{3..2}.tar"), 8)
