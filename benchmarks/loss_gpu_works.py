"""The works of `loss_gpu.py`: what is computed, of which inputs, by which contenders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from tellapart import info_nce, nt_xent, paired, same, variants

OURS = "tellapart"
SMALL = 3000
"""Queries of the comparison with float64."""
N_LABELS = 1000
TAU = 0.07
DEVICE = "cuda"
Loss = Callable[..., Tensor]
Run = Callable[[], None]


@dataclass(frozen=True)
class Work:
    """One kind of loss at one size. `n` queries, `m` keys of their own, `further` negatives, vectors of length `d`."""

    name: str
    n: int
    d: int
    ours: Loss
    plain: Loss
    more: tuple[str, ...] = ()
    further: int = 0
    products: float = 4
    """Large products that are computed: of the scores, in both passes, and of both gradients."""
    dtype: torch.dtype = torch.bfloat16
    tf32: bool = True
    labelled: bool = False

    def contenders(self) -> dict[str, Loss]:
        """Those that are installed, this library first."""
        found = {OURS: self.ours, "plain formula": self.plain}
        if "torch.compile" in self.more:
            found["torch.compile"] = compiled(self.plain)
        if "memeff" in self.more and find_spec("memeff") is not None:
            found["memeff"] = memeff
        return found

    def large(self) -> list[Tensor]:
        """The inputs at the work's size."""
        return self._inputs(self.n)

    def small(self) -> list[Tensor]:
        """The inputs of the comparison."""
        return self._inputs(min(self.n, SMALL))

    def constants(self, inputs: list[Tensor]) -> dict[str, Any]:
        """What has no gradient: labels."""
        return {"labels": torch.arange(len(inputs[0]), device=DEVICE) * 7919 % N_LABELS} if self.labelled else {}

    def n_flops(self) -> float:
        """Operations that the products take."""
        return self.products * 2.0 * self.n * self._columns() * self.d

    def _columns(self) -> int:
        return self.n + self.further

    def _inputs(self, n: int) -> list[Tensor]:
        generator = torch.Generator(DEVICE).manual_seed(n)
        new = partial(torch.randn, generator=generator, device=DEVICE)
        first = new(n, self.d)
        # Each key is near its query, as in a model that has learned something.
        made = [first, first + 2 * new(n, self.d), *([new(self.further, self.d)] if self.further else [])]
        vectors = [normalize(x, dim=1).to(self.dtype).requires_grad_(place < 2) for place, x in enumerate(made)]
        return [*vectors, torch.tensor(TAU, device=DEVICE, requires_grad=True)]


@contextmanager
def precision(work: Work) -> Iterator[None]:
    """Allow TF32 or not, as the work says."""
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32" if work.tf32 else "ieee"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def compiled(loss: Loss) -> Loss:
    """The same by `torch.compile`, once."""
    if loss not in _compiled:
        _compiled[loss] = torch.compile(loss)
    return _compiled[loss]


_compiled: dict[Loss, Loss] = {}


def memeff(q: Tensor, k: Tensor, tau: Tensor) -> Tensor:  # noqa: ARG001 - it learns no temperature
    """Its loss of CLIP at the same temperature, with gradients that are not rescaled."""
    from memeff import MemoryEfficientCLIPLoss  # type: ignore[import-not-found]

    return MemoryEfficientCLIPLoss(temperature=TAU, normalized_inputs=True, stable=False)(q, k)


def _symmetric(q: Tensor, k: Tensor, tau: Tensor) -> Tensor:
    return info_nce(q, k, temperature=tau, symmetric=True, score="dot")


def _plain_symmetric(q: Tensor, k: Tensor, tau: Tensor) -> Tensor:
    logits, target = q @ k.T / tau.to(q.dtype), torch.arange(len(q), device=q.device)
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def _views(a: Tensor, b: Tensor, tau: Tensor) -> Tensor:
    return nt_xent(a, b, temperature=tau, score="dot")


def _plain_views(a: Tensor, b: Tensor, tau: Tensor) -> Tensor:
    both, n = torch.cat([a, b]), len(a)
    logits = (both @ both.T / tau.to(a.dtype)).fill_diagonal_(-torch.inf)
    return cross_entropy(logits, torch.arange(2 * n, device=a.device).roll(n))


def _repeated(q: Tensor, k: Tensor, tau: Tensor, labels: Tensor) -> Tensor:
    return info_nce(q, k, temperature=tau, symmetric=True, score="dot", exclude=same(labels) & ~paired())


def _plain_repeated(q: Tensor, k: Tensor, tau: Tensor, labels: Tensor) -> Tensor:
    target = torch.arange(len(q), device=q.device)
    others = (labels[:, None] == labels) & (target[:, None] != target)
    logits = (q @ k.T / tau.to(q.dtype)).masked_fill(others, -torch.inf)
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def _labels(q: Tensor, _: Tensor, tau: Tensor, labels: Tensor) -> Tensor:
    return variants.sup_con(q, labels, temperature=tau, score="dot")


def _plain_labels(q: Tensor, _: Tensor, tau: Tensor, labels: Tensor) -> Tensor:
    logits = (q @ q.T / tau.to(q.dtype)).fill_diagonal_(-torch.inf)
    positive = (labels[:, None] == labels).fill_diagonal_(False)
    log_p = logits.log_softmax(1).masked_fill(~positive, 0)
    counts = positive.sum(1)
    return -(log_p.sum(1) / counts.clamp(min=1)).sum() / (counts > 0).sum()


def _queue(q: Tensor, k: Tensor, negatives: Tensor, tau: Tensor) -> Tensor:
    return info_nce(q, k, temperature=tau, negatives=negatives, score="dot")


def _plain_queue(q: Tensor, k: Tensor, negatives: Tensor, tau: Tensor) -> Tensor:
    logits = q @ torch.cat([k, negatives]).T / tau.to(q.dtype)
    return cross_entropy(logits, torch.arange(len(q), device=q.device))


_CLIP = (_symmetric, _plain_symmetric)
ALL = [
    *(Work(f"symmetric {n} × 512", n, 512, *_CLIP) for n in (64, 256, 1024, 2048)),
    Work("symmetric 8192 × 512", 8192, 512, *_CLIP, more=("memeff",)),
    Work("symmetric 32768 × 512", 32768, 512, *_CLIP, more=("torch.compile", "memeff")),
    Work("symmetric 32768 × 1024", 32768, 1024, *_CLIP, more=("memeff",)),
    Work("symmetric 65536 × 512", 65536, 512, *_CLIP, more=("memeff",)),
    Work("symmetric 32768 × 512, float16", 32768, 512, *_CLIP, dtype=torch.float16),
    Work("symmetric 32768 × 512, float32 with TF32", 32768, 512, *_CLIP, dtype=torch.float32),
    Work("symmetric 32768 × 512, float32", 32768, 512, *_CLIP, dtype=torch.float32, tf32=False),
    # A symmetric matrix, here of twice as many rows: half of it forward, and backward its scores and gradients once.
    Work("NT-Xent 32768 pairs × 128", 32768, 128, _views, _plain_views, products=10),
    Work("SupCon 16384 × 128, 1000 labels", 16384, 128, _labels, _plain_labels, labelled=True, products=2.5),
    # Negatives get no gradient.
    Work("MoCo 512 × 65536 + 512, 128", 512, 128, _queue, _plain_queue, further=65536, products=3),
    Work("repeated captions 32768 × 512", 32768, 512, _repeated, _plain_repeated, labelled=True),
]
