"""The options of data, reads and training. The docstrings are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tellapart.errors import require_option
from tellapart.training import TrainingOptions


@dataclass(frozen=True)
class GenomeOptions(TrainingOptions):
    """Data, reads and training."""

    data: str
    """A FASTA or FASTQ file of genomes, contigs or reads, gzipped or not, or a folder of them (a label each)."""
    held_out: float = 0.2
    """Share of the bases of every label that training never sees: whole regions, or reads."""
    epochs: int = 5
    """How often the first reads of the pairs cover the data."""
    batch_size: int = 512
    """Pairs of reads in a batch at most, on each device."""
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    read_length: int = 150
    """Bases of a read that is taken from a genome or a contig; of shorter sequences it is three fifths at most."""
    window: int = 5000
    """How many bases apart two positives may begin, overlapping for 0; 1000 tells species not in the data better."""
    error_rate: float = 0.01
    """Probability that a base is read wrongly, in training and in the evaluation's reads."""
    indels: float = 0.0
    """Share of these errors that are insertions and deletions, and not substitutions."""
    counterpart: Literal["both", "strand", "locus"] = "both"
    """A read is paired with its reverse complement ("strand"), with one nearby on its strand ("locus"), or with one
    nearby on either ("both"). Whichever it is, all reads of the batch from within the window are its positives."""

    seed_bits: ClassVar[int] = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        require_option("read_length", 1 <= self.read_length <= 10**6, "lie between 1 and 1000000", self.read_length)
        for name in ("error_rate", "indels"):
            require_option(name, 0 <= getattr(self, name) <= 1, "lie in [0, 1]", getattr(self, name))
        require_option("window", 0 <= self.window <= 10**9, "lie between 0 and 10^9", self.window)
