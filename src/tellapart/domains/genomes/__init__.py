"""DNA: FASTA and FASTQ files, simulated reads, encoders, and what a system of genomes is measured on."""

from tellapart.domains.genomes.bins import ENDINGS, Bins
from tellapart.domains.genomes.commands import as_records, cluster, commands_for
from tellapart.domains.genomes.dataset import Dataset, Loci
from tellapart.domains.genomes.dilated_conv import DilatedConv
from tellapart.domains.genomes.fastx import Record, find_files, read_letters, read_records
from tellapart.domains.genomes.kmers import kmer_profile
from tellapart.domains.genomes.options import GenomeOptions
from tellapart.domains.genomes.reads import Reads, read_twice
from tellapart.domains.genomes.sequences import Regions, load_sequences, split_regions
from tellapart.domains.genomes.tensors import read_encoder
from tellapart.domains.genomes.views import (
    Places,
    Simulated,
    from_either_strand,
    neighbours,
    piece_length,
    sequenced,
    simulate,
)

__all__ = [
    "ENDINGS",
    "Bins",
    "Dataset",
    "DilatedConv",
    "GenomeOptions",
    "Loci",
    "Places",
    "Reads",
    "Record",
    "Regions",
    "Simulated",
    "as_records",
    "cluster",
    "commands_for",
    "find_files",
    "from_either_strand",
    "kmer_profile",
    "load_sequences",
    "neighbours",
    "piece_length",
    "read_encoder",
    "read_letters",
    "read_records",
    "read_twice",
    "sequenced",
    "simulate",
    "split_regions",
]
