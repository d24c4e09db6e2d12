"""Data for the benchmarks, from Debian's packages, kept in a cache outside the repository.

    python benchmarks/fetch.py fashion-mnist        prints the folder where it is

Needs `apt-get` and `dpkg-deb`, and no root.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A Debian package, the folder of interest in it, and whose it is."""

    package: str
    folder: str
    licence: str


SOURCES = {"fashion-mnist": Source("dataset-fashion-mnist", "usr/share/datasets/fashion-mnist", "MIT")}


def fetch(name: str) -> Path:
    """The folder of a data set, fetched unless it is there already."""
    source = SOURCES[name]
    target = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tellapart" / name
    if target.is_dir():
        return target
    with tempfile.TemporaryDirectory() as scratch:
        try:
            run(["apt-get", "download", source.package], scratch)
        except subprocess.CalledProcessError:
            run(["apt-get", "update"], scratch)  # the lists may be missing or old
            run(["apt-get", "download", source.package], scratch)
        package = next(Path(scratch).glob("*.deb"))
        run(["dpkg-deb", "-x", package.name, "content"], scratch)
        size = package.stat().st_size / 2**20
        print(f"fetched {package.name}, {size:.0f} MiB, licence {source.licence}", file=sys.stderr)
        target.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: the move within one disk is one step.
        partial = target.with_name(f".{name}.{os.getpid()}")
        shutil.copytree(Path(scratch) / "content" / source.folder, partial, dirs_exist_ok=True)
        partial.rename(target)
    return target


def run(command: list[str], folder: str) -> None:
    """Run a command quietly; what it complains of is shown if it fails."""
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        print(f"{' '.join(command)}: {error.stderr.strip()}", file=sys.stderr)
        raise


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(SOURCES))
    print(fetch(parser.parse_args().name))
