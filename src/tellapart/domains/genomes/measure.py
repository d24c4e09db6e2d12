"""Evaluation of embeddings of reads: whether they predict labels, and whether they retrieve nearby reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tellapart.domains.genomes.bases import reverse_complement
from tellapart.domains.genomes.kmers import kmer_profile
from tellapart.domains.genomes.views import from_either_strand, neighbours, sequenced, simulate
from tellapart.evaluation import (
    Table,
    clustering,
    density_clustering,
    found_by,
    nearest_neighbours,
    relative_distance,
)
from tellapart.relations import same, within

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8
    from torch import Tensor

    from tellapart.domains.genomes.buckets import Encode
    from tellapart.domains.genomes.options import GenomeOptions
    from tellapart.domains.genomes.sequences import Regions

    Labelled = tuple[UInt8[Tensor, "n length"], Int[Tensor, " n"]]

LENGTHS = (150, 500, 2000)
_MOST_READS, _OF_A_LABEL, _K = 4000, 500, 15


def species_told(known: Regions, test: Regions, encoders: dict[str, Encode], options: GenomeOptions) -> Table:
    """A table of how well reads of three lengths predict their labels: chance, composition, then each encoder.

    Each label has the same number of reads, with the options' errors and from either strand. A label is left out if
    less than half of its bases are in regions as long as a read. If no length is possible, the longest possible is
    used.

    Args:
        known: regions of the reads with known labels.
        test: regions of the reads to label.
        encoders: for each encoder's name, a function of reads.
        options: errors and seed.
    """
    n_labels = len(known.classes)
    limits = torch.tensor([min(_n50(part, label) for part in (known, test)) for label in range(n_labels)])
    longest = int(limits.sort(descending=True).values[1])  # possible for at least two labels
    lengths = [length for length in LENGTHS if length <= longest] or [longest]
    rows: list[list[str | float]] = []
    for length in lengths:
        labels = (limits >= length).nonzero().flatten()
        n = min(_OF_A_LABEL, -(-_MOST_READS // len(labels)))
        labelled, unseen = (_labelled(part, labels, n, length, options, i) for i, part in enumerate((known, test)))
        rows.append([f"{length} bases", "chance", 1 / len(labels), 0.0, 0.0, "", ""])
        compared = _compositions(labelled[0]) | encoders
        rows += [["", name, *_figures(encode, labelled, unseen)] for name, encode in compared.items()]
    n_told = int((limits >= min(lengths)).sum())
    title = f"Which of {n_told} labels a read has, for held-out reads, at most {_OF_A_LABEL} of each"
    if n_told < n_labels:
        short = n_labels - n_told
        title += f"; left out: {short} {'label' if short == 1 else 'labels'} without regions long enough on both sides"
    header = ["", "", f"{_K}-NN", "k-means ARI", "HDBSCAN ARI", "clustered", "strands"]
    return Table(title, header, rows, ["", "", *(".3f" for _ in header[2:])], _NOTES)


def places_found(regions: Regions, encoders: dict[str, Encode], options: GenomeOptions) -> Table:
    """A table of retrieval: whether a read finds another from its neighbourhood, among reads of all positions.

    Args:
        regions: the regions that reads are taken from.
        encoders: for each encoder's name, a function of reads.
        options: the reads' length and errors, the window of a neighbourhood, and the seed.
    """
    n = min(_MOST_READS // 4, len(regions) * 50)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        row = torch.multinomial(regions.lengths().double(), n, replacement=True)
        start, stop, sequence = regions.start[row], regions.stop[row], regions.sequence[row]
        both = neighbours(start, stop, torch.rand(n, dtype=torch.float64), options.read_length, options.window)
        errors = {"error_rate": options.error_rate, "indels": options.indels}
        queries, keys = (from_either_strand(sequenced(regions.bases, places, stop, **errors)) for places in both)
    near = within(both[0].begin, both[1].begin, max(options.window, options.read_length // 2))
    encoders = {"canonical 4-mers": kmer_profile} | encoders
    models = {name: (encode(queries), encode(keys)) for name, encode in encoders.items()}
    title = f"Retrieval of {n} held-out reads by others of the same neighbourhoods"
    return found_by(same(sequence) & near, models, title)


def _n50(regions: Regions, label: int) -> int:
    """The length such that half of a label's bases are in regions at least as long (N50)."""
    lengths = regions.lengths()[regions.label == label].sort(descending=True).values
    return int(lengths[(2 * lengths.cumsum(0) < lengths.sum()).sum()]) if len(lengths) else 0


def _labelled(part: Regions, labels: Tensor, n: int, length: int, options: GenomeOptions, salt: int) -> Labelled:
    made = []
    for label in labels:
        regions = part.rows(part.label == label)
        simulated = simulate(
            part.bases,
            regions.start,
            regions.stop,
            n,
            length,
            error_rate=options.error_rate,
            indels=options.indels,
            seed=2 * options.seed + salt,
        )
        made.append(simulated.reads)
    return torch.cat(made), labels.repeat_interleave(n)


def _figures(encode: Encode, train: Labelled, test: Labelled) -> list[str | float]:
    (known, known_labels), (reads, labels) = train, test
    vectors = encode(reads)
    near = nearest_neighbours(encode(known), known_labels, vectors, k=min(_K, len(known)))
    groups, dense = clustering(vectors, labels), density_clustering(vectors, labels)
    strands = relative_distance(vectors, encode(reverse_complement(reads)))
    return [(near == labels).double().mean().item(), groups.ari, dense.ari, dense.clustered, strands]


def _compositions(known: UInt8[Tensor, "n length"]) -> dict[str, Encode]:
    return {
        "canonical 4-mers": kmer_profile,
        "their square roots": _square_roots,
        "4-mers, standardised": _standardised(known),
    }


def _standardised(known: UInt8[Tensor, "n length"]) -> Encode:
    """Frequencies standardised by the known reads' means and deviations; those without deviation only centred."""
    profile = kmer_profile(known)
    mean, deviation = profile.mean(dim=0), profile.std(dim=0, correction=0)
    deviation = deviation.where(deviation > 0, 1)
    return lambda reads: (kmer_profile(reads) - mean) / deviation


def _square_roots(reads: UInt8[Tensor, "n length"]) -> Float[Tensor, "n words"]:
    # Their distance is Hellinger's, which gives rare words more weight than that of the frequencies.
    return kmer_profile(reads).sqrt()


_NOTES = [
    f"{_K}-NN: accuracy of a vote of the {_K} most similar reads of known label; a more similar read has a larger "
    "weight. Measured on the run's own data, these reads are from the regions of training.",
    "ARI: agreement of groups with the labels, 1 if they are the same and 0 by chance. K-means is given the number of "
    "groups, HDBSCAN is not. Reads that HDBSCAN leaves out count as groups of one; "
    "clustered: the share that it does not leave out.",
    "4-mers, standardised: each frequency less its mean among the reads of known label, divided by its deviation "
    "there. Untrained: the network before training, with the initial statistics of batch norm.",
    "Strands: the distance of a read's embedding from that of its reverse complement, in units of the mean distance "
    "between reads.",
]
