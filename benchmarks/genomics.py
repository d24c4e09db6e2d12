"""Reads of bacteria told by species, from embeddings learned without labels, against their composition of 4-mers.

    python benchmarks/genomics.py                          all of it; results/genomics*.md, and the page's tables
    python benchmarks/genomics.py --only system --seeds 0

`system`: trained on five species at three seeds; measured on reads from regions of them that training never saw, and
on three species that it never saw. `choices`, shorter and at one seed: one thing changed at a time. `speed`: how many
reads a run of `system` embeds per second, alone, on all cores. The genomes are fetched from Debian's packages into a
cache (see genomes.py). Each run is an ordinary `tellapart train` on one core; runs/genomics keeps them, and what is
complete is not trained again.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from genomes import genomes
from pages import publish
from tellapart.run import Run
from tellapart.systems import genomics

OPTIONS: dict[str, Any] = {"trainer.precision": "bf16-mixed"}
SHORT = {"epochs": 1}
CHOICES: dict[str, dict[str, Any]] = {
    "as above, but shorter": {},
    "strands learned": {"strands": "learned"},
    "counterpart: the other strand alone": {"strands": "learned", "counterpart": "strand"},
    "counterpart: the locus alone": {"strands": "learned", "counterpart": "locus"},
    "window 0: counterparts overlap": {"window": 0},
    "window 500": {"window": 500},
    "window 20000": {"window": 20_000},
}
PARTS = ("system", "choices", "speed")
_READS = 20_000
HOW = (".3f", ".3f", ".3f", ".3f", ".4f")


@dataclass(frozen=True)
class Trial:
    """One training: its folder's name, and what is not as by default."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)


def train(trials: list[Trial], runs: Path, at_once: int) -> None:
    """Train what is not trained yet, each in a process of its own."""
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda trial: train_one(trial, runs), trials))


def train_one(trial: Trial, runs: Path) -> None:
    """Train unless that is done; the log is kept beside the run."""
    folder = runs / trial.name
    if (folder / "cpu.json").is_file():
        return
    print(trial.name, flush=True)
    words = ["train", "genomics", "--data", str(genomes() / "seen"), "--run", str(folder), "--resume"]
    words += [word for name, value in (OPTIONS | trial.options).items() for word in (f"--{name}", str(value))]
    command, environment = [sys.executable, "-m", "tellapart", *words], os.environ | {"OMP_NUM_THREADS": "1"}
    with (runs / f"{trial.name}.txt").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    (folder / "cpu.json").write_text(json.dumps(used.ru_utime + used.ru_stime), encoding="utf-8")


def rows(folder: Path, species: str) -> list[list[Any]]:
    """The rows of a run's table, on seen or on unseen species."""
    if species == "seen":
        return Run(folder).results()["rows"]
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
    """All that was measured, as mean ± standard deviation over the seeds."""
    header = Run(folders[0]).results()["header"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for species in ("seen", "unseen"):
        for same in zip(*(rows(folder, species) for folder in folders), strict=True):
            what = f"{species} species, {same[0][0]}" if same[0][0] else ""
            cells = [
                spread(list(values), how) for values, how in zip(list(zip(*same, strict=True))[2:], HOW, strict=True)
            ]
            lines.append("| " + " | ".join([what, same[0][1], *cells]) + " |")
    return "\n".join(lines)


def took(folders: list[Path]) -> str:
    """What the runs took of a processor."""
    seconds = [json.loads((folder / "cpu.json").read_text(encoding="utf-8")) for folder in folders]
    minutes = spread([each / 60 for each in seconds], ".1f")
    seeds = ", ".join(str(config(folder).seed) for folder in folders)
    return f"Seeds: {seeds}. Each took {minutes} minutes of one core, with what is measured on seen species."


def choices_table(folders: dict[str, Path]) -> str:
    """The trained network's 15-NN and k-means ARI on reads of the shortest length and the longest."""
    lines = ["| | seen, 150 | seen, 2000 | unseen, 150 | unseen, 2000 | strands |", "|---|---|---|---|---|---|"]
    for name, folder in folders.items():
        trained = [row for species in ("seen", "unseen") for row in rows(folder, species) if row[1] == "trained"]
        cells = [f"{row[2]:.3f} / {row[3]:.3f}" for row in (trained[0], trained[2], trained[3], trained[5])]
        lines.append("| " + " | ".join([name, *cells, f"{trained[0][6]:.4f}"]) + " |")
    return "\n".join(lines)


def spread(values: list[Any], how: str) -> str:
    """Mean ± sample standard deviation of numbers, or a single one; nothing of what is no number."""
    if any(isinstance(value, str) for value in values):
        return ""
    deviation = f" ± {statistics.stdev(values):{how}}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{how}}{deviation}"


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
    given.runs.mkdir(parents=True, exist_ok=True)
    genomes()  # once, before several ask for them
    folders = [given.runs / f"seed-{seed}" for seed in given.seeds]
    if "system" in given.only:
        train([Trial(f"seed-{seed}", {"seed": seed}) for seed in given.seeds], given.runs, given.at_once)
        publish("genomics", f"{system_table(folders)}\n\n{took(folders)}")
    if "choices" in given.only:
        trials = {name: Trial(f"choice-{i}", SHORT | options) for i, (name, options) in enumerate(CHOICES.items())}
        train(list(trials.values()), given.runs, given.at_once)
        publish("genomics_choices", choices_table({name: given.runs / trial.name for name, trial in trials.items()}))
    if "speed" in given.only:
        publish("genomics_speed", speed(folders[0]))


if __name__ == "__main__":
    main()
