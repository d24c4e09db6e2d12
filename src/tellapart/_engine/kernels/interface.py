"""What computes a block of the score matrix, as the streaming reduction sees it.

A block is the whole matrix in one process, or this process's queries against the keys of one rank in the ring. The
reduction over blocks (`_engine/streamed.py`) knows nothing of devices; a kernel knows nothing of autograd.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

from tellapart.relations import Pairs, Relation

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart._engine.candidates import Candidates
    from tellapart._engine.kernels.accumulators import Form, LogitGrad, OnlineSum
    from tellapart._engine.kernels.grid import Tiling


class Block(NamedTuple):
    """A part of the score matrix, `S_ij = scale_i · key_scale_j · q_i·k_j`, and what counts of it."""

    queries: Float[Tensor, "n e"]
    keys: Float[Tensor, "c e"]
    scale: float | Tensor
    """One number or, of half vectors, one for each query."""
    candidates: Candidates
    form: Form
    """In which form scores are added up: it is the same for all blocks, and decided from all of them."""
    tiling: Tiling
    positives: tuple[Pairs, ...] | Relation | None = None
    """The positives, if the largest logits of positives and negatives are wanted."""
    kernels: str = "auto"
    """Which kernels `options` asked for when the block was scheduled."""
    key_scale: Float[Tensor, " c"] | None = None
    """Of half vectors, if there is one."""


Moments = tuple[Tensor | None, Tensor | None]
"""`Σ_j G_ij S_ij` of each query and `Σ_i G_ij S_ij` of each key, before weights: what the scales' gradients are of.

With one scale for all scores, one sum over all, and perhaps `None`.
"""

KeptTiles = dict[tuple[int, int], Tensor]
"""Tiles that backward need not compute again, by their place in the grid."""


@dataclass
class Sums:
    """What a block adds up to."""

    rows: OnlineSum
    cols: OnlineSum | None
    """Of the keys, if their sums are wanted; of a symmetric matrix they are those of the rows."""
    row_maxima: Float[Tensor, "n 2"] | None = None
    """Largest logit of the positives and of the negatives of each row; −∞ where there is none."""
    col_maxima: Float[Tensor, "m 2"] | None = None
    kept: KeptTiles = field(default_factory=dict)

    def merged(self, other: Sums) -> Sums:
        """The same, with what another block adds up to."""
        self.rows.merge(other.rows)
        if self.cols is not None and other.cols is not None:
            self.cols.merge(other.cols)
        for own, found in ((self.row_maxima, other.row_maxima), (self.col_maxima, other.col_maxima)):
            if own is not None and found is not None and len(found):
                torch.maximum(own, found, out=own)
        self.kept |= other.kept
        return self


class Kernel(Protocol):
    """Computes blocks of the score matrix on some devices."""

    name: str

    def supports(self, block: Block) -> str | None:
        """`None` if the kernel can compute the block, else the reason why not."""

    def forward(self, block: Block, *, columns: bool, keep: int) -> Sums:
        """The sums over a block; up to `keep` of its scores may be kept for `backward`."""

    def backward(
        self,
        block: Block,
        kept: KeptTiles,
        row_grad: LogitGrad,
        col_grad: LogitGrad | None,
        into: tuple[Float[Tensor, "n e"] | None, Float[Tensor, "c e"] | None],
        *,
        moments: bool = False,
    ) -> Moments | None:
        """Add the gradients of queries and keys, `scale · G K` and `scale · Gᵀ Q`, to those that are given.

        With `moments`, those of the sides that have a gradient; `None` if products of vectors and gradients are as
        exact.
        """

    def fuses(self, block: Block) -> bool:
        """Whether `fused` can compute the block."""

    def fused(self, block: Block, request: FusedRequest) -> FusedResult:
        """Row sums and their gradient in one pass over the scores."""


class FusedRequest(NamedTuple):
    """What is wanted of a fused pass: `log Z − reference`, and gradients for `Σ_i log(Z_i + exp(rest_i))`."""

    reference: Float[Tensor, " n"]
    rest: Float[Tensor, " n"] | None
    """Logarithm of what is added to Z afterwards; ∞ for a row that is not in the sum, `None` for nothing."""
    needs_queries: bool
    needs_keys: bool


class FusedResult(NamedTuple):
    """`log Z − reference`, and the gradients that were wanted."""

    log_z: Float[Tensor, " n"]
    rows: OnlineSum
    expected: Float[Tensor, " n"]
    """The upstream gradient by log Z for which the keys' gradient holds, up to a common factor."""
    queries_grad: Float[Tensor, "n e"] | None
    """Per unit of each row's upstream gradient."""
    keys_grad: Float[Tensor, "c e"] | None
    row_maxima: Float[Tensor, "n 2"] | None
