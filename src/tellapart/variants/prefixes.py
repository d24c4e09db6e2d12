"""Embeddings of which every prefix is an embedding: Matryoshka representation learning."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tellapart.errors import check_vectors, requirement

if TYPE_CHECKING:
    from jaxtyping import Float


def matryoshka(
    loss: Callable[..., Tensor],
    *vectors: Float[Tensor, "_ d"],
    widths: Sequence[int],
    weights: Sequence[float] | None = None,
    **options: Any,
) -> Float[Tensor, "..."]:
    """The sum of the losses of prefixes, `L = Σ_w c_w L(q_{:w}, k_{:w})`: the first w entries are an embedding, too.

    `matryoshka(info_nce, queries, keys, widths=(64, 128, 256))` with the default score, the cosine, gives each prefix
    the length 1 by itself. Loss and options stay the same for every width, and so do relations: `guided(g, h)` goes by
    the vectors that it was made of. Entries beyond the largest width get no gradient.

    Each width is one evaluation of the loss, streamed or not as the loss itself is.

    Args:
        loss: `info_nce`, `nt_xent`, an `InfoNCE`, or another member of the family.
        vectors: what the loss takes as vectors `(_, d)`, such as queries and keys, or views.
        widths: the lengths w of the prefixes, at most d, in any order; name d itself to train whole vectors.
        weights: c_w ≥ 0, one per width; by default 1, so that L is the plain sum and not the mean.
        options: the loss's other arguments. Shared or own `negatives` are cut like the vectors.

    Raises:
        TypeError: vectors that are not floating-point.
        ValueError: no width, or one that is below 1, above d or there twice; weights that are negative, not finite or
            not as many; a score with weights of a fixed width, such as `Bilinear`; or as the loss.

    Source: Kusupati et al. 2022, eq. 1.

    >>> x = torch.tensor([[1.0, 0.0, 5.0], [0.0, 1.0, 5.0]])
    >>> from tellapart import info_nce
    >>> matryoshka(info_nce, x, x, widths=(2, 3), temperature=1.0)  # log(1 + e⁻¹) and log(1 + e^(−1/26))
    tensor(0.9874)
    """
    negatives = options.get("negatives")
    cut = vectors if negatives is None else (*vectors, negatives)
    _check(vectors, negatives, widths, options.get("score", getattr(loss, "score", None)))
    shares = [1.0] * len(widths) if weights is None else _checked(weights, len(widths))
    losses = []
    for width, share in zip(widths, shares, strict=True):
        # What is passed twice is cut once: where a loss sees that queries are keys, half of the matrix is enough.
        prefixes = {id(x): x[..., :width] for x in cut}
        given = options if negatives is None else options | {"negatives": prefixes[id(negatives)]}
        losses.append(share * loss(*(prefixes[id(x)] for x in vectors), **given))
    return torch.stack(losses).sum(0)


def _check(vectors: tuple[Tensor, ...], negatives: Tensor | None, widths: Sequence[int], score: object) -> None:
    if not vectors:
        raise ValueError(requirement("vectors", "hold at least the queries", "none"))
    for x in vectors:
        check_vectors("vectors", x, empty=True)
    if negatives is not None:
        check_vectors("negatives", negatives, dims=(2, 3), empty=True)
    if not len(widths):
        raise ValueError(requirement("widths", "hold at least one width", "none"))
    most = min(x.shape[-1] for x in vectors)
    for width in widths:
        _check_width(width, most)
    if len(set(widths)) < len(widths):
        raise ValueError(requirement("widths", "be different", list(widths)))
    if isinstance(score, nn.Module):
        must = "take vectors of any width, as 'cosine', 'dot' and 'sqeuclidean' do"
        raise ValueError(requirement("score", must, type(score).__name__))


def _check_width(width: object, most: int) -> None:
    if not isinstance(width, Integral) or not 1 <= int(width) <= most:
        raise ValueError(requirement("widths", f"be whole numbers from 1 to {most}, the vectors' width", width))


def _checked(weights: Sequence[float], n: int) -> list[float]:
    found = [float(weight) for weight in weights]
    if len(found) != n:
        raise ValueError(requirement("weights", f"hold one for each of the {n} widths", len(found)))
    if any(not 0 <= weight < math.inf for weight in found):
        raise ValueError(requirement("weights", "be finite and at least 0", found))
    return found
