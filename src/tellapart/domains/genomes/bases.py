"""The alphabet of DNA. A base is a set of four bits: which of A, C, G and T a letter may mean.

A is 1, C 2, G 4 and T 8. Of IUPAC's ambiguous letters R, "A or G", is 5, and N, any base, is 15. 0 is no base: it pads
short reads in a batch. The bits in reverse order are the complement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8
    from torch import Tensor

LETTERS = "-ACMGRSVTWYHKDBN"
"""The letter of each set of bases."""
ANY = len(LETTERS) - 1
"""N, the set of all bases."""
UNKNOWN = 255
"""The code of a letter that is not a base."""

_COMPLEMENT = torch.tensor([int(f"{bits:04b}"[::-1], 2) for bits in range(16)], dtype=torch.uint8)


def _readings() -> UInt8[np.ndarray, "256"]:
    """The base of each byte of a file: lower case means the same as upper case, and RNA's U is T."""
    table = np.full(256, UNKNOWN, dtype=np.uint8)
    for bits, letter in enumerate(LETTERS[1:], 1):
        table[ord(letter)] = table[ord(letter.lower())] = bits
    table[ord("U")] = table[ord("u")] = LETTERS.index("T")
    return table


def _shares() -> Float[Tensor, "16 4"]:
    bits = torch.arange(16)[:, None] >> torch.arange(4) & 1
    return bits / bits.sum(dim=1, keepdim=True).clamp(min=1)


_READINGS, _SHARES = _readings(), _shares()


def encode(letters: str) -> UInt8[np.ndarray, " n"]:
    """Letters as bases; `UNKNOWN` for a letter that is not a base.

    >>> encode("ACgtuNR-").tolist()
    [1, 2, 4, 8, 8, 15, 5, 255]
    """
    return _READINGS[np.frombuffer(letters.encode("latin-1", "replace"), dtype=np.uint8)]


def decode(bases: UInt8[Tensor, " n"]) -> str:
    """Bases as letters; padding is "-".

    >>> decode(torch.from_numpy(encode("acgun")))
    'ACGTN'
    """
    return "".join(LETTERS[bits] for bits in bases.tolist())


def shares(bases: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape 4"]:
    """One-hot bases; an ambiguous base has equal shares of those it may be, and padding is zero.

    >>> shares(torch.from_numpy(encode("GR")))
    tensor([[0.0000, 0.0000, 1.0000, 0.0000],
            [0.5000, 0.0000, 0.5000, 0.0000]])
    """
    return torch.nn.functional.embedding(bases.int(), _SHARES.to(bases.device))


def lengths(reads: UInt8[Tensor, "n length"]) -> Int[Tensor, " n"]:
    """The number of bases of each read, without its padding.

    >>> lengths(torch.tensor([[1, 15, 0], [8, 4, 2]], dtype=torch.uint8)).tolist()
    [2, 3]
    """
    return (reads != 0).sum(dim=1)


def reverse_complement(reads: UInt8[Tensor, "n length"]) -> UInt8[Tensor, "n length"]:
    """The reverse complement of reads; padding stays at the end.

    >>> read = torch.from_numpy(encode("AACGN"))[None]
    >>> decode(reverse_complement(read)[0])
    'NCGTT'
    """
    places = lengths(reads)[:, None] - 1 - torch.arange(reads.shape[1], device=reads.device)
    turned = reads.gather(1, places.clamp(min=0)).where(places >= 0, 0)
    return _COMPLEMENT.to(reads.device).index_select(0, turned.int().flatten()).view_as(turned)


def padded(reads: list[UInt8[np.ndarray, " length"]]) -> UInt8[Tensor, "n longest"]:
    """Reads of any lengths as one tensor, padded with 0.

    >>> padded([encode("AC"), encode("G")]).tolist()
    [[1, 2], [4, 0]]
    """
    together = np.zeros((len(reads), max(map(len, reads))), dtype=np.uint8)
    for row, read in zip(together, reads, strict=True):
        row[: len(read)] = read
    return torch.from_numpy(together)
