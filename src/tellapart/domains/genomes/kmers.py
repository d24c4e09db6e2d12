"""Composition: the frequency of each k-mer in a read, the same for both strands."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from tellapart.domains.genomes.bases import LETTERS
from tellapart.errors import requirement

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8
    from torch import Tensor

_CHUNK = 256
_MOST = 8
# Any letter other than A, C, G and T makes the number of its word negative.
_DIGITS = torch.tensor(["ACGT".index(letter) if letter in "ACGT" else -(4**_MOST) for letter in LETTERS])


def kmer_profile(reads: UInt8[Tensor, "n length"], k: int = 4) -> Float[Tensor, "n words"]:
    """Frequencies of canonical k-mers: a word and its reverse complement count as one.

    `f_w = #{places of w or its reverse complement} / #{places of k unambiguous bases}`, with a column for each pair of
    words, 136 for k = 4. A read without k unambiguous bases in a row has zeros.

    Args:
        reads: in the code of `tellapart.domains.genomes.bases`, padded or not.
        k: from 1 to 8.

    Raises:
        ValueError: k out of range.

    >>> from tellapart.domains.genomes.bases import encode, padded
    >>> kmer_profile(padded([encode("AAAC"), encode("GTTT")]), k=3)[:, :2]  # AAA or TTT, AAC or GTT
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    if not 1 <= k <= _MOST:
        raise ValueError(requirement("k", f"lie between 1 and {_MOST}", k))
    columns = _columns(k).to(reads.device)
    return torch.cat([_frequencies(chunk, k, columns) for chunk in reads.split(_CHUNK)])


@lru_cache
def _columns(k: int) -> Int[Tensor, " words"]:
    """The column of each word; words are numbered by their digits to base 4."""
    word = torch.arange(4**k)
    turned = torch.zeros_like(word)
    for place in range(k):
        turned = 4 * turned + 3 - word // 4**place % 4
    column: Tensor = torch.minimum(word, turned).unique(return_inverse=True)[1]
    return column


def _frequencies(reads: Tensor, k: int, columns: Tensor) -> Tensor:
    digits = torch.nn.functional.pad(_DIGITS.to(reads.device)[reads.int()], (0, max(0, k - reads.shape[1])), value=-1)
    # Powers of 4, the highest first.
    weight = 4 ** torch.arange(k, device=reads.device).flip(0)
    words = (digits.unfold(1, k, 1) * weight).sum(dim=2)
    counted = (words >= 0).float()
    counts = torch.zeros(len(reads), int(columns.max()) + 1, device=reads.device)
    counts.scatter_add_(1, columns[words.clamp(min=0)], counted)
    return counts / counted.sum(dim=1, keepdim=True).clamp(min=1)
