"""What is said of a node as its features: which words, hashed."""

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
    """A sparse row of length 1 for each text: the buckets that its words fall into; of a text without words, zeros.

    Words are compared without case. Two share a bucket if their hashes (CRC-32 modulo `n_buckets`) agree, so that
    no vocabulary has to be kept.

    >>> hashed_words(["Red", "a, red  RED", ""], 50).to_dense().sum(dim=1)
    tensor([1.0000, 1.4142, 0.0000])
    """
    rows, cols, values = [], [], []
    for row, text in enumerate(texts):
        words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
        buckets = sorted({zlib.crc32(word.encode()) % n_buckets for word in words})
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
