"""An encoder of DNA as a function of tensors, for `export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from tellapart.domains.genomes.bases import LETTERS, padded
from tellapart.domains.genomes.commands import as_records
from tellapart.runs import TensorEncoder, Unit

if TYPE_CHECKING:
    from torch import Tensor

_LENGTHS = 4, 2**14  # bases of the longest read: a graph has two places at least, of three bases each


def read_encoder(encoder: nn.Module) -> TensorEncoder:
    """Reads to unit embeddings.

    Args:
        encoder: takes `UInt8[Tensor, "n length"]`, as in `tellapart.domains.genomes.bases`.
    """

    def read(given: Any) -> tuple[Tensor, ...]:
        reads = padded([record.bases for record in as_records(given)])
        return (nn.functional.pad(reads, (0, max(0, _LENGTHS[0] - reads.shape[1]))),)

    told = f"uint8 (n, longest), 4 columns at least: the place of each letter in {LETTERS}; - is padding at the end"
    return TensorEncoder(Unit(encoder), {"bases": told}, read, ["ACGTTGCANNACGTTTACGA" * 4, "GATTACA" * 9], _LENGTHS)
