"""Checkpoints that are written whole or not at all."""

import errno

import pytest
import torch

from tellapart import InputError
from tellapart.training import checkpoints


def test_an_error_of_the_disk_is_kept_from_torch_and_raised_at_the_end(tmp_path, monkeypatch):
    """torch's writer calls from C++, which loses it."""

    class Full:
        def write(self, _):
            raise OSError(errno.ENOSPC, "full")

    path = tmp_path / "checkpoint.ckpt"
    path.write_bytes(b"old")
    monkeypatch.setattr(checkpoints, "Streamed", lambda _, made=checkpoints.Streamed: made(Full()))
    with pytest.raises(InputError, match="cannot write, the disk is full"):
        checkpoints.AtomicCheckpoints().save_checkpoint({"weights": torch.zeros(100)}, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
