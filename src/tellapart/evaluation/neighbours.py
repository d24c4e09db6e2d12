"""Nearest neighbours: predict a label by a vote of the most similar training embeddings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from tellapart.errors import requirement
from tellapart.evaluation.labels import check_widths, integer_labels
from tellapart.scores import unit

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from tellapart.evaluation.labels import Labels

_NUMBERS = 2**22  # of embeddings that are normalised at once: 32 MB of them
_SCORES = 2**22  # similarities held at once: 32 MB of them
# Products of equal vectors may differ in their last bits, depending on their places. Rounding makes them tie.
_DECIMALS = 9


def nearest_neighbours(
    train: Float[Tensor, "m d"],
    train_labels: Labels,
    queries: Float[Tensor, "n d"],
    *,
    k: int = 15,
    temperature: float = 0.07,
) -> Int[Tensor, " n"]:
    """Predict each query's label by a weighted vote of its k nearest training embeddings.

    With N_k(i) the k embeddings of largest cosine s_ij with query i, and y_j their labels,

        score_i(c) = Σ_{j ∈ N_k(i), y_j = c} exp(s_ij / τ),    predicted_i = argmax_c score_i(c).

    The smallest label wins every tie, among equally near embeddings and among classes of equal score. Cosines that
    agree to 9 decimals are equal, and so are scores that agree to 9 digits. A zero vector has cosine 0 with all.
    Streams over both: memory does not grow with m, nor with n·m.

    Args:
        train: the embeddings with known labels.
        train_labels: their labels, any integers, one per embedding.
        queries: the embeddings to be labelled.
        k: the number of votes, from 1 to m.
        temperature: τ; the smaller it is, the more the nearest prevail.

    Raises:
        TypeError: embeddings that are not floating-point, labels that are not integers.
        ValueError: an empty set, embeddings that are not finite or differ in width, not one label per training
            embedding, k larger than the training set, τ not positive and finite.

    Source: Wu et al. 2018, §3.4 (with k = 200).

    >>> train = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    >>> nearest_neighbours(train, [7, 7, -2], torch.tensor([[5.0, 1.0], [0.0, 3.0]]), k=2)
    tensor([ 7, -2])
    """
    check_widths(train, queries)
    labels = integer_labels("train_labels", train_labels, m := len(train)).to(train.device)
    if not 1 <= k <= m:
        raise ValueError(requirement("k", f"lie between 1 and {m}, the size of the training set", k))
    if not 0 < temperature < math.inf:
        raise ValueError(requirement("temperature", "be positive and finite", temperature))
    # Sorted by label, the first of several ties has the smallest label.
    ordered, order = labels.sort()
    classes, voters = ordered.unique(return_inverse=True)
    cosines = torch.empty(len(queries), 0, dtype=torch.float64, device=train.device)
    nearest = torch.empty(len(queries), 0, dtype=torch.long, device=train.device)
    most = max(1, _NUMBERS // train.shape[1])
    for first in range(0, m, most):
        known = unit(train[order[first : first + most]].detach().double(), "train")
        cosines, nearest = _with_those_of(known, first, queries, cosines, nearest, k)
    # Relative to the vote of the nearest, since exp(1/τ) may overflow.
    votes = ((cosines - cosines.amax(dim=1, keepdim=True)) / temperature).exp()
    at_once = max(1, _SCORES // len(classes))
    predicted = [
        _first_best(vote.new_zeros(len(vote), len(classes)).scatter_add_(1, voters[near], vote))
        for vote, near in zip(votes.split(at_once), nearest.split(at_once), strict=True)
    ]
    told: Tensor = classes[torch.cat(predicted)]
    return told


def _with_those_of(
    known: Float[Tensor, "b d"],
    first: int,
    queries: Float[Tensor, "n d"],
    cosines: Float[Tensor, "n c"],
    nearest: Int[Tensor, "n c"],
    k: int,
) -> tuple[Float[Tensor, "n e"], Int[Tensor, "n e"]]:
    """The k nearest of each query among those found so far and a block of known embeddings, by ascending place.

    Args:
        known: the block, at length 1.
        first: the place of its first embedding; all found so far have lower ones.
        queries: of any length.
        cosines: of those found so far …
        nearest: … and their places.
        k: how many are kept.
    """
    found = []
    at_once = max(1, min(_SCORES // len(known), _NUMBERS // known.shape[1]))
    for start in range(0, len(queries), at_once):
        rows = slice(start, start + at_once)
        here, places = _nearest(unit(queries[rows].detach().double(), "queries") @ known.T, min(k, len(known)))
        both = torch.cat([cosines[rows], here], dim=1), torch.cat([nearest[rows], places + first], dim=1)
        order = both[1].argsort(dim=1)
        scores, columns = (part.gather(1, order) for part in both)
        best, kept = _nearest(scores, min(k, scores.shape[1]))
        found.append((best, columns.gather(1, kept)))
    parts = zip(*found, strict=True)
    return tuple(map(torch.cat, parts))  # type: ignore[return-value]


def _nearest(similar: Float[Tensor, "n m"], k: int) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """Each row's k largest entries, rounded, and their columns; of ties for the last place, the first columns."""
    best, places = similar.topk(min(k + 1, similar.shape[1]), dim=1)
    best.round_(decimals=_DECIMALS)
    # If the next best ties with the k-th, topk took any of the ties.
    tied = (best[:, k - 1 : k] == best[:, k:]).any(dim=1)
    if tied.any():
        places[tied, :k] = _first_of_equals(similar[tied].round_(decimals=_DECIMALS), best[tied, k - 1 : k], k)
    places = places[:, :k]
    return similar.gather(1, places).round_(decimals=_DECIMALS), places


def _first_of_equals(similar: Float[Tensor, "n m"], last: Float[Tensor, "n 1"], k: int) -> Int[Tensor, "n k"]:
    """The columns of all entries above each row's k-th largest, and of the first that equal it, up to k in all."""
    above, level = similar > last, similar == last
    room = k - above.sum(dim=1, keepdim=True)
    chosen = above | (level & (level.cumsum(dim=1) <= room))
    return chosen.nonzero()[:, 1].view(-1, k)


def _first_best(scores: Float[Tensor, "n c"]) -> Int[Tensor, " n"]:
    """The first column in each row that equals the largest, up to rounding."""
    best = scores.amax(dim=1, keepdim=True) * (1 - 10**-_DECIMALS)
    first: Tensor = (scores >= best).byte().argmax(dim=1)
    return first
