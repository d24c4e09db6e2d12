"""The gradient of a learned temperature and of a bias of keys by Triton's kernels, in every dtype, against float64."""

import pytest
import torch

from tellapart import edges, info_nce, nt_xent, options, paired, same
from tellapart._engine.kernels import triton_launch
from tests._engine.kernels.triton_here import needs_triton, vectors

N, D = 20, 24
LABELS = torch.arange(N) % 7
CASES = {
    "symmetric": {"symmetric": True},
    "repeated captions": {"exclude": same(torch.arange(N) // 2) & ~paired()},
    "labels": {"positives": same(LABELS)},
    "labels, in": {"positives": same(LABELS), "multi_positive": "in"},
    "few pairs": {"positives": edges(torch.stack([torch.arange(N), torch.arange(N) * 3 % N])) | paired()},
    "negatives": {"negatives": torch.linspace(-1, 1, 9 * D).view(9, D)},
    "NT-Xent": {"loss": nt_xent},
    "inner products": {"score": "dot", "temperature": 4.0},
}


def gradients(case, dtype, kernels, engine, each=False, bias=False):
    """Of the temperature, one or one a query, and of a bias of keys, from embeddings of a dtype."""
    case = dict(CASES[case])
    loss, start = case.pop("loss", info_nce), case.pop("temperature", 0.07)
    wide = torch.float64 if engine == "dense" else dtype
    a, b = (vectors(seed, N, D, dtype).detach() for seed in (1, 2))
    a = a + b * 0.5  # a trained encoder's positives are nearer than its negatives
    if "negatives" in case:
        case["negatives"] = case["negatives"].to(dtype).to(wide)
    of_tau = torch.float64 if engine == "dense" else torch.float32
    temperature = torch.full((N,) if each else (), start, dtype=of_tau, requires_grad=True)
    wanted, more = [temperature], {}
    if bias:
        n_keys = N + len(case.get("negatives", ()))
        wanted.append(more.setdefault("key_bias", torch.linspace(-1, 1, n_keys, dtype=of_tau).requires_grad_()))
    with options(kernels=kernels):
        found = loss(a.to(wide), b.to(wide).requires_grad_(), temperature=temperature, engine=engine, **case, **more)
    return [x.double() for x in torch.autograd.grad(found, wanted)]


# In bfloat16 all cases, in registers and by blocks; one of them in the other dtypes.
WAYS = [(case, torch.bfloat16, 256 * (number % 2)) for number, case in enumerate(CASES)]
WAYS += [("symmetric", dtype, 256) for dtype in (torch.bfloat16, torch.float16, torch.float32)]


@needs_triton
@pytest.mark.parametrize(("case", "dtype", "in_registers"), WAYS)
def test_the_temperature_has_the_gradient_of_float64(case, dtype, in_registers, monkeypatch):
    monkeypatch.setattr(triton_launch, "IN_REGISTERS", in_registers)
    each = case in ("repeated captions", "negatives")
    expected = gradients(case, dtype, "torch", "dense", each)
    for kernels in ("triton", "torch"):
        for own, exact in zip(gradients(case, dtype, kernels, "tiled", each), expected, strict=True):
            assert (own - exact).norm() <= 2e-5 * exact.norm()


@needs_triton
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_bias_of_keys_has_the_gradient_of_float64(dtype):
    expected = gradients("negatives", dtype, "torch", "dense", bias=True)
    for kernels in ("triton", "torch"):
        for own, exact in zip(gradients("negatives", dtype, kernels, "tiled", bias=True), expected, strict=True):
            assert (own - exact).norm() <= 2e-5 * exact.norm()
