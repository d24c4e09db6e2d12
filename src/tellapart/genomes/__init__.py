"""What a system of DNA is trained and measured on: its options, its data, and what becomes of a run."""

from tellapart.genomes.options import GenomeOptions
from tellapart.genomes.reads import Reads, read_twice
from tellapart.genomes.study import Loci, Study
from tellapart.genomes.use import Uses

__all__ = ["GenomeOptions", "Loci", "Reads", "Study", "Uses", "read_twice"]
