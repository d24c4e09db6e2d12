"""Vectors for pieces of words by their spelling: pieces spelled alike have similar vectors from the start."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tellapart.domains.text.ragged import Ragged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int

_LENGTHS = (3, 4, 5)


class Spelling(nn.Module):
    """The sum of the vectors of a piece's n character n-grams (3 to 5; all of a shorter piece), divided by √n.

    Two n-grams share a vector if their hashes agree (CRC-32 modulo `buckets`). At first the vectors have length 1.

    Source: Bojanowski et al. 2017 (fastText), §3.2, for the n-grams.

    >>> Spelling(["▁form", "▁format", "x"], buckets=100, width=8)(torch.tensor([2, 0])).shape
    torch.Size([2, 8])
    """

    def __init__(self, pieces: Sequence[str], buckets: int, width: int) -> None:
        super().__init__()
        grams = [_grams(piece) for piece in pieces]
        places = [zlib.crc32(gram.encode("utf-8", "surrogatepass")) % buckets for found in grams for gram in found]
        self.register_buffer("places", torch.tensor(places), persistent=False)
        self.register_buffer("counts", torch.tensor([len(found) for found in grams]), persistent=False)
        self.bag = nn.EmbeddingBag(buckets, width, mode="sum")
        nn.init.normal_(self.bag.weight, std=width**-0.5)

    def forward(self, numbers: Int[Tensor, " k"]) -> Float[Tensor, "k width"]:
        """The vectors of pieces, by their numbers."""
        assert isinstance(self.places, Tensor)
        assert isinstance(self.counts, Tensor)
        chosen = Ragged((self.places,), self.counts).rows(numbers)
        summed: Tensor = self.bag(chosen.columns[0], chosen.starts())
        return summed / chosen.lengths.to(summed.dtype).sqrt()[:, None]


def _grams(piece: str) -> list[str]:
    return [piece[i : i + n] for n in _LENGTHS for i in range(len(piece) - n + 1)] or [piece]
