"""A self-test: whether a loss divided among processes equals the loss of one process."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tellapart._engine.ring import Ring
from tellapart.distributed.gather import world
from tellapart.errors import requirement


class Verdict(NamedTuple):
    """The result of `check_distributed`: a line for each quantity, and whether all of them agree."""

    passed: bool
    lines: list[str]

    def __str__(self) -> str:
        end = "passed" if self.passed else "FAILED: what training would follow is not the gradient of the whole batch"
        return "\n".join([*self.lines, end])


def check_distributed(
    loss: Callable[..., Tensor],
    *,
    alone: Callable[[Tensor, Tensor], Tensor] | None = None,
    rows: Sequence[int] | None = None,
    dim: int = 16,
    tolerance: float = 1e-6,
) -> Verdict:
    """Whether a loss divided among processes equals that of one process, in its value and in every gradient.

    Run it by `torchrun --nproc-per-node 2 check.py`, where `check.py` ends with
    `print(check_distributed(partial(info_nce, symmetric=True)))`. Random embeddings in float64 are divided among the
    processes. Value and gradients are averaged over processes, as in data-parallel training. They are compared with
    those of all rows in one process, relative to their largest entry.

    Args:
        loss: a function of queries, keys and `group`, such as `info_nce`, `nt_xent` or an `InfoNCE`; a module's
            parameters are checked, too.
        alone: the same loss for one process; by default `loss` with `group=None`. Give it to check a loss of another
            library: `loss` is then called without `group`.
        rows: how many rows each process has; by default each has a different number.
        dim: length of the embeddings.
        tolerance: the largest relative difference that passes.

    Raises:
        ValueError: only one process; `rows` without one number per process.

    >>> from tellapart.objective import info_nce
    >>> check_distributed(info_nce)
    Traceback (most recent call last):
    ValueError: `processes` must be at least 2: start it with torchrun --nproc-per-node 2. Got 1.
    """
    if not dist.is_initialized() and "RANK" in os.environ:
        dist.init_process_group()
    if (group := world()) is None:
        raise ValueError(requirement("processes", "be at least 2: start it with torchrun --nproc-per-node 2", 1))
    ring = Ring(group)
    rows = [3 + 2 * rank for rank in range(ring.size)] if rows is None else rows
    if len(rows) != ring.size:
        raise ValueError(requirement("rows", f"have one number per process, {ring.size}", list(rows)))
    parameters = dict(loss.named_parameters()) if isinstance(loss, nn.Module) else {}
    generator = torch.Generator().manual_seed(0)
    whole = [torch.randn(sum(rows), dim, generator=generator, dtype=torch.float64) for _ in range(2)]
    share = [x.split(list(rows))[ring.rank] for x in whole]
    if alone is None:
        expected = _value_and_gradients(lambda q, k: loss(q, k, group=None), whole, parameters)
        mine = _value_and_gradients(lambda q, k: loss(q, k, group=group), share, parameters)
    else:
        expected, mine = (_value_and_gradients(f, x, parameters) for f, x in ((alone, whole), (loss, share)))
    of_rows = {name: torch.cat(ring.gather(mine.pop(name))) for name in ("gradient of queries", "gradient of keys")}
    found = {name: ring.total(x) for name, x in mine.items()} | of_rows
    errors = {name: _difference(found[name] / ring.size, value) for name, value in expected.items()}
    lines = [f"{name} differs by {error:.0e}" for name, error in errors.items()]
    return Verdict(all(error <= tolerance for error in errors.values()), lines)


def _value_and_gradients(
    loss: Callable[..., Tensor], inputs: Sequence[Tensor], parameters: dict[str, nn.Parameter]
) -> dict[str, Tensor]:
    queries, keys = (x.clone().requires_grad_() for x in inputs)
    value = loss(queries, keys)
    wanted = {"queries": queries, "keys": keys} | parameters
    gradients = torch.autograd.grad(value, list(wanted.values()), materialize_grads=True)
    named = {f"gradient of {name}": x for name, x in zip(wanted, gradients, strict=True)}
    return {"value": value.detach()} | named


def _difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest entry."""
    largest = expected.abs().max().clamp(min=torch.finfo(expected.dtype).tiny)
    return float((found - expected).abs().max() / largest)
