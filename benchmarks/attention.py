"""Retrieval by attention: right halves of pictures by their left halves, planted pairs, and learning through values.

    python benchmarks/attention.py                     everything; results/attention.md, and the page's tables
    python benchmarks/attention.py --only pictures     a part: pictures, capacity or values

`pictures`: Fashion-MNIST; the left half of each of the 10,000 test pictures asks for its right half among them all.
Baselines: the mirrored pixels, ridge regression to the right half, and canonical correlations (CCA), each with the best
of several strengths on test pictures, which favours them. `capacity`: the share of planted pairs that are found, as
more are stored, beside the ideal decoder (`attention_data.py`). `values`: steps to 99 % of the ideal decoder's
accuracy, InfoNCE against the same encoders trained end to end through learned values by cross-entropy.

Trainings of pictures and planted pairs are ordinary `tellapart train`; --runs keeps them.
"""

from __future__ import annotations

import argparse
import math
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import tellapart
from attention_data import Planted
from fetch import fetch
from pages import publish
from tellapart import info_nce, listed, paired
from tellapart.diagnostics import energies
from tellapart.domains.memories import Pairs, load_pairs
from tellapart.domains.pictures import load_splits
from tellapart.evaluation import retrieval
from tellapart.scores import unit
from trainings import as_words, minutes_of_steps, row, spread, train_all

ENCODERS = {
    "linear": {"encoder": "linear", "epochs": 10},
    "mlp": {"encoder": "mlp", "epochs": 20},
    "conv": {"encoder": "conv", "epochs": 10},
}
STORED = (1_000, 5_000, 20_000, 50_000)
DIM, NOISE = 32, 0.3
STRENGTHS = (1.0, 10.0, 100.0, 1000.0)
N_CLASSES, ENOUGH = 16, 0.99


def command(folder: Path, data: Path, options: dict[str, object]) -> list[str]:
    """The arguments of python for one training."""
    words = ["train", "attention", "--data", str(data), "--run", str(folder), "--resume"]
    return ["-m", "tellapart", *words, *as_words(options)]


def pictures(runs: Path, seeds: list[int], names: list[str]) -> str:
    """R@1 of the right halves, by each way."""
    data = fetch("fashion-mnist")
    folders = {name: [runs / f"{name}-{seed}" for seed in seeds] for name in names}
    train_all(
        {
            folder: command(folder, data, ENCODERS[name] | {"seed": seed})
            for name, of_seeds in folders.items()
            for seed, folder in zip(seeds, of_seeds, strict=True)
        },
        at_once=1,
    )
    pairs = load_pairs(str(data), load_splits)
    training, test = (pairs.rows(rows) for rows in pairs.split(0.5, 0))
    found = {"mirrored pixels": [recall(test.queries.flip(3).flatten(1).float(), test.keys.flatten(1).float())]}
    found["ridge"] = [best_of(ridge, training, test)]
    found["CCA"] = [best_of(cca, training, test)]
    for name, of_seeds in folders.items():
        memories = [tellapart.load(folder).model for folder in of_seeds]
        embedded = [(memory.embed_queries(test.queries), memory.embed_keys(test.keys)) for memory in memories]
        found[f"**{name}**"] = [recall(*both) for both in embedded]
    lines = [row(["left half finds right half", "R@1 of 10,000"]), row(["---", "---"])]
    lines += [row([name, spread(values)]) for name, values in found.items()]
    minutes = [minutes_of_steps(folder) for of_seeds in folders.values() for folder in of_seeds]
    note = f"Seeds: {', '.join(map(str, seeds))}. Trainings took {min(minutes):.1f} to {max(minutes):.1f} minutes."
    return "\n".join([*lines, "", note])


def recall(queries: Tensor, keys: Tensor) -> float:
    """R@1 by cosine, where the key of the same row is the right one."""
    return retrieval(queries, keys, paired()).recall[1]


def best_of(way: object, training: Pairs, test: Pairs) -> float:
    """The best of several strengths."""
    x, y = (side.flatten(1).double() / 255 for side in (training.queries, training.keys))
    u, v = (side.flatten(1).double() / 255 for side in (test.queries, test.keys))
    return max(recall(*way(x, y, u, v, strength)) for strength in STRENGTHS)  # type: ignore[operator]


def ridge(x: Tensor, y: Tensor, u: Tensor, v: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """The right half predicted from the left; both without the mean."""
    a, b = x - x.mean(0), y - y.mean(0)
    weights = torch.linalg.solve(a.T @ a + strength * torch.eye(a.shape[1], dtype=a.dtype), a.T @ b)
    return ((u - x.mean(0)) @ weights).float(), (v - y.mean(0)).float()


def cca(x: Tensor, y: Tensor, u: Tensor, v: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """All canonical directions, each weighted by its correlation."""
    a, b = x - x.mean(0), y - y.mean(0)
    left, right = (whitening(part, strength) for part in (a, b))
    directions, correlations, other = torch.linalg.svd(left @ (a.T @ b) @ right / len(x), full_matrices=False)
    by = correlations.sqrt()
    queries = (u - x.mean(0)) @ left @ directions * by
    return queries.float(), ((v - y.mean(0)) @ right @ other.T * by).float()


def whitening(part: Tensor, strength: float) -> Tensor:
    """The inverse square root of a covariance."""
    values, vectors = torch.linalg.eigh(part.T @ part / len(part) + strength / len(part) * torch.eye(part.shape[1]))
    return vectors * values.rsqrt() @ vectors.T


def capacity(runs: Path, seeds: list[int]) -> str:
    """The share of planted pairs that are found among as many as are stored, beside the ideal decoder."""
    most, folders = max(STORED), {}
    for seed in seeds:
        runs.mkdir(parents=True, exist_ok=True)
        planted, data = Planted.draw(2 * most, DIM, NOISE, seed), runs / f"planted-{seed}.npz"
        if not data.is_file():
            np.savez(data, queries=planted.queries, keys=planted.keys)
        folders[seed] = runs / f"planted-{seed}"
        options = {"held_out": 0.5, "encoder": "linear", "dim": DIM, "epochs": 5, "seed": seed}
        train_all({folders[seed]: command(folders[seed], data, options)}, at_once=1)
    shares: dict[int, list[float]] = {n: [] for n in STORED}
    ideals: dict[int, list[float]] = {n: [] for n in STORED}
    for seed, folder in folders.items():
        planted, run = Planted.draw(2 * most, DIM, NOISE, seed), tellapart.load(folder)
        pairs = load_pairs(str(run.config.data), load_splits)
        held_out = pairs.split(0.5, seed)[1]
        test, ideal = pairs.rows(held_out), torch.from_numpy(planted.ideal())[held_out]
        queries, keys = run.model.embed_queries(test.queries), run.model.embed_keys(test.keys)
        for n in STORED:
            shares[n].append(recall(queries[:n], keys[:n]))
            ideals[n].append(recall(ideal[:n], test.keys[:n]))
    lines = [row(["stored pairs", *(f"{n:,}" for n in STORED)]), row(["---"] * (1 + len(STORED)))]
    lines.append(row(["**trained**", *(spread(shares[n]) for n in STORED)]))
    lines.append(row(["ideal decoder", *(spread(ideals[n]) for n in STORED)]))
    return "\n".join([*lines, "", f"d = {DIM}, noise {NOISE}; never seen in training. Seeds: {_listed(seeds)}."])


def values(seeds: list[int], rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)) -> str:
    """Steps until the class of the key that was planted is read as well as 99 % of what the ideal decoder reads."""
    lines = [row(["learning rate", *(f"{rate:g}" for rate in rates)]), row(["---"] * (1 + len(rates)))]
    steps = {
        name: {rate: [steps_needed(way, rate, seed) for seed in seeds] for rate in rates}
        for name, way in (("InfoNCE", by_keys), ("learned values, cross-entropy", by_values))
    }
    lines += [row([name, *(_of_steps(of[rate]) for rate in rates)]) for name, of in steps.items()]
    return "\n".join([*lines, "", f"Batches of 256 pairs, d = {DIM}, {N_CLASSES} classes. Seeds: {_listed(seeds)}."])


class Reader(nn.Module):
    """A query and a key encoder, and values of the classes that keys carry."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(DIM, DIM, bias=False), nn.Linear(DIM, DIM, bias=False)
        self.values, self.classifier = nn.Embedding(N_CLASSES, DIM), nn.Linear(DIM, N_CLASSES)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def encoded(self, x: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys of length 1, and the temperature."""
        return unit(self.query(x)), unit(self.key(keys)), 1 / self.log_scale.exp()


def by_keys(reader: Reader, x: Tensor, keys: Tensor, _: Tensor) -> Tensor:
    """InfoNCE: each query is to find its key."""
    q, k, tau = reader.encoded(x, keys)
    return info_nce(q, k, score="dot", temperature=tau, positives=listed(torch.arange(len(q))))


def by_values(reader: Reader, x: Tensor, keys: Tensor, classes: Tensor) -> Tensor:
    """End to end: from the value that attention reads, the class of the key is to be told."""
    q, k, tau = reader.encoded(x, keys)
    return nn.functional.cross_entropy(
        reader.classifier(energies(q, k, temperature=tau).shares @ reader.values(classes)), classes
    )


def steps_needed(way: object, rate: float, seed: int, most: int = 4000, every: int = 10) -> int | None:
    """Steps of Adam until held-out accuracy reaches 99 % of the ideal decoder's; `None` if never."""
    planted, n = Planted.draw(20_000, DIM, NOISE, seed), 2_000
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(N_CLASSES, (len(planted.keys),), generator=generator)
    x, keys = torch.from_numpy(planted.queries), torch.from_numpy(planted.keys)
    x = x / x.std()
    goal = ENOUGH * accuracy(torch.from_numpy(planted.ideal())[:n], keys[:n], classes[:n])
    torch.manual_seed(seed)
    reader = Reader()
    adam = torch.optim.Adam(reader.parameters(), lr=rate)
    for step in range(1, most + 1):
        rows = torch.randint(n, len(x), (256,), generator=generator)
        adam.zero_grad()
        way(reader, x[rows], keys[rows], classes[rows]).backward()  # type: ignore[operator]
        adam.step()
        if step % every == 0:
            with torch.no_grad():
                q, k, _ = reader.encoded(x[:n], keys[:n])
                if accuracy(q, k, classes[:n]) >= goal:
                    return step
    return None


def accuracy(queries: Tensor, keys: Tensor, classes: Tensor) -> float:
    """How often the nearest key has the right class."""
    nearest = (unit(queries) @ unit(keys).T).argmax(1)
    return (classes[nearest] == classes).double().mean().item()


def _of_steps(found: list[int | None]) -> str:
    return ", ".join("never" if steps is None else str(steps) for steps in found)


def _listed(seeds: list[int]) -> str:
    return ", ".join(map(str, seeds))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["pictures", "capacity", "values"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS), choices=list(ENCODERS))
    parser.add_argument("--runs", type=Path, default=Path("runs/attention"), help="where trainings are kept")
    given = parser.parse_args()
    torch.set_num_threads(1)
    parts = {
        "values": partial(values, given.seeds),
        "capacity": partial(capacity, given.runs, given.seeds),
        "pictures": partial(pictures, given.runs, given.seeds, given.encoders),
    }
    for part, make in parts.items():
        if given.only in (None, part):
            publish(f"attention_{part}", make())
