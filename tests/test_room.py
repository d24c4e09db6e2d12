"""Room for many numbers: what does for the tests must do where pages are large, too."""

import torch

from tellapart import _room


def test_room_is_as_asked_for_whichever_pages_it_is_of(monkeypatch):
    monkeypatch.setattr(_room, "_LEAST_BYTES", 0)
    for dtype in (torch.float32, torch.float64):
        room = _room.room_for(1000, torch.empty(1, dtype=dtype))
        assert (room.shape, room.dtype, room.requires_grad) == ((1000,), dtype, False)
        assert torch.equal(room.copy_(torch.arange(1000)), torch.arange(1000, dtype=dtype))


def test_pages_last_as_long_as_what_is_in_them(monkeypatch):
    monkeypatch.setattr(_room, "_LEAST_BYTES", 0)
    parts = [_room.room_for(2**18, torch.empty(1)).fill_(i)[:3] for i in range(20)]
    assert [part.tolist() for part in parts] == [[float(i)] * 3 for i in range(20)]


def test_a_system_without_large_pages_does(monkeypatch):
    monkeypatch.setattr(_room, "_LEAST_BYTES", 0)
    monkeypatch.delattr(_room.mmap, "MADV_HUGEPAGE", raising=False)
    assert _room.room_for(3, torch.empty(1)).shape == (3,)
