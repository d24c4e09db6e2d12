"""The related pairs of a sparse relation, one by one."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from tellapart._traced import makes_ordinary
from tellapart.relations.lowered import representable

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Shaped

PAIRS_PER_ROW = 8
"""A relation with more pairs than this, per query and key, is read in tiles and not listed."""
_SHORT = 2**11
"""Of a loss of so few queries, making their numbers anew is a notable part."""


class Pairs(NamedTuple):
    """The related pairs of a sparse relation, each once, in order of rows; weights of `None` are ones."""

    rows: Int[Tensor, " p"]
    cols: Int[Tensor, " p"]
    weights: Float[Tensor, " p"] | None = None
    one_each: bool = False
    """Whether `rows` is 0, 1, …, n − 1: each query has exactly one."""
    diagonal: bool = False
    """Whether `cols` is, too, without a look at values."""


def numbers(n: int, device: torch.device | None, *, turned: int = 0) -> Int[Tensor, " n"]:
    """0, 1, …, n − 1, turned by some places. Must not be written to: short ones on the CPU are made once and kept.

    >>> numbers(4, torch.device("cpu"), turned=1)
    tensor([3, 0, 1, 2])
    """
    if n <= _SHORT and device is not None and device.type == "cpu" and makes_ordinary():
        return _kept_numbers(n, turned)
    made = torch.arange(n, device=device)
    return made.roll(turned) if turned else made


@lru_cache(maxsize=32)
def _kept_numbers(n: int, turned: int) -> Int[Tensor, " n"]:
    made = torch.arange(n, device="cpu")
    return made.roll(turned) if turned else made


def few(n_pairs: int, n: int, m: int) -> bool:
    """Whether that many pairs among n queries and m keys are worth listing.

    >>> few(100, 100, 100), few(10_000, 100, 100)
    (True, False)
    """
    return n_pairs <= PAIRS_PER_ROW * (n + m)


def stretches(lengths: Int[Tensor, " n"]) -> tuple[Int[Tensor, " p"], Int[Tensor, " p"]]:
    """Row i `lengths[i]` times over, and a count from 0 within each row.

    >>> [x.tolist() for x in stretches(torch.tensor([2, 0, 1]))]
    [[0, 0, 2], [0, 1, 0]]
    """
    rows = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)
    return rows, torch.arange(len(rows), device=lengths.device) - (lengths.cumsum(0) - lengths)[rows]


def counted(numbers: Int[Tensor, " p"], size: int) -> Int[Tensor, " size"]:
    """How often each number below `size` occurs; the host waits for no value.

    >>> counted(torch.tensor([2, 0, 2]), 3).tolist()
    [1, 0, 2]
    """
    return numbers.new_zeros(size).index_add(0, numbers, torch.ones_like(numbers))


def filtered(pairs: Pairs, values: Shaped[Tensor, " p"]) -> Pairs:
    """The pairs where `values` are not 0, their weights multiplied by them.

    >>> places = torch.tensor([0, 1])
    >>> filtered(Pairs(places, places), torch.tensor([False, True])).rows.tolist()
    [1]
    """
    weights, kept = pairs.weights, values > 0
    if values.dtype != torch.bool:
        weights = representable(values if weights is None else values * weights)
        kept = weights > 0
    return Pairs(
        pairs.rows[kept],
        pairs.cols[kept],
        None if weights is None else weights[kept],
        one_each=pairs.one_each and bool(kept.all()),
    )
