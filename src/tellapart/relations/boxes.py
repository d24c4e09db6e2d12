"""Near pairs of points, found by boxes as large as what counts as near."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.relations.pairs import few, stretches

if TYPE_CHECKING:
    from jaxtyping import Float, Int

MOST_AXES = 3
"""Points of more coordinates have too many boxes round them."""
_BOXES = 2**19  # along each axis at most, so that three axes of them are numbered in 64 bits


def meeting(
    coordinates: list[tuple[Float[Tensor, "n axes"], Float[Tensor, "m axes"]] | None],
) -> tuple[Int[Tensor, " p"], Int[Tensor, " p"]] | None:
    """Pairs that hold all those at most 1 apart along each axis of several coordinates, and others.

    `None` if they are not few, or if fewer than two coordinates are known. Those of most axes are left out, where all
    of them are too many.

    >>> group, time = torch.tensor([[0.0], [3.0]]), torch.tensor([[0.0], [0.5]])
    >>> meeting([(group, group), None, (time, time)])
    (tensor([0, 1]), tensor([0, 1]))
    """
    known = sorted((sides for sides in coordinates if sides is not None), key=lambda sides: sides[0].shape[1])
    while known and sum(sides[0].shape[1] for sides in known) > MOST_AXES:
        known.pop()
    if len(known) < 2:
        return None
    queries, keys = (torch.cat([x.to(known[0][0]) for x in side], dim=1) for side in zip(*known, strict=True))
    return near_pairs(queries, keys, 1.0)


def near_pairs(
    queries: Float[Tensor, "n axes"], keys: Float[Tensor, "m axes"], radius: float
) -> tuple[Int[Tensor, " p"], Int[Tensor, " p"]] | None:
    """Pairs in order of the queries that hold all those at most `radius` apart, and others not much farther.

    `None` if they are not few. Points are sorted into boxes at least as wide as the radius; a query looks into its own
    box and those round it, those of one row at once.

    >>> near_pairs(torch.zeros(1, 2), torch.tensor([[0.5, 0.5], [9.0, 0.0]]), 1.0)
    (tensor([0]), tensor([0]))
    """
    if not len(queries) or not len(keys) or queries.shape[1] > MOST_AXES:
        return None
    queries, keys = queries.double(), keys.double()
    low, high = (torch.cat([getattr(side, way)(0).values[None] for side in (queries, keys)]) for way in ("min", "max"))
    low, span = low.amin(0), (high.amax(0) - low.amin(0)).amax()
    # A little wider than the radius, so that rounding puts no near pair two boxes apart.
    width = max(radius * 1.001, float(span) / _BOXES, torch.finfo(torch.float64).tiny)
    # From 1, so that there is a box before the first.
    of_query, of_key = (((side - low) / width).floor().long() + 1 for side in (queries, keys))
    size = torch.cat([of_query, of_key]).amax(0) + 2
    place = [1]
    for extent in size.flip(0)[:-1].tolist():
        place.insert(0, place[0] * extent)
    number_of = torch.tensor(place, device=size.device)
    ordered, order = (of_key * number_of).sum(1).sort(stable=True)
    # The last axis is the quickest: three boxes in a row have consecutive numbers.
    rows_round = torch.tensor(
        [[*shift, 0] for shift in itertools.product((-1, 0, 1), repeat=len(place) - 1)], device=size.device
    )
    middle = ((of_query[:, None] + rows_round) * number_of).sum(2).flatten()
    first = torch.searchsorted(ordered, middle - 1)
    counts = torch.searchsorted(ordered, middle + 1, right=True) - first
    # Boxes hold several times what is near.
    if not few(int(counts.sum()) // 3 ** len(place), len(queries), len(keys)):
        return None
    looked, step = stretches(counts)
    return looked // len(rows_round), order[first[looked] + step]
