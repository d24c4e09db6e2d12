"""Features of nodes from their texts: hashed words."""

from __future__ import annotations

import re
import unicodedata
import zlib
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor

_WORD = re.compile(r"\w+")


def hashed_words(texts: Sequence[str], n_buckets: int) -> Float[Tensor, "n buckets"]:
    """A sparse row of norm 1 for each text, over the buckets of its words; zeros for a text without words.

    Words are compared without case. Two words share a bucket if their hashes (CRC-32 modulo `n_buckets`) agree, so
    no vocabulary is needed.

    >>> hashed_words(["Red", "a, red  RED", ""], 50).to_dense().sum(dim=1)
    tensor([1.0000, 1.4142, 0.0000])
    """
    rows, cols, values = [], [], []
    for row, text in enumerate(texts):
        words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
        buckets = sorted({zlib.crc32(word.encode("utf-8", "surrogatepass")) % n_buckets for word in words})
        rows += [row] * len(buckets)
        cols += buckets
        values += [max(1, len(buckets)) ** -0.5] * len(buckets)
    return torch.sparse_coo_tensor(
        torch.tensor([rows, cols], dtype=torch.long),
        torch.tensor(values),
        (len(texts), n_buckets),
        is_coalesced=True,
        check_invariants=False,
    )
