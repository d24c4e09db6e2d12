"""What a projection head keeps from the features: can the turns that views ignore be told from what is compared?

    python benchmarks/harmony_kept.py        results/harmony_kept.md

The runs are those of `harmony.py`, in the same folder: pictures turned by quarters, views that turn, the sum of both
gradients at weight 1, with a projection head and without. A linear probe tells the turns of the 10,000 held-out
pictures from features and from projections. It learns from 2,000 pictures of the training set with their labels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import tellapart
from harmony import NO_HEAD, QUARTERS, TURNED, TURNING, Trial, turned
from pages import publish
from tellapart.evaluation import linear_probe
from tellapart.scores import unit
from trainings import row, spread, train_all

N_KNOWN, CHUNK = 2000, 250
TRIALS = {
    "with a projection head": Trial(
        "turned", "views that turn, weight 1: sum", TURNED | TURNING | {"weight": 1, "rule": "sum"}
    ),
    "without": Trial(
        "turned", "no head, views that turn, weight 1: sum", NO_HEAD | TURNING | {"weight": 1, "rule": "sum"}
    ),
}


@torch.no_grad()
def probed(folder: Path, runs: Path) -> tuple[float, float]:
    """The accuracy of a probe of features, and of one of projections."""
    network = tellapart.load(folder).model.network.eval()
    with np.load(turned(runs), allow_pickle=False) as file:
        pictures = torch.from_numpy(np.concatenate([file["x_train"][:N_KNOWN], file["x_test"]]))[:, None]
        labels = torch.from_numpy(np.concatenate([file["y_train"][:N_KNOWN], file["y_test"]]))
    features = torch.cat([network.encoder(chunk) for chunk in pictures.split(CHUNK)]).float()
    found = []
    for vectors in (unit(features), unit(network.head(features))):
        told = linear_probe(vectors[:N_KNOWN], labels[:N_KNOWN], vectors[N_KNOWN:]).labels
        found.append((told == labels[N_KNOWN:]).double().mean().item())
    return found[0], found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/harmony"))
    given = parser.parse_args()
    folders = {(name, seed): trial.folder(given.runs, seed) for name, trial in TRIALS.items() for seed in given.seeds}
    train_all({folder: TRIALS[name].command(given.runs, seed) for (name, seed), folder in folders.items()}, at_once=1)
    header = [f"{QUARTERS}, views that turn, weight 1", "turns told from features", "turns told from projections"]
    lines = [row(header), "|---" * len(header) + "|"]
    for name in TRIALS:
        found = [probed(folders[name, seed], given.runs) for seed in given.seeds]
        of_features, of_projections = (spread(values) for values in zip(*found, strict=True))
        lines.append(row([name, of_features, of_projections if name != "without" else ""]))
    lines.append(f"\nOn 10000 held-out pictures, by {N_KNOWN} labels. Seeds {', '.join(map(str, given.seeds))}.")
    publish("harmony_kept", "\n".join(lines))


if __name__ == "__main__":
    main()
