"""Species of bacterial reads predicted from embeddings learned without labels, compared with 4-mer composition.

    python benchmarks/genomics.py                          everything; results/genomics*.md, and the page's tables
    python benchmarks/genomics.py --only system --seeds 0

`system`: trained on five species at three seeds; measured on reads from held-out regions of these, and on three unseen
species. `narrow`: the same with a window of 1,000 bases, chosen on seed 0 of 500, 1,000 and 5,000 as good for both.
`choices`, shorter and at one seed: one thing changed at a time. `speed`: reads that a run of `system` embeds per
second, alone, on all cores. The genomes are fetched from Debian's packages into a cache (see genomes.py). Each run is
an ordinary `tellapart train` on one core. runs/genomics keeps the runs, and complete ones are not repeated.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from genomes import genomes
from pages import publish
from tellapart.runs import Run
from tellapart.systems import genomics
from trainings import as_words, results, row, spread, took, train_all

OPTIONS: dict[str, Any] = {"trainer.precision": "bf16-mixed"}
SHORT = {"epochs": 1}
CHOICES: dict[str, dict[str, Any]] = {
    "as above, but shorter": {},
    "strands learned": {"strands": "learned"},
    "paired with the reverse complement": {"strands": "learned", "counterpart": "strand"},
    "paired on the same strand": {"strands": "learned", "counterpart": "locus"},
    "window 0: positives overlap": {"window": 0},
    "window 500": {"window": 500},
    "window 20000": {"window": 20_000},
}
SYSTEMS: dict[str, dict[str, Any]] = {"system": {}, "narrow": {"window": 1000}}
MARKS = {"system": "genomics", "narrow": "genomics_narrow"}
PARTS = (*SYSTEMS, "choices", "speed")
_READS = 20_000
_HOW = (".3f", ".3f", ".3f", ".3f", ".4f")


def command(folder: Path, options: dict[str, Any]) -> list[str]:
    """The arguments of python for one training, with the options that differ from the defaults."""
    words = ["train", "genomics", "--data", str(genomes() / "seen"), "--run", str(folder), "--resume"]
    return ["-m", "tellapart", *words, *as_words(OPTIONS | options)]


def rows(folder: Path, species: str) -> list[list[Any]]:
    """The rows of a run's table, on seen or on unseen species."""
    if species == "seen":
        return results(folder)["rows"]
    kept = folder / "unseen.json"
    if not kept.is_file():
        table = genomics.evaluate(config(folder), Run.open(folder), str(genomes() / "unseen"))
        kept.write_text(json.dumps(table.as_dict()), encoding="utf-8")
    found: list[list[Any]] = json.loads(kept.read_text(encoding="utf-8"))["rows"]
    return found


def config(folder: Path) -> genomics.Config:
    """The options of a run."""
    return genomics.Config(**{name: value for name, value in Run(folder).options().items() if name != "trainer"})


def system_table(folders: list[Path]) -> str:
    """All measures, as mean ± standard deviation over the seeds."""
    header = results(folders[0])["header"]
    lines = [row(header), "|---" * len(header) + "|"]
    for species in ("seen", "unseen"):
        for same in zip(*(rows(folder, species) for folder in folders), strict=True):
            what = f"{species} species, {same[0][0]}" if same[0][0] else ""
            _, _, *columns = zip(*same, strict=True)
            cells = ["" if "" in values else spread(values, how) for values, how in zip(columns, _HOW, strict=True)]
            lines.append(row([what, same[0][1], *cells]))
    return "\n".join(lines)


def costs(folders: list[Path]) -> str:
    """The processor time of the runs."""
    minutes = spread((took(folder)["minutes"] for folder in folders), ".1f")
    return f"Each took {minutes} minutes of one core, with what is measured on seen species."


def choices_table(folders: dict[str, Path]) -> str:
    """The trained network's 15-NN and k-means ARI on reads of the shortest length and the longest."""
    lines = ["| | seen, 150 | seen, 2000 | unseen, 150 | unseen, 2000 | strands |", "|---|---|---|---|---|---|"]
    for name, folder in folders.items():
        found = [line for species in ("seen", "unseen") for line in rows(folder, species) if line[1] == "trained"]
        cells = [f"{line[2]:.3f} / {line[3]:.3f}" for line in (found[0], found[2], found[3], found[5])]
        lines.append(row([name, *cells, f"{found[0][6]:.4f}"]))
    return "\n".join(lines)


def speed(folder: Path) -> str:
    """Reads of 150 bases embedded per second, from a gzipped FASTQ file to vectors: the fastest of three."""
    torch.set_num_threads(os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "reads.fastq.gz"
        with gzip.open(path, "wt") as file:
            for number in range(_READS):
                letters = "".join(random.choices("ACGT", k=150))
                file.write(f"@{number}\n{letters}\n+\n{'I' * 150}\n")
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            genomics.embed(config(folder), Run.open(folder), str(path))
            seconds.append(time.perf_counter() - start)
    rate = f"{_READS / min(seconds):.0f} reads of 150 bases a second"
    return f"{rate} on {os.cpu_count()} cores, from a gzipped FASTQ file to vectors, the fastest of three times."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/genomics"))
    parser.add_argument("--at-once", type=int, default=os.cpu_count(), help="runs at a time")
    given = parser.parse_args()
    genomes()  # once, before several processes need them
    for part in (part for part in SYSTEMS if part in given.only):
        seeded = {given.runs / f"{part}-{seed}": {"seed": seed} | SYSTEMS[part] for seed in given.seeds}
        train_all({folder: command(folder, options) for folder, options in seeded.items()}, given.at_once)
        said = f"Seeds: {', '.join(map(str, given.seeds))}." + (f" {costs(list(seeded))}" if part == "system" else "")
        publish(MARKS[part], f"{system_table(list(seeded))}\n\n{said}")
    if "choices" in given.only:
        chosen = {name: given.runs / f"choice-{i}" for i, name in enumerate(CHOICES)}
        train_all({folder: command(folder, SHORT | CHOICES[name]) for name, folder in chosen.items()}, given.at_once)
        publish("genomics_choices", choices_table(chosen))
    if "speed" in given.only:
        publish("genomics_speed", speed(given.runs / f"system-{given.seeds[0]}"))


if __name__ == "__main__":
    main()
