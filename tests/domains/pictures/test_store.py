"""Pictures that outgrow the memory: the store has the same pictures, and no accident makes it other than whole."""

import io
import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from tellapart import InputError
from tellapart.domains.pictures import images, load_held_out, load_pairs, load_pictures, pixel_ids, store
from tellapart.domains.pictures.images import read_picture
from tellapart.domains.pictures.stored import Stored, chosen, in_channels, joined
from tests.tiny.pictures import write_pairs
from tests.tiny.stored import SIZE, read, stores


def forbid(*_):
    raise AssertionError("a picture was decoded again")


def test_rows_of_the_store_are_to_the_bit_what_is_decoded_in_memory(files, cache, monkeypatch):
    inside = [*files, files[3], files[0], (files[5]).read_bytes()]
    with monkeypatch.context() as patch:
        patch.setattr(store, "IN_MEMORY", 2**28)
        expected, kept, account = read(inside)
    assert isinstance(expected, torch.Tensor)
    for _ in range(2):  # filled, and used again
        found, found_kept, found_account = read(inside)
        assert isinstance(found, Stored)
        assert found_kept == kept
        assert found.shape == expected.shape
        assert torch.equal(found[:], expected)
        assert torch.equal(torch.cat(list(found.split(7))), expected)
        assert pixel_ids(found) == pixel_ids(expected)
        assert found_account == account
    assert account.counts == {"broken picture": 1}
    assert len(stores(cache)) == 1


@pytest.mark.usefixtures("cache")
def test_an_index_reads_as_of_a_tensor_and_a_choice_reads_nothing(files, monkeypatch):
    found, _, _ = read(files[:-1])
    whole, index = found[:], torch.tensor([5, 6, 7, 70, 0, 5])
    for wanted in (index, index.tolist(), slice(3, 60), slice(2, None, 9), whole[:, 0, 0, 0] > 99, torch.arange(0)):
        assert torch.equal(found[wanted], whole[wanted])
    assert torch.equal(found[70], whole[70])
    grey = in_channels(found, 1)
    assert grey.shape == (71, 1, SIZE, SIZE)
    assert torch.equal(grey[index], in_channels(whole[index], 1))
    assert pixel_ids(grey) == pixel_ids(grey[:])
    with monkeypatch.context() as patch:
        patch.setattr(Stored, "_read", forbid)
        part = chosen(chosen(found, slice(4, None)), index[:3])
        both = joined(part, chosen(found, index[3:]))
    assert torch.equal(both[:], torch.cat([whole[4:][index[:3]], whole[index[3:]]]))


def test_a_file_of_the_store_is_a_plain_array(files, cache):
    found, _, _ = read(files[:-1])
    (folder,) = stores(cache)
    assert np.array_equal(np.load(folder / "pictures.npy", mmap_mode="r"), found[:].numpy())


def test_pictures_are_decoded_once_and_again_where_one_changed(files, cache, monkeypatch):
    first, _, _ = read(files[:-1])
    with monkeypatch.context() as patch:
        patch.setattr(images, "read_picture", forbid)
        assert torch.equal(read(files[:-1])[0][:], first[:])
        moved = files[0].parent.rename(files[0].parent.with_name("moved"))
        files = sorted(moved.iterdir())
        assert torch.equal(read(files[:-1])[0][:], first[:])
    # The same length and the same time of change, as an archive may bring them.
    before = files[0].stat()
    Image.new("RGB", (20, 10), "red").save(other := io.BytesIO(), "PNG")
    files[0].write_bytes(other.getvalue().ljust(before.st_size, b"\0"))
    os.utime(files[0], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (files[0].stat().st_size, files[0].stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    changed, _, _ = read(files[:-1])
    assert torch.equal(changed[0], read_picture(files[0], SIZE))
    assert not torch.equal(changed[0], first[0])
    assert torch.equal(changed[1:], first[1:])
    read(files[:-1], 8)
    assert len(stores(cache)) == 3


@pytest.mark.parametrize("damage", ["cut", "zeros", "no hashes", "no end", "other", "no file"])
def test_a_damaged_store_is_filled_anew(files, cache, caplog, damage):
    whole = read(files)[0][:]
    (folder,) = stores(cache)
    pixels, length = folder / "pictures.npy", (folder / "pictures.npy").stat().st_size
    if damage == "cut":
        os.truncate(pixels, length - 1)
    elif damage == "zeros":
        pixels.write_bytes(pixels.read_bytes()[:128].ljust(length, b"\0"))
    elif damage == "no hashes":
        (folder / "hashes.npy").write_bytes(b"")
    elif damage == "no end":
        (folder / "store.json").unlink()
    elif damage == "other":
        np.save(pixels, np.zeros((len(files), 3, 8, 8), dtype=np.uint8))
    else:
        pixels.unlink()
    assert torch.equal(read(files)[0][:], whole)
    assert [record.message for record in caplog.records if "damaged" in record.message] == [
        f"{folder}: damaged or out of date. It is filled anew."
    ]


@pytest.mark.usefixtures("cache")
def test_a_store_that_vanishes_in_use_is_named_and_not_taken_for_whole(files):
    found, _, _ = read(files)
    os.truncate(found.file, 5000)
    with pytest.raises(InputError, match=r"pictures\.npy: cannot read pictures, the file is shorter than it was\. Run"):
        found[:]
    found.file.unlink()
    with pytest.raises(InputError, match="cannot read pictures, No such file or directory"):
        found[0]


@pytest.mark.usefixtures("cache")
def test_a_picture_that_could_not_be_read_for_a_while_is_read_later(files):
    def failing(path, size):
        if path == files[4]:
            raise InputError("the server does not answer")
        return read_picture(path, size)

    _, broken = store.stored(files[:-1], SIZE, failing)
    assert {path: str(error) for path, error in broken.items()} == {files[4]: "the server does not answer"}
    found, broken = store.stored(files[:-1], SIZE, read_picture)
    assert not broken
    assert torch.equal(found[4], read_picture(files[4], SIZE))


@pytest.mark.usefixtures("cache")
def test_a_folder_a_table_and_their_parts_stay_in_the_file(files, tmp_path, monkeypatch):
    files[-1].unlink()
    source = str(files[0].parent)
    with monkeypatch.context() as patch:
        patch.setattr(store, "IN_MEMORY", 2**28)
        in_memory = load_held_out(source, SIZE, None, 0.25, 0)
        pairs = load_pairs(str(write_pairs(tmp_path / "pairs")), SIZE)
    found = load_held_out(source, SIZE, None, 0.25, 0)
    for part, expected in zip(found, in_memory, strict=True):
        assert isinstance(part.content, Stored)
        assert part.names == expected.names
        assert torch.equal(part.pictures, expected.pictures)
        index = torch.tensor([4, 2])
        assert torch.equal(part.rows(index).pictures, expected.rows(index).pictures)
    changed = [load_pictures(source, size).fingerprint() for size in (SIZE, SIZE, 8)]
    assert changed[0] == changed[1] != changed[2]
    stored_pairs = load_pairs(str(tmp_path / "pairs"), SIZE)
    assert stored_pairs.picture_ids() == pairs.picture_ids()
    part = stored_pairs.part(torch.tensor([3, 1]))
    assert isinstance(part.content, Stored)
    assert torch.equal(part.pictures, pairs.rows(torch.tensor([3, 1])).pictures)


@pytest.mark.usefixtures("cache")
def test_filling_draws_no_random_numbers_and_leaves_no_thread(files):
    torch.manual_seed(0)
    before, threads = torch.random.get_rng_state(), threading.active_count()
    read(files)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert threading.active_count() == threads


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_grows_by_much_less_than_the_pictures(files, tmp_path):
    """More than 200 MB are decoded, split, hashed, and read in batches."""
    files[-1].unlink()
    code = textwrap.dedent(
        f"""
        import os, re, torch
        from pathlib import Path
        os.environ["XDG_CACHE_HOME"] = {str(tmp_path / "cache")!r}
        from tellapart.domains.pictures import load_held_out, pixel_ids, store
        def peak():
            return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
        store.IN_MEMORY = 0
        load_held_out({str(files[0].parent)!r}, 8, None, 0.25, 0)
        before = peak()
        training, test = load_held_out({str(files[0].parent)!r}, 1024, None, 0.25, 0)
        for rows in torch.randperm(len(training)).split(2):
            training.rows(rows)
        training.fingerprint(), pixel_ids(test.content)
        print(sum(len(part) for part in (training, test)) * 3 * 1024**2 / 2**20, peak() - before)
        """
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    whole, grown = map(float, said.split()[-2:])
    assert whole > 200
    assert grown < whole / 2  # four batches are 24 MiB
