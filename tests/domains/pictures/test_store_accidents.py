"""Fillings of a store that are killed, stopped, doubled or short of room: nothing is taken for whole that is not."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data._utils import worker

from tellapart import InputError
from tellapart.domains.pictures import store
from tellapart.domains.pictures.images import read_picture
from tests.forked import warm
from tests.tiny.stored import SIZE, read, stores


def fill_slowly(files, cache, started):
    """In another process: a filling that comes to its middle, and stays there for a while."""

    def slow(path, size):
        if path == files[40]:
            started.touch()
            time.sleep(1)
        return read_picture(path, size)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # which is ignored in the background of a shell
    worker.MP_STATUS_CHECK_INTERVAL = 0.1  # how soon its processes see that it is gone
    os.environ["XDG_CACHE_HOME"] = str(cache.parent.parent)
    store.stored(files, SIZE, slow)


def fill(files, cache, done):
    os.environ["XDG_CACHE_HOME"] = str(cache.parent.parent)
    found, _ = store.stored(files, SIZE, read_picture)
    np.save(done, found[:].numpy())


def wait_for(path, process):
    while not path.exists():
        assert process.exitcode is None
        time.sleep(0.01)


def test_a_filling_that_is_killed_leaves_nothing_that_is_taken_for_whole(files, cache, tmp_path):
    process = warm().Process(target=fill_slowly, args=(files[:-1], cache, tmp_path / "started"))
    process.start()
    wait_for(tmp_path / "started", process)
    (partial,) = stores(cache)
    assert partial.name.startswith(".")
    process.kill()
    process.join()
    found, _, _ = read(files[:-1])
    assert torch.equal(found[:], torch.stack([read_picture(file, SIZE) for file in files[:-1]]))
    (folder,) = stores(cache)
    assert not folder.name.startswith(".")


def test_two_processes_fill_one_store_and_both_have_it(files, cache, tmp_path):
    processes = [warm().Process(target=fill, args=(files, cache, tmp_path / f"{i}.npy")) for i in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    with_broken, _ = store.stored(files, SIZE, read_picture)
    assert all(np.array_equal(np.load(tmp_path / f"{i}.npy"), with_broken[:].numpy()) for i in range(2))
    assert len(stores(cache)) == 1


def test_a_full_disk_is_said_before_the_work_and_in_its_midst(files, cache, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000_000))
        message = r"pictures: 72 pictures of 1000 × 1000 take 0\.2 GB on the disk, and 0\.0 GB are free\. Make room"
        with pytest.raises(InputError, match=message):
            read(files, 1000)
    assert stores(cache) == []
    code = textwrap.dedent(
        f"""
        import resource, signal, sys
        from pathlib import Path
        from tellapart import InputError
        from tellapart.domains.pictures import read_whole, store
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        store.IN_MEMORY = 0
        files = sorted(Path({str(files[0].parent)!r}).iterdir())
        try:
            read_whole(files, [""] * len(files), {SIZE})
        except InputError as error:
            print(error)
        """
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "cannot write, the file would exceed the size limit. Make room" in said
    assert stores(cache) == []


def test_ctrl_c_stops_the_filling_and_leaves_nothing(files, cache, tmp_path):
    process = warm().Process(target=fill_slowly, args=(files[:-1], cache, tmp_path / "started"))
    process.start()
    wait_for(tmp_path / "started", process)
    os.kill(process.pid, signal.SIGINT)
    process.join(30)
    assert process.exitcode is not None
    assert stores(cache) == []
