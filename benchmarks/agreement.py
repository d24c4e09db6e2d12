"""The error of each engine against the tests' float64 oracle: the largest over random problems, as a table.

    python -m benchmarks.agreement [--problems 100]

Errors are of the loss in nats, relative to 1 + the largest logit, on inputs rounded to the dtype. The tiled engines
use tiles of six scores, so that small problems have many tiles.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from tests import oracle
from tests.engines import ENGINES, playing

from tellapart import dense, info_nce, nt_xent, same

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
OPTIONS = {
    "one way": {},
    "symmetric": {"symmetric": True},
    "dot": {"score": "dot"},
    "squared distance": {"score": "sqeuclidean"},
    "τ per query": {"temperature": "each"},
    "bias per key": {"key_bias": True},
    "margin": {"margin": 0.3},
    "shared negatives": {"negatives": (4,)},
    "negatives per query": {"negatives": (6, 4)},
    "exclusions": {"exclude": True},
    "several positives, out": {"labels": True},
    "several positives, in": {"labels": True, "multi_positive": "in"},
    "soft positives": {"weights": True, "symmetric": True},
    "NT-Xent, 2 views": {"views": 2},
    "NT-Xent, 3 views": {"views": 3},
}
N, M, D = 6, 9, 5


def rounded(x: np.ndarray, dtype: torch.dtype) -> tuple[torch.Tensor, np.ndarray]:
    """The tensor in a dtype, and its exact values."""
    tensor = torch.tensor(x).to(dtype)
    return tensor, tensor.double().numpy()


def problem(option: dict, rng: np.random.Generator, dtype: torch.dtype) -> tuple[dict, dict, np.ndarray, np.ndarray]:
    """Our arguments, the oracle's, the weights of positives and the mask of excluded pairs."""
    wide = torch.promote_types(dtype, torch.float32)
    ours, theirs = {}, {}
    weights, excluded = np.eye(N, M), np.zeros((N, M), dtype=bool)
    for name in ("score", "margin", "symmetric", "multi_positive"):
        if name in option:
            ours[name] = theirs[name] = option[name]
    tau = rng.uniform(0.05, 2, N) if "temperature" in option else rng.uniform(0.05, 2, 1)
    ours["temperature"], theirs["temperature"] = rounded(tau if len(tau) > 1 else tau[0], wide)
    if "key_bias" in option:
        ours["key_bias"], theirs["key_bias"] = rounded(rng.normal(size=M), wide)
    if "negatives" in option:
        ours["negatives"], theirs["negatives"] = rounded(rng.normal(size=(*option["negatives"], D)), dtype)
    if "labels" in option:
        a, b = rng.integers(0, 3, N), np.r_[np.arange(3), rng.integers(0, 3, M - 3)]
        ours["positives"], weights = same(torch.tensor(a), torch.tensor(b)), (a[:, None] == b).astype(float)
    if "weights" in option:
        weights = rng.random((N, M)) * (rng.random((N, M)) < 0.5) + np.eye(N, M)
        ours["positives"] = dense(torch.tensor(weights))
    if "exclude" in option:
        excluded = (rng.random((N, M)) < 0.4) & (weights == 0)
        ours["exclude"] = dense(torch.tensor(excluded))
    return ours, theirs, weights, excluded


def worst(option: dict, engine: str, dtype: torch.dtype, problems: int) -> float:
    """The largest error over random problems."""
    found, rng = 0.0, np.random.default_rng(0)
    with playing(engine) as name:
        for _ in range(problems):
            if "views" in option:
                views, exact = zip(
                    *(rounded(rng.normal(size=(N, D)), dtype) for _ in range(option["views"])), strict=True
                )
                tau = rng.uniform(0.05, 2)
                got, expected = nt_xent(*views, temperature=tau, engine=name), oracle.nt_xent(list(exact), tau)
                largest = 1 / tau
            else:
                (q, q_exact), (k, k_exact) = (rounded(rng.normal(size=(size, D)), dtype) for size in (N, M))
                ours, theirs, weights, excluded = problem(option, rng, dtype)
                got = info_nce(q, k, engine=name, **ours)
                expected = oracle.info_nce(q_exact, k_exact, weights, excluded, **theirs)
                table = {
                    x: theirs[x] for x in ("temperature", "score", "margin", "key_bias", "negatives") if x in theirs
                }
                largest = max(abs(x) for row in oracle.logits(q_exact, k_exact, weights, **table) for x in row)
            found = max(found, abs(got.item() - expected) / (1 + largest))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=100)
    problems = parser.parse_args().problems
    print("| option | engine | " + " | ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES) + " |")
    print("|---|---|" + "---|" * len(DTYPES))
    for label, option in OPTIONS.items():
        for engine in ENGINES:
            errors = " | ".join(f"{worst(option, engine, dtype, problems):.0e}" for dtype in DTYPES)
            print(f"| {label} | {engine} | {errors} |", flush=True)


if __name__ == "__main__":
    main()
