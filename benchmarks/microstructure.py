"""Structures told apart without labels, from patches at any angle, compared with classical features of textures.

    python benchmarks/microstructure.py                            everything; results/microstructure*.md, docs
    python benchmarks/microstructure.py --only generated --seeds 0

`generated`: the ten made-up kinds, 12 micrographs of each, a quarter of them held out. `choices`, a third as long and
at one seed: one thing changed at a time. `real`: ten sources (see microstructure_data.py); their left halves train,
their right halves ask. The classical features (microstructure_classical.py) see the same patches through the same disc.
The seed decides which micrographs are held out, where patches are cut, and the first weights. Each run is an ordinary
`tellapart train` on one core. runs/microstructure keeps the runs, and complete ones are not repeated.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import torch

import tellapart
from microstructure_classical import classical
from microstructure_data import real_sources
from pages import publish
from tellapart.domains.micrographs import Dataset, labels_told
from tellapart.evaluation import Table
from tellapart.runs import Run
from tellapart.systems.microstructure import Microstructure
from trainings import as_words, minutes_of_steps, results, row, spread, took, train_all

EXACT = "trained, exact quarter turns at use"
SHORT = {"epochs": 7}
CHOICES: dict[str, dict[str, Any]] = {
    "as above, but shorter": {},
    "the same place, turned": {"counterpart": "itself"},
    "not turned": {"turn": False},
    "black corners instead of the disc": {"aperture": "square"},
    "focus, light and noise not varied": {"variation": 0.0},
}
REAL = {"held_out_by": "region", "held_out": 0.5, "epochs": 90}  # few fields: as many steps as on the made-up kinds
PARTS = ("generated", "choices", "real")


def command(folder: Path, options: dict[str, Any]) -> list[str]:
    """The arguments of python for one training, with the options that differ from the defaults."""
    return ["-m", "tellapart", "train", "microstructure", "--run", str(folder), "--resume", *as_words(options)]


def compared(folder: Path) -> dict[str, list[Any]]:
    """The rows of a run's table by name, with those of classical features and of exact quarter turns."""
    kept = folder / "compared.json"
    if not kept.is_file():
        trained = tellapart.load(folder)
        options, model = trained.config, trained.model
        assert isinstance(model, Microstructure)
        labelled = Dataset.load(options, Run.open(folder)).labelled()
        features = classical(labelled.known.at())
        model.config = dataclasses.replace(options, quarter_turns="exact")
        kept.write_text(json.dumps(labels_told(labelled, features | {EXACT: model.embed}).as_dict()), encoding="utf-8")
    tables = [results(folder), json.loads(kept.read_text(encoding="utf-8"))]
    return {name: cells for table in tables for name, *cells in Table.from_dict(table).rows}


def full_table(folders: list[Path]) -> str:
    """All features and networks, as mean ± standard deviation over the seeds."""
    found = [compared(folder) for folder in folders]
    last = ["untrained", "trained", EXACT]
    names = [name for name in found[0] if name not in last] + last
    lines = [row(results(folders[0])["header"]), "|---" * 6 + "|"]
    for name in names:
        columns = zip(*(rows[name] for rows in found), strict=True)
        lines.append(row([name, *("" if "" in values else spread(values) for values in columns)]))
    minutes = spread((minutes_of_steps(folder) for folder in folders), ".1f")
    used = spread((took(folder)["minutes"] for folder in folders), ".1f")
    said = f"{minutes} minutes of training (median step × steps); {used} of one core's time with evaluation and report."
    return "\n".join(lines) + f"\n\nSeeds: {', '.join(folder.name.rpartition('-')[2] for folder in folders)}. {said}"


def choices_table(folders: dict[str, Path]) -> str:
    """The trained network's row of each choice."""
    first = next(iter(folders.values()))
    lines = [row(results(first)["header"]), "|---" * 6 + "|"]
    for name, folder in folders.items():
        cells = next(cells for kind, *cells in results(folder)["rows"] if kind == "trained")
        lines.append(row([name, *(f"{cell:.3f}" for cell in cells)]))
    n = len((first / "log.jsonl").read_text(encoding="utf-8").splitlines())
    return "\n".join(lines) + f"\n\n{n} steps, seed 0."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/microstructure"))
    parser.add_argument("--at-once", type=int, default=os.cpu_count(), help="runs at a time")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for part in (part for part in ("generated", "real") if part in given.only):
        options = {} if part == "generated" else {"data": str(real_sources())} | REAL
        seeded = {given.runs / f"{part}-{seed}": {"seed": seed} | options for seed in given.seeds}
        train_all({folder: command(folder, each) for folder, each in seeded.items()}, given.at_once)
        publish("microstructure" if part == "generated" else "microstructure_real", full_table(list(seeded)))
    if "choices" in given.only:
        chosen = {name: given.runs / f"choice-{i}" for i, name in enumerate(CHOICES)}
        commands = {folder: command(folder, SHORT | CHOICES[name]) for name, folder in chosen.items()}
        train_all(commands, given.at_once)
        publish("microstructure_choices", choices_table(chosen))


if __name__ == "__main__":
    main()
