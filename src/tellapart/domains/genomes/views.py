"""Reads as a sequencer makes them of DNA: where counterparts come from.

All randomness comes from torch's default generator, and all places are counted in one row of bases.
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
    """Where reads begin, and how many bases they are to have."""

    begin: Int[Tensor, " n"]
    length: Int[Tensor, " n"]


class Simulated(NamedTuple):
    """Reads, which stretch of DNA each was taken from and where it begins, and whether from the other strand."""

    reads: UInt8[Tensor, "n length"]
    row: Int[Tensor, " n"]
    begin: Int[Tensor, " n"]
    reverse: Bool[Tensor, " n"]


def piece_length(bases: Int[Tensor, " n"], length: int) -> Int[Tensor, " n"]:
    """The length of reads that are taken from stretches of so many bases: `length`, or three fifths if that is less.

    >>> piece_length(torch.tensor([10**6, 250, 100, 1]), 150).tolist()
    [150, 150, 60, 1]
    """
    # Two pieces of three fifths are not the same, and have a third of their bases in common at the least.
    return ((3 * bases + 4) // 5).clamp(max=length)


def neighbours(
    start: Int[Tensor, " n"], stop: Int[Tensor, " n"], share: Float[Tensor, " n"], length: int, window: int
) -> tuple[Places, Places]:
    """Two reads of each stretch of DNA: one at a given place in it, and one that begins nearby.

    What is hardly longer than a read, perhaps because it is one, is read in pieces of three fifths, which overlap.

    Args:
        start: where each stretch begins.
        stop: where it ends: the place behind its last base.
        share: where in it the first read is, from 0 for the first place that it can have to 1 for the last.
        length: bases of a read.
        window: how many bases apart the two may begin; never fewer than half a read, so that with 0 they overlap.

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
    """The bases at these places, with errors, as `tellapart.domains.genomes.bases` has them; shorter reads are padded.

    Args:
        bases: all of them.
        places: where the reads begin and how long they are.
        stop: where what is read ends: a read with deletions that comes so far has fewer bases.
        error_rate: the probability that a base is wrong.
        indels: the share of errors that are insertions of any base, or deletions, as many of either; the others are
            substitutions by one of the other three. An ambiguous base becomes another as ambiguous. An insertion at a
            read's very beginning takes the place of its first base, as a substitution would.

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
    reads = torch.where(substituted, _turned(reads, torch.randint(1, 4, shape)), reads)
    reads = torch.where(inserted, _turned(torch.ones_like(reads), torch.randint(0, 4, shape)), reads)
    return reads.where((torch.arange(shape[1]) < places.length[:, None]) & (place < stop[:, None]), 0)


def from_either_strand(reads: UInt8[Tensor, "n length"]) -> UInt8[Tensor, "n length"]:
    """Each read or, as often, its reverse complement."""
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
    """Reads from random places of a genome: all places where one fits are equally likely.

    Args:
        bases: the genome's, or those of several.
        start: where each stretch that can be read begins.
        stop: where it ends.
        n: how many reads.
        length: bases of each.
        error_rate: as for `sequenced`.
        indels: as for `sequenced`.
        strand: from which strand.
        seed: the same seed makes the same reads.

    Raises:
        ValueError: no stretch is long enough, or an argument out of range.

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


def _turned(bases: UInt8[Tensor, "*shape"], by: Int[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Sets of bases moved on in the order A, C, G, T, A: any other base for 1, 2 and 3."""
    bits = bases.long()
    return ((bits << by | bits >> (4 - by)) & 15).to(torch.uint8)
