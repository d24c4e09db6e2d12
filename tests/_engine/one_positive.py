"""Problems of one positive each for the tests of a whole matrix, and how many operations a step takes."""

import numpy as np
import torch
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from tellapart import listed, other_views, paired, same
from tests.harness import SCORES

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def vectors(seed, n, d, dtype=torch.float64, size=1.0):
    return (size * torch.randn(n, d, generator=torch.Generator().manual_seed(seed))).to(dtype).requires_grad_()


@st.composite
def problems(draw, both_ways=(False, True), dtypes=DTYPES):
    """Vectors, options of `info_nce`, and which pairs are positives and excluded."""
    n, d = draw(st.integers(1, 9)), draw(st.integers(1, 6))
    symmetric, dtype = draw(st.sampled_from(both_ways)), draw(st.sampled_from(dtypes))
    seed, size = draw(st.integers(0, 2**16)), draw(st.sampled_from([0.3, 1.0, 3.0]))
    kind = draw(st.sampled_from(["default", "paired"] + (["other views"] if n % 2 == 0 and not symmetric else [])))
    kind = draw(st.sampled_from([kind, "listed"])) if not symmetric else kind
    m = n if symmetric or kind == "other views" else n + draw(st.integers(0, 3))
    related = np.eye(n, m)
    options = {"symmetric": symmetric, "score": draw(st.sampled_from(list(SCORES)))}
    if kind == "paired":
        options["positives"] = paired()
    elif kind == "other views":
        options["positives"], related = other_views(n // 2), np.roll(np.eye(n), n // 2, axis=1)
    elif kind == "listed":
        index = draw(st.lists(st.integers(0, m - 1), min_size=n, max_size=n))
        options["positives"], related = listed(torch.tensor(index)), np.eye(m)[index]
    excluded = np.zeros((n, m))
    if draw(st.booleans()):
        ids = draw(st.lists(st.integers(0, 2), min_size=m, max_size=m))
        options["exclude"] = same(torch.tensor(ids[:n]), torch.tensor(ids)) & ~options.get("positives", paired())
        excluded = np.equal.outer(ids[:n], ids) * (1 - related)
        if kind == "other views" and draw(st.booleans()):
            options["exclude"], excluded = paired(), np.eye(n)
    q = vectors(seed, n, d, dtype, size)
    k = q if n == m and draw(st.booleans()) else vectors(seed + 1, m, d, dtype, size)
    if draw(st.booleans()):
        options["negatives"] = vectors(seed + 2, draw(st.integers(1, 4)), d, dtype, size)
    tau = draw(st.floats(0.05, 5))
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    options["temperature"] = torch.tensor(tau, dtype=wide).requires_grad_() if draw(st.booleans()) else tau
    return q, k, options, related, excluded


def leaves_of(q, k, options):
    tensors = [q, *([] if k is q else [k]), options.get("negatives"), options["temperature"]]
    return [x for x in tensors if isinstance(x, torch.Tensor) and x.requires_grad]


class Calls(TorchDispatchMode):
    """Counts the operations inside."""

    number = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.number += 1
        return function(*args, **(kwargs or {}))


def calls(loss, inputs):
    """The operations of a step."""
    torch.autograd.grad(loss(*inputs), inputs)
    with Calls() as counted:
        torch.autograd.grad(loss(*inputs), inputs)
    return counted.number


def with_sums_in_float32(left, right):
    """What `torch.mm(..., out_dtype=torch.float32)` gives on a GPU."""
    assert left.dtype == right.dtype
    return left.float() @ right.float()
