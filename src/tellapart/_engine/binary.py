"""The binary relatives of `log Z`: sums of softplus over all candidates, streamed.

F_i = Σ_j log(1 + exp S_ij),    ∂F_i/∂S_ij = σ(S_ij)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn.functional import pad, softplus

from tellapart._engine.candidates import Candidates
from tellapart._engine.dispatch import choose
from tellapart._engine.kernels.accumulators import SOFTPLUS_THRESHOLD
from tellapart._engine.pairs import pair_products, segment_sum
from tellapart._engine.precision import full_precision
from tellapart._engine.problem import LineUp
from tellapart._engine.share import Share
from tellapart._engine.streamed import softplus_sum
from tellapart._traced import untraced

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


@full_precision
def evaluate_binary(line_up: LineUp, *, only_negatives: bool = False) -> Float[Tensor, " n"]:
    """`Σ_{j positive} softplus(−S_ij) + Σ_{j other candidate} softplus(S_ij)` of each query, in nats.

    With `only_negatives` the other candidates are the further negatives alone, and no query's other keys.

    >>> import torch
    >>> evaluate_binary(LineUp.build(torch.eye(2), torch.eye(2), temperature=1.0))  # log(1 + 1/e) + log 2
    tensor([1.0064, 1.0064])
    """
    if line_up.is_traced and choose(line_up, "auto") == "dense":
        return _of_whole(line_up, only_negatives)
    return untraced(_streamed)(line_up, only_negatives)


def _streamed(line_up: LineUp, only_negatives: bool) -> Tensor:
    share = Share(line_up, "out", symmetric=False)
    queries, keys, relation = line_up.scaled_queries(), line_up.scaled_keys(), line_up.positives
    n, m, c = share.n, share.m, share.c
    pairs, candidates = share.listed_positives(), share.candidates()[0]._replace(mirrored=False)
    if pairs is not None:
        values, queries, keys = pair_products(queries, keys, pairs)
        total = segment_sum(_softplus(-values), pairs.rows, n)
        candidates = candidates.without(pairs)
    else:
        total = softplus_sum(-queries, keys[:m], Candidates(n, m, m, among=~~relation))
        candidates = candidates.only(~relation)
    if not only_negatives:
        total = total + softplus_sum(queries, keys, candidates)
    elif c > m:
        total = total + softplus_sum(queries, keys[m:], Candidates(n, c - m, c - m))
    return total if line_up.mined is None else total + _softplus(line_up.mined).sum(1)


def _of_whole(line_up: LineUp, only_negatives: bool) -> Tensor:
    """The same by plain operations on the whole matrix, which may be traced."""
    logits, m = line_up.logits(), line_up.n_keys
    n, more = len(logits), logits.shape[1] - m
    positive = line_up.positives.tile(slice(0, n), slice(0, m), logits.device) > 0
    total = _softplus(-logits[:, :m]).masked_fill(~positive, 0).sum(1)
    if only_negatives:
        total = total + _softplus(logits[:, m:]).sum(1)
    else:
        out = positive
        if line_up.exclude is not None:
            out = out | (line_up.exclude.tile(slice(0, n), slice(0, m), logits.device) > 0)
        total = total + _softplus(logits).masked_fill(pad(out, (0, more)), 0).sum(1)
    return total if line_up.mined is None else total + _softplus(line_up.mined).sum(1)


def _softplus(values: Tensor) -> Tensor:
    return softplus(values, threshold=SOFTPLUS_THRESHOLD)
