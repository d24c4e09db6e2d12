"""Checks launches of interpreted kernels for what a GPU alone would show: there programs run at once, in any order."""

import random
from contextlib import contextmanager

import numpy as np
import pytest
import torch


class Launch:
    """Addresses that the programs of a launch read and write, and the memory of its arguments."""

    def __init__(self, kernel, arguments, order):
        self.kernel, self.order, self.program = kernel, order, 0
        memory = sorted({bounds for x in arguments for bounds in memory_of(x)})
        self.first, self.stop = np.array(memory, dtype=np.int64).reshape(-1, 2).T
        self.read, self.written = [], []

    def note(self, accesses, pointers, mask):
        """Note what a program reads or writes; it has to be in the memory of an argument."""
        found = pointers.data[np.broadcast_to(mask.data, pointers.data.shape).astype(bool)].astype(np.int64)
        size = pointers.get_element_ty().primitive_bitwidth // 8
        which = np.searchsorted(self.first, found, side="right") - 1
        assert ((which >= 0) & (found + size <= self.stop[which])).all(), f"{self.kernel} leaves its arguments"
        accesses.append((np.unique(found), self.program))

    def check(self):
        """No two programs write to one place, and none reads what another writes."""
        writers = {}
        for places, program in self.written:
            assert all(writers.setdefault(x, program) == program for x in places.tolist()), (
                f"{self.kernel} writes twice"
            )
        for places, program in self.read:
            theirs = (writers.get(x, program) for x in places.tolist())
            assert all(writer == program for writer in theirs), f"{self.kernel} reads what others write"


def memory_of(argument):
    """The first byte and the end of each tensor's memory."""
    if isinstance(argument, tuple):
        return [bounds for x in argument for bounds in memory_of(x)]
    if not isinstance(argument, torch.Tensor):
        return []
    storage = argument.untyped_storage()
    return [(storage.data_ptr(), storage.data_ptr() + storage.nbytes())]


@contextmanager
def checked_launches(seed=0):
    """Check all launches; programs run in an order by chance. What is yielded collects names of kernels."""
    from triton.runtime.interpreter import GridExecutor, InterpreterBuilder

    by_chance, kernels, current = random.Random(seed), set(), []
    call, place = GridExecutor.__call__, InterpreterBuilder.set_grid_idx
    load, store = InterpreterBuilder.create_masked_load, InterpreterBuilder.create_masked_store

    def launch(executor, *arguments, **named):
        order = by_chance.sample(range(size := int(np.prod(executor.grid))), size)
        current.append(Launch(executor.fn.__name__, [*arguments, *named.values()], order))
        call(executor, *arguments, **named)
        current[-1].check()
        kernels.add(current.pop().kernel)

    def place_by_chance(builder, *index):
        grid = builder.grid_dim
        current[-1].program = current[-1].order[np.ravel_multi_index(index, grid)]
        place(builder, *map(int, np.unravel_index(current[-1].program, grid)))

    def noted_load(builder, pointers, mask, *rest):
        current[-1].note(current[-1].read, pointers, mask)
        return load(builder, pointers, mask, *rest)

    def noted_store(builder, pointers, value, mask, *rest):
        current[-1].note(current[-1].written, pointers, mask)
        return store(builder, pointers, value, mask, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GridExecutor, "__call__", launch)
        patch.setattr(InterpreterBuilder, "set_grid_idx", place_by_chance)
        patch.setattr(InterpreterBuilder, "create_masked_load", noted_load)
        patch.setattr(InterpreterBuilder, "create_masked_store", noted_store)
        yield kernels
