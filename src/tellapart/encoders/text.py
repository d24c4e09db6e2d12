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


def ngrams(text: str) -> list[str]:
    """The words of a text, with their ends marked, and the character n-grams (3 to 5) within them.

    Letters of scripts without case, many of which put no space between words, also stand alone. A text
    without a word is the empty word.

    Source: Bojanowski et al. 2017 (fastText), §3.2.

    >>> ngrams("Cat")
    ['<cat>', '<ca', 'cat', 'at>', '<cat', 'cat>']
    >>> ngrams("猫")
    ['<猫>', '猫']
    """
    pieces = []
    for word in unicodedata.normalize("NFKC", text).casefold().split() or [""]:
        marked = f"<{word}>"
        pieces.append(marked)
        pieces += [marked[i : i + n] for n in _LENGTHS if n < len(marked) for i in range(len(marked) - n + 1)]
        pieces += [letter for letter in word if unicodedata.category(letter) == "Lo"]
    return pieces


class NgramBag(nn.Module):
    """Texts to embeddings: the mean of the vectors of a text's hashed n-grams, then one linear layer.

    Two n-grams share a vector if their hashes (CRC-32 modulo `buckets`) agree. In training a share
    `dropout` of a text's n-grams is left out at random, so that no single word has to be there.

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
        bags = [[zlib.crc32(piece.encode()) % self.bag.num_embeddings for piece in ngrams(text)] for text in texts]
        device = self.bag.weight.device
        buckets = torch.tensor([bucket for bag in bags for bucket in bag], device=device)
        sizes = torch.tensor([len(bag) for bag in bags], device=device)
        kept = torch.ones(len(buckets), dtype=self.bag.weight.dtype, device=device)
        if self.training:
            kept = (torch.rand_like(kept) >= self.dropout).to(kept.dtype)
        owner = torch.arange(len(bags), device=device).repeat_interleave(sizes)
        n_kept = torch.zeros(len(bags), dtype=kept.dtype, device=device).index_add(0, owner, kept)
        weights = kept / n_kept.clamp(min=1)[owner]
        embeddings: Tensor = self.head(self.bag(buckets, sizes.cumsum(0) - sizes, per_sample_weights=weights))
        return embeddings
