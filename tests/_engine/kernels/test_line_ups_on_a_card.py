"""Line-ups on a GPU against float64: relations, options, dtypes and lengths of vectors, compiled for the card."""

import itertools
from functools import partial

import pytest
import torch

from tellapart import before, edges, gaussian, info_nce, listed, nt_xent, paired, same, variants, within
from tellapart.negatives import guided

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
N, M = 700, 800
TOLERANCES = {torch.bfloat16: 5e-3, torch.float16: 1e-3, torch.float32: 2e-5}
OF_ONE_NODE = ("one way", "symmetric", "negatives", "repeated captions", "NT-Xent", "a guide", "labels", "SupCon")


def vectors(seed, n, d, dtype):
    return torch.randn(n, d, device="cuda", generator=torch.Generator("cuda").manual_seed(seed)).to(dtype)


def line_up(kind, d, dtype):
    """A loss, its embeddings and its options."""
    rows, cols = torch.arange(N, device="cuda"), torch.arange(M, device="cuda")
    groups = same(rows % 7, cols % 7) | same(rows // 9, cols // 9)
    given = {
        "symmetric": {"symmetric": True},
        "negatives": {"negatives": vectors(3, 90, d, dtype)},
        "repeated captions": {"exclude": same(rows // 2, cols // 2) & ~paired()},
        "a guide": {"exclude": guided(vectors(4, N, 90, torch.float32), vectors(5, M, 90, torch.float32), margin=0.1)},
        "labels": {"positives": same(rows % 50, cols % 50)},
        "labels, in": {"positives": same(rows % 50, cols % 50), "multi_positive": "in"},
        "few pairs": {"positives": edges(torch.stack([torch.arange(N), torch.arange(N) * 3 % M])) | paired()},
        "soft": {"positives": gaussian(rows * 1.0, cols * 1.0, 1.5)},
        "times": {"exclude": within(rows * 1.0, cols * 1.0, 3.0) & ~paired()},
        "earlier keys": {"exclude": before(rows * 1.0 + 5, cols * 1.0) & ~paired()},
        "an index": {"positives": listed(torch.arange(N).flip(0))},
        "a bias of keys": {"key_bias": torch.linspace(-2, 2, M, device="cuda")},
        "a margin": {"margin": 0.2},
        "a temperature each": {"temperature": torch.linspace(0.05, 0.5, N, device="cuda")},
        "three columns of ids": {"exclude": same(rows % 3, cols % 3) & ~groups & ~paired()},
        "low scores": {"temperature": 0.01},
    }.get(kind, {})
    if kind == "NT-Xent":
        return nt_xent, [vectors(1, N // 2, d, dtype), vectors(2, N // 2, d, dtype)], given
    if kind == "SupCon":
        return partial(variants.sup_con, labels=rows // 2), [vectors(1, N, d, dtype)], given
    return info_nce, [vectors(1, N, d, dtype), vectors(2, N if kind == "symmetric" else M, d, dtype)], given


def with_gradients(loss, embeddings, given, dtype=None, **how):
    """A loss and the gradients of all floating-point tensors among its arguments, in a dtype or in their own."""

    def own(x):
        is_number = isinstance(x, torch.Tensor) and x.is_floating_point()
        return x.detach().to(dtype or x.dtype).requires_grad_() if is_number else x

    made, named = [own(x) for x in embeddings], {name: own(x) for name, x in given.items()}
    value = loss(*made, **named, **how)
    wanted = [*made, *(x for x in named.values() if isinstance(x, torch.Tensor))]
    return [value.detach(), *torch.autograd.grad(value, wanted)]


def check(kind, d, dtype, score="cosine"):
    loss, embeddings, given = line_up(kind, d, dtype)
    given = {"temperature": torch.tensor(0.07 * (d if score == "dot" else 1), device="cuda"), "score": score} | given
    exact = with_gradients(loss, embeddings, given, torch.float64, engine="dense")
    found = with_gradients(loss, embeddings, given, engine="tiled")
    longest = max(x.norm().item() for x in exact[1:])
    for own, other in zip(found, exact, strict=True):
        assert (own.double() - other).norm() <= TOLERANCES[dtype] * (other.norm() + 0.01 * longest)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("score", ["cosine", "dot"])
@pytest.mark.parametrize(("kind", "d"), [*itertools.product(OF_ONE_NODE, (40, 128, 300))])
def test_a_loss_of_one_node_is_as_in_float64(kind, d, score, dtype):
    check(kind, d, dtype, score)


OTHERS = (
    *("labels, in", "few pairs", "soft", "times", "earlier keys", "an index", "a bias of keys", "a margin"),
    *("a temperature each", "three columns of ids", "low scores"),
)


@pytest.mark.parametrize(("d", "dtype"), [(300, torch.bfloat16), (64, torch.float32), (64, torch.float16)], ids=str)
@pytest.mark.parametrize("kind", OTHERS)
def test_other_line_ups_are_as_in_float64(kind, d, dtype):
    check(kind, d, dtype)
