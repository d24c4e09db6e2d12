"""Texts to embeddings through hashed words and character n-grams: any script, no vocabulary, no tokeniser."""

from __future__ import annotations

import unicodedata
import zlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float

_LENGTHS = (3, 4, 5)


def ngrams(text: str) -> list[list[str]]:
    """The words of a text, each as itself, with its ends marked, and its character n-grams (3 to 5).

    Letters of scripts without case, many of which put no space between words, also stand alone. A text
    without a word is the empty word.

    Source: Bojanowski et al. 2017 (fastText), §3.2.

    >>> ngrams("a Cat")
    [['<a>'], ['<cat>', '<ca', 'cat', 'at>', '<cat', 'cat>']]
    >>> ngrams("猫")
    [['<猫>', '猫']]
    """
    words = []
    for word in unicodedata.normalize("NFKC", text).casefold().split() or [""]:
        marked = f"<{word}>"
        pieces = [marked[i : i + n] for n in _LENGTHS if n < len(marked) for i in range(len(marked) - n + 1)]
        words.append([marked, *pieces, *(letter for letter in word if unicodedata.category(letter) == "Lo")])
    return words


class NgramBag(nn.Module):
    """Texts to embeddings: the mean of a text's words, each the mean of its n-grams' vectors, then a linear layer.

    Every word counts the same, however long it is. Two n-grams share a vector if their hashes (CRC-32 modulo
    `buckets`) agree. In training a share `dropout` of a text's n-grams is left out at random, so that no
    single word has to be there.

    >>> NgramBag(dim=16, buckets=100, width=8)(["red fish", "", "小猫"]).shape
    torch.Size([3, 16])
    """

    def __init__(self, dim: int, buckets: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(buckets, width, mode="sum")
        nn.init.normal_(self.bag.weight, std=width**-0.5)
        self.head = nn.Linear(width, dim)
        self.dropout = dropout

    def forward(self, texts: Sequence[str]) -> Float[Tensor, "n dim"]:
        """Embed texts, each on its own: the result does not depend on the others."""
        weight = self.bag.weight
        buckets, shares, sizes = [], [], []
        for words in map(ngrams, texts):
            for pieces in words:
                buckets += [zlib.crc32(piece.encode()) % self.bag.num_embeddings for piece in pieces]
                shares += [1 / (len(words) * len(pieces))] * len(pieces)
            sizes.append(sum(map(len, words)))
        owner = torch.arange(len(texts), device=weight.device).repeat_interleave(torch.tensor(sizes).to(weight.device))
        share = torch.tensor(shares, dtype=weight.dtype, device=weight.device)
        if self.training:
            share = share * (torch.rand_like(share) >= self.dropout)
            total = torch.zeros(len(texts), dtype=weight.dtype, device=weight.device).index_add(0, owner, share)
            share = share / torch.where(total > 0, total, 1)[owner]
        starts = torch.tensor([0, *sizes[:-1]]).cumsum(0).to(weight.device)
        bags = self.bag(torch.tensor(buckets, device=weight.device), starts, per_sample_weights=share)
        embeddings: Tensor = self.head(bags)
        return embeddings
