"""Data for the benchmarks, from Debian's packages, kept in a cache outside the repository.

    python benchmarks/fetch.py fashion-mnist        prints its folder

Needs `apt-get` and `dpkg-deb`, but no root.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A Debian package, a folder in it, and its licence."""

    package: str
    folder: str
    licence: str


SOURCES = {
    "fashion-mnist": Source("dataset-fashion-mnist", "usr/share/datasets/fashion-mnist", "MIT"),
    "libreoffice-en": Source("libreoffice-help-en-us", "usr/share/libreoffice/help/en-US", "MPL-2.0"),
    "libreoffice-fr": Source("libreoffice-help-fr", "usr/share/libreoffice/help/fr", "MPL-2.0"),
    "sword-kjv": Source("sword-text-kjv", "usr/share/sword", "public domain (not in the UK)"),
    "sword-sparv": Source("sword-text-sparv", "usr/share/sword", "public domain"),
    "anarchism": Source("anarchism", "usr/share/doc/anarchism/html", "GPL-2"),
    "fortunes": Source("fortunes", "usr/share/games/fortunes", "BSD; many sources"),
    "python-doc": Source("python3.11-doc", "usr/share/doc/python3.11/html", "PSF-2.0"),
    "wordnet": Source("wordnet-base", "usr/share/wordnet", "WordNet 3.0 (Princeton University; free use)"),
    "foldoc": Source("dict-foldoc", "usr/share/dictd", "GFDL-1.1+"),
    "gcide": Source("dict-gcide", "usr/share/dictd", "GPL-3+"),
    "jargon": Source("dict-jargon", "usr/share/dictd", "public domain"),
    "linux-doc": Source("linux-doc-6.1", "usr/share/doc/linux-doc-6.1/Documentation", "GPL-2"),
    "manpages": Source("manpages", "usr/share/man", "GPL-2+, BSD and others"),
    "manpages-dev": Source("manpages-dev", "usr/share/man", "GPL-2+, BSD and others"),
    "perl-doc": Source("perl-doc", "usr/share/perl", "GPL-1+ or Artistic"),
    "python-doc-sources": Source("python3.11-doc", "usr/share/doc/python3.11/html/_sources", "PSF-2.0"),
    # Pictures with the sounds of what they show, and its spoken name in several languages.
    "stamps": Source("tuxpaint-stamps-default", "usr/share/tuxpaint/stamps", "GPL-2+; some public domain"),
    # Escherichia coli, Helicobacter pylori, Staphylococcus aureus and Vibrio cholerae, several strains of each.
    "ragout": Source("ragout-examples", "usr/share/doc/ragout/examples", "BSD-3-clause"),
    # Mycobacterium tuberculosis and Mycobacterium leprae.
    "kmer": Source("kmer-examples", "usr/share/doc/kmer-examples", "GPL-2+; the genomes NCBI's, unrestricted"),
    # Klebsiella pneumoniae, four strains.
    "kleborate": Source("kleborate-examples", "usr/share/doc/kleborate/examples/data", "GPL-3+"),
    # Videos of a box, a cup and people; two views of a wall; a stereo pair.
    "opencv-doc": Source("opencv-doc", "usr/share/doc/opencv-doc", "BSD-3-clause and Apache-2.0"),
    # Streptococcus suis.
    "abacas": Source("abacas-examples", "usr/share/doc/abacas-examples", "GPL-2+"),
}


def cache(name: str) -> Path:
    """The folder of a data set, which need not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tellapart" / name


def fetch(name: str) -> Path:
    """The folder of a data set, fetched if it does not exist."""
    source, target = SOURCES[name], cache(name)
    if target.is_dir():
        return target
    with tempfile.TemporaryDirectory() as scratch:
        try:
            run(["apt-get", "download", source.package], scratch)
        except subprocess.CalledProcessError:
            run(["apt-get", "update"], scratch)  # the package lists may be missing or old
            run(["apt-get", "download", source.package], scratch)
        package = next(Path(scratch).glob("*.deb"))
        run(["dpkg-deb", "-x", package.name, "content"], scratch)
        size = package.stat().st_size / 2**20
        print(f"fetched {package.name}, {size:.0f} MiB, licence {source.licence}", file=sys.stderr)
        with whole(target) as partial:
            shutil.copytree(
                Path(scratch) / "content" / source.folder, partial, dirs_exist_ok=True, ignore_dangling_symlinks=True
            )
    return target


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A folder to fill, renamed to `target` in one step at the end of the block."""
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(target)  # atomic, because it is on the same disk
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def run(command: list[str], folder: str) -> str:
    """Run a command and return its output; if it fails, its error output is shown."""
    try:
        return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    except subprocess.CalledProcessError as error:
        print(f"{' '.join(command)}: {error.stderr.strip()}", file=sys.stderr)
        raise


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(SOURCES))
    print(fetch(parser.parse_args().name))
