"""Simulated reads of a sequencer, and pairs of nearby reads as positives.

All randomness comes from torch's default generator. Positions are counted in the concatenated bases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor

from tellapart.domains.genomes.bases import reverse_complement
from tellapart.errors import check_choice, requirement

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, UInt8

Strand = Literal["either", "forward", "reverse"]


class Places(NamedTuple):
    """Where reads begin, and how many bases they have."""

    begin: Int[Tensor, " n"]
    length: Int[Tensor, " n"]


class Simulated(NamedTuple):
    """Reads, with the row of the region each is from, where it begins, and whether it is of the reverse strand."""

    reads: UInt8[Tensor, "n length"]
    row: Int[Tensor, " n"]
    begin: Int[Tensor, " n"]
    reverse: Bool[Tensor, " n"]


def piece_length(bases: Int[Tensor, " n"], length: int) -> Int[Tensor, " n"]:
    """The length of reads from regions of so many bases: `length`, or three fifths of the region if that is less.

    >>> piece_length(torch.tensor([10**6, 250, 100, 1]), 150).tolist()
    [150, 150, 60, 1]
    """
    # Two pieces of three fifths can differ, and share at least a third of their bases.
    return ((3 * bases + 4) // 5).clamp(max=length)


def neighbours(
    start: Int[Tensor, " n"], stop: Int[Tensor, " n"], share: Float[Tensor, " n"], length: int, window: int
) -> tuple[Places, Places]:
    """Two reads of each region: one at a given position in it, and one that begins nearby.

    A region hardly longer than a read, perhaps a read itself, gives pieces of three fifths, which overlap.

    Args:
        start: where each region begins.
        stop: where it ends: the position after its last base.
        share: the position of the first read, from 0 for the first possible one to 1 for the last.
        length: bases of a read.
        window: how many bases apart the two may begin, at least half a read, so that with 0 they overlap.

    >>> first, second = neighbours(torch.tensor([100]), torch.tensor([900]), torch.tensor([0.5]), length=50, window=0)
    >>> first.begin.tolist(), bool((first.begin - second.begin).abs() <= 25)
    ([475], True)
    """
    bases = stop - start
    size = piece_length(bases, length)
    room, reach = bases - size, (size // 2).clamp(min=window)
    first = (share * (room + 1)).long().minimum(room)
    low, high = (first - reach).clamp(min=0), (first + reach).minimum(room)
    second = low + (torch.rand(len(low)) * (high - low + 1)).long().minimum(high - low)
    return Places(start + first, size), Places(start + second, size)


def sequenced(
    bases: UInt8[Tensor, " total"],
    places: Places,
    stop: Int[Tensor, " n"],
    *,
    error_rate: float = 0.0,
    indels: float = 0.0,
) -> UInt8[Tensor, "n longest"]:
    """The bases at these places, with errors, in the code of `tellapart.domains.genomes.bases`; short reads are padded.

    Args:
        bases: all bases.
        places: where the reads begin and how long they are.
        stop: where each region ends: a read that deletions take beyond it has fewer bases.
        error_rate: the probability that a base is wrong.
        indels: the share of errors that are insertions of any base or deletions, equally often. The other errors
            substitute one of the other three bases. An ambiguous base becomes another of equal ambiguity. An insertion
            at the beginning of a read replaces its first base, like a substitution.

    >>> genome = torch.tensor([1, 2, 4, 8, 8], dtype=torch.uint8)
    >>> sequenced(genome, Places(torch.tensor([0, 3]), torch.tensor([3, 2])), torch.tensor([5, 5])).tolist()
    [[1, 2, 4], [8, 8, 0]]
    """
    for name, value in (("error_rate", error_rate), ("indels", indels)):
        if not 0 <= value <= 1:
            raise ValueError(requirement(name, "lie in [0, 1]", value))
    shape = len(places.begin), int(places.length.max())
    chance = torch.rand(shape)
    inserted, deleted = chance < error_rate * indels / 2, 1 - chance < error_rate * indels / 2
    substituted = (chance < error_rate * (1 - indels / 2)) & ~inserted
    step = 1 - inserted.long() + deleted.long()
    place = (places.begin - step[:, 0])[:, None] + step.cumsum(1)
    reads = bases[place.minimum(stop[:, None] - 1)]
    reads = torch.where(substituted, _shifted(reads, torch.randint(1, 4, shape)), reads)
    reads = torch.where(inserted, _shifted(torch.ones_like(reads), torch.randint(0, 4, shape)), reads)
    return reads.where((torch.arange(shape[1]) < places.length[:, None]) & (place < stop[:, None]), 0)


def from_either_strand(reads: UInt8[Tensor, "n length"]) -> UInt8[Tensor, "n length"]:
    """Each read or, with probability ½, its reverse complement."""
    return torch.where(torch.rand(len(reads), 1) < 0.5, reverse_complement(reads), reads)


def simulate(
    bases: UInt8[Tensor, " total"],
    start: Int[Tensor, " m"],
    stop: Int[Tensor, " m"],
    n: int,
    length: int,
    *,
    error_rate: float = 0.0,
    indels: float = 0.0,
    strand: Strand = "either",
    seed: int = 0,
) -> Simulated:
    """Reads from random positions of a genome: all positions where a read fits are equally likely.

    Args:
        bases: the bases of one genome or several.
        start: where each region begins.
        stop: where it ends.
        n: the number of reads.
        length: bases of each read.
        error_rate: as for `sequenced`.
        indels: as for `sequenced`.
        strand: the strand that reads are from.
        seed: the same seed gives the same reads.

    Raises:
        ValueError: no region is long enough, or an argument out of range.

    >>> genome = torch.tensor([1, 2, 4, 8] * 5, dtype=torch.uint8)
    >>> made = simulate(genome, torch.tensor([0]), torch.tensor([20]), n=3, length=6, seed=1)
    >>> made.reads.shape, bool((made.begin <= 14).all())
    (torch.Size([3, 6]), True)
    """
    check_choice("strand", strand, ("either", "forward", "reverse"))
    room = (stop - start - length + 1).clamp(min=0)
    if length < 1 or not int(room.sum()):
        raise ValueError(requirement("length", f"lie between 1 and {int((stop - start).max())}", length))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        place = torch.randint(int(room.sum()), (n,))
        row = torch.searchsorted(room.cumsum(0), place, right=True)
        begin = start[row] + place - (room.cumsum(0) - room)[row]
        places = Places(begin, torch.full((n,), length))
        reads = sequenced(bases, places, stop[row], error_rate=error_rate, indels=indels)
        reverse = torch.rand(n) < {"forward": 0.0, "either": 0.5, "reverse": 1.0}[strand]
    return Simulated(torch.where(reverse[:, None], reverse_complement(reads), reads), row, begin, reverse)


def _shifted(bases: UInt8[Tensor, "*shape"], by: Int[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Sets of bases shifted in the cyclic order A, C, G, T: 1, 2 and 3 give the other three bases."""
    bits = bases.long()
    return ((bits << by | bits >> (4 - by)) & 15).to(torch.uint8)
