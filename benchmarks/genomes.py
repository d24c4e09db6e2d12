"""The genomes for training and evaluation in `genomics.py`: bacteria, from Debian's packages.

    python benchmarks/genomes.py        prints their folder: seen/ and unseen/, a file a species

There is one strain of each species, so that no region has a copy in another file. Two unseen species are relatives of
seen ones (Klebsiella of Escherichia, the two mycobacteria of each other), and one is not.
"""

from __future__ import annotations

import gzip
import shutil
import tarfile
from pathlib import Path

import fetch

_IN_ARCHIVE = "test_data.tar.gz"
FILES = {
    "seen/Escherichia coli.fasta.gz": ("ragout", "E.Coli/references/MG1655-K12.fasta.gz"),
    "seen/Helicobacter pylori.fasta.gz": ("ragout", "H.Pylori/references/G27.fasta.gz"),
    "seen/Mycobacterium tuberculosis.fasta.gz": ("kmer", "GCF_000195955.2_ASM19595v2_genomic.fna"),
    "seen/Staphylococcus aureus.fasta.gz": ("ragout", "S.Aureus/references/N315.fasta.gz"),
    "seen/Vibrio cholerae.fasta.gz": ("ragout", "V.Cholerae/references/O1_biovar.fasta.gz"),
    "unseen/Klebsiella pneumoniae.fasta.xz": ("kleborate", "MGH78578.fna.xz"),
    "unseen/Mycobacterium leprae.fasta.gz": ("kmer", "GCF_000195855.1_ASM19585v1_genomic.fna"),
    "unseen/Streptococcus suis.fasta.gz": ("abacas", "SS_SC84.dna.gz"),
}


def genomes() -> Path:
    """The folder with `seen` and `unseen` species, made if it does not exist."""
    target = fetch.cache("genomes")
    if target.is_dir():
        return target
    with fetch.whole(target) as partial:
        for name, (source, path) in FILES.items():
            (partial / name).parent.mkdir(exist_ok=True)
            folder = fetch.fetch(source)
            if (folder / path).is_file():
                shutil.copyfile(folder / path, partial / name)
                continue
            with tarfile.open(folder / _IN_ARCHIVE) as archive, gzip.open(partial / name, "wb") as file:
                shutil.copyfileobj(archive.extractfile(path), file)  # type: ignore[arg-type]
    return target


if __name__ == "__main__":
    print(genomes())
