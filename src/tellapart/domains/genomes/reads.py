"""Pairs of reads for training, taken from loci by the options."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from tellapart.domains.genomes.bases import reverse_complement
from tellapart.domains.genomes.views import from_either_strand, neighbours, sequenced

if TYPE_CHECKING:
    from jaxtyping import Int, UInt8
    from torch import Tensor

    from tellapart.domains.genomes.dataset import Loci
    from tellapart.domains.genomes.options import GenomeOptions


class Reads(NamedTuple):
    """Reads, with their sequences and their starts in all bases."""

    bases: UInt8[Tensor, "n length"]
    sequence: Int[Tensor, " n"]
    begin: Int[Tensor, " n"]


def read_twice(loci: Loci, options: GenomeOptions) -> Reads:
    """Two reads of each locus, on its device: first the first reads of all loci, then the second."""
    places = neighbours(loci.start, loci.stop, loci.shares(), options.read_length, options.window)
    if options.counterpart == "strand":
        places = places[0], places[0]
    errors = {"error_rate": options.error_rate, "indels": options.indels}
    first, second = (sequenced(loci.bases, place, loci.stop, **errors) for place in places)
    if options.counterpart == "strand":
        second = reverse_complement(second)
    elif options.counterpart == "both":
        first, second = from_either_strand(first), from_either_strand(second)
    begin = torch.cat([place.begin for place in places])
    reads = Reads(torch.cat([first, second]), loci.sequence.repeat(2), begin)
    return Reads(*(column.to(device=loci.device) for column in reads))
