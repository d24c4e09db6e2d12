"""Half vectors are multiplied as they are: what is as large as they are, counted."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tellapart import info_nce, nt_xent, options
from tellapart._engine import pairs
from tests._engine.kernels.triton_here import needs_triton, vectors

N, D = 48, 40


class Large(TorchDispatchMode):
    """Notes the dtype of each new piece of memory that holds as many numbers as the vectors."""

    def __init__(self):
        super().__init__()
        self.dtypes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = {place(x) for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)}
        found = func(*args, **(kwargs or {}))
        if "aten::set_" not in str(func.name()):  # by which the interpreter looks at what is there
            self.dtypes += [x.dtype for x in tree_leaves(found) if is_large(x) and place(x) not in given]
        return found


def place(tensor):
    return tensor.untyped_storage().data_ptr()


def is_large(x):
    return isinstance(x, torch.Tensor) and x.untyped_storage().nbytes() >= N * D * x.element_size()


@needs_triton
@pytest.mark.parametrize(("loss", "dtype"), [("pairs", torch.bfloat16), ("views", torch.float16)])
def test_half_vectors_are_not_copied_and_their_gradients_are_rounded_once(loss, dtype, monkeypatch):
    monkeypatch.setattr(pairs, "_STEP", 8)  # pairs are gathered a few at a time
    a, b = vectors(1, N, D, dtype), vectors(2, N, D, dtype)
    with options(kernels="triton"):
        if loss == "pairs":
            with Large() as forward:
                found = info_nce(a, b, symmetric=True, temperature=torch.tensor(0.07), engine="tiled")
            assert forward.dtypes == []
            sums, rounded = 2, 2
        else:
            found, sums, rounded = nt_xent(a, b, engine="tiled"), 4, 1  # of all views as queries, as keys, and together
    with Large() as backward:
        gradients = torch.autograd.grad(found, (a, b))
    assert backward.dtypes.count(torch.float32) == sums
    assert backward.dtypes.count(dtype) == rounded
    assert {x.dtype for x in gradients} == {dtype}
