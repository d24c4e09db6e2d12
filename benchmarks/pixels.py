"""Points of a turning box, followed to later frames that training never saw: flow, correlation, descriptors, `pixels`.

    python benchmarks/pixels.py                     everything; results/pixels.md, and the page's table
    python benchmarks/pixels.py --seeds 0           a part

The system is trained on the first 290 frames of opencv-doc's box.mp4, at 320 × 240, for 12 epochs in half precision, by
optical flow and, to compare, by two warps of one frame. All ways are asked for the same points of the box's face from
frame 300 on, and of two pairs of photographs (`pixels_data.py`). Other ways are in `pixels_baselines.py`; each has
several sizes, and its best figure of each row is shown. Each training is an ordinary `tellapart train` on one core.
runs/pixels keeps them, and complete ones are not repeated. It needs scikit-image, for DAISY, which `make peers`
installs. Beside other work, OMP_NUM_THREADS=1 keeps the threads from waiting for each other.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tellapart
from pages import publish
from pixels_baselines import Locate, chained_flow, ways
from pixels_data import (
    GAPS,
    TRAINED,
    aloe_questions,
    box_frames,
    box_questions,
    graf_questions,
    video,
)
from tellapart.domains.pixels import Asked, Flows, by_encoder, by_flow, encoder_of, share_found
from trainings import as_words, minutes_of_steps, row, spread, train_all

SYSTEMS: dict[str, dict[str, Any]] = {"flow": {}, "still": {"counterpart": "still"}}
_HOPS = (1, 5)
_GRAF = 10.0  # pixels; two views of a wall, more than 5 pixels apart in everything but a homography


def trainings(runs: Path, seeds: list[int]) -> dict[str, dict[Path, list[str]]]:
    """The command of each run folder, of each kind of training."""
    fixed = {"held_out": round(1 - TRAINED / len(box_frames()), 4), "epochs": 12, "trainer.precision": "bf16-mixed"}
    made: dict[str, dict[Path, list[str]]] = {name: {} for name in SYSTEMS}
    for name, options in SYSTEMS.items():
        for seed in seeds:
            folder = runs / f"{name}-{seed}"
            words = ["train", "pixels", "--data", str(video("box.mp4")), "--run", str(folder), "--resume"]
            made[name][folder] = ["-m", "tellapart", *words, *as_words(fixed | {"seed": seed} | options)]
    return made


def questions() -> dict[str, tuple[list[Asked], float]]:
    """What each row asks for, and within how many pixels."""
    asked = {f"{gap} frames": (box_questions(gap), 5.0) for gap in GAPS}
    return asked | {"graf1 → graf3": (graf_questions(), _GRAF), "aloe, left → right": (aloe_questions(), 5.0)}


def table(runs: Path, seeds: list[int]) -> str:
    """The share of points found, of each row by each way."""
    asked, frames = questions(), box_frames()
    shares = columns(runs, seeds, frames.frames)
    lines = [row(["", "points", "median move", *shares]), row(["---"] * (3 + len(shares)))]
    for name, (those, within) in asked.items():
        moves = np.concatenate([one.moved() for one in those])
        cells = [name, f"{len(moves):,}", f"{np.median(moves):.0f} px"]
        for way, find in shares.items():
            in_video = name.endswith("frames")
            cells.append(find(those, within) if in_video or way != "DIS, chained" else "–")
        lines.append(row(cells))
        print(lines[-1], flush=True)
    minutes = [minutes_of_steps(folder) for folders in trainings(runs, seeds).values() for folder in folders]
    note = f"Seeds: {', '.join(map(str, seeds))}. The steps of a training took {min(minutes):.0f} to {max(minutes):.0f}"
    return "\n".join([*lines, "", f"{note} minutes of one core, as busy as it was."])


Cell = Callable[[list[Asked], float], str]


def columns(runs: Path, seeds: list[int], frames: np.ndarray) -> dict[str, Cell]:
    """Each way, as a function of what is asked for."""
    chains: dict[str, Locate] = {str(hop): chained_flow(frames, Flows(box_frames(), hop)) for hop in _HOPS}
    made = {"DIS, one step": best({"": by_flow}), "DIS, chained": best(chains)}
    made |= {name: best(sizes) for name, sizes in ways().items()}
    trained = {name: [tellapart.load(folder) for folder in made] for name, made in trainings(runs, seeds).items()}
    made["untrained"] = over([by_encoder(encoder_of(run._finished.untrained)) for run in trained["flow"]])
    return made | {
        f"**{name}**": over([by_encoder(encoder_of(run.model)) for run in found]) for name, found in trained.items()
    }


def best(sizes: dict[str, Locate]) -> Cell:
    """The best figure of several sizes."""
    return lambda asked, within: f"{max(share_found(asked, locate, within) for locate in sizes.values()):.3f}"


def over(seeds: list[Locate]) -> Cell:
    """Mean and deviation over seeds."""
    return lambda asked, within: spread(share_found(asked, locate, within) for locate in seeds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--runs", type=Path, default=Path("runs/pixels"), help="where trainings are kept")
    given = parser.parse_args()
    train_all(
        {folder: words for made in trainings(given.runs, given.seeds).values() for folder, words in made.items()}, 1
    )
    publish("pixels", table(given.runs, given.seeds))
