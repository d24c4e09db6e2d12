"""Masks of people carried through a video of a fixed camera: by flow, by descriptors, and by `pixels`.

    python benchmarks/pixels_masks.py                     everything; results/pixels_masks.md, and the page's table

opencv-doc's vtest.avi has 795 frames of people who cross a square. Who is where is told by what differs from the
background, the median of all frames, at full size (768 × 576). The system is trained on the first 500 frames, at half
that height. From each 30th frame on, from frame 510, the people of one frame are carried to the frames behind it; the
figure is the intersection over union, at full size, 1, 5 and 10 frames later, over all starts. People who come in
meanwhile are left out: no way can know of them. Flow is chained from frame to frame at full size: at half of it, people
are too small for it. DAISY's cells and those of the networks go through the same propagation, at half and at full size;
of DAISY's radii the better is shown. Each training is an ordinary `tellapart train` on one core, and runs/pixels keeps
them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import cache as remembered
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

import tellapart
from pages import publish
from pixels_baselines import daisy_map
from pixels_data import picture
from tellapart.domains.pixels import STRIDE, Encode, Flows, Video, encoder_of, propagate, read_videos, sampled
from trainings import as_words, minutes_of_steps, row, spread, train_all

TRAINED, TESTED_FROM, EVERY = 500, 510, 30
HALF, FULL = 288, 576
GAPS = (1, 5, 10)
_TEMPERATURE = 0.05  # of training
_LEAST_DIFFERENCE, _LEAST_AREA, _LEAST_HOLE = 30, 150, 30  # of 255 levels; pixels at full size
Masks = dict[int, np.ndarray]
"""The mask of each frame behind the first."""
Carry = Callable[[int, np.ndarray], Masks]
"""Called as `carry(start, mask)`."""


@remembered
def frames_at(height: int) -> Video:
    """The video at a height."""
    return read_videos(str(picture("vtest.avi")), height)[0]


@remembered
def people() -> dict[int, np.ndarray]:
    """Where people are, from each start to the last frame that is asked for: 1, and 0 elsewhere."""
    frames = frames_at(FULL).frames
    background = np.median(frames[::5], axis=0).astype(np.int16)
    return {
        number: unlike(frames[number], background)
        for start in starts()
        for number in range(start, start + max(GAPS) + 1)
    }


@remembered
def came_in(start: int, end: int) -> np.ndarray:
    """Where those people are, in the frame `end`, who were not seen at the start: no way can know of them."""
    truth = people()
    known, new = truth[start], np.zeros_like(truth[start])
    for number in range(start + 1, end + 1):
        _, regions = cv2.connectedComponents(truth[number], connectivity=8)
        old = np.isin(regions, regions[(known > 0) & (truth[number] > 0)])
        known, new = truth[number] * old, truth[number] * ~old
    return new


def unlike(frame: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Regions of some size that differ from the background, closed and without holes."""
    differs = (np.abs(frame.astype(np.int16) - background).max(axis=2) > _LEAST_DIFFERENCE).astype(np.uint8)
    opened = cv2.morphologyEx(differs, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    closed = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
    # Small holes are in clothes that look like the ground; large ones are ground, between legs and their shadow.
    return _without_small(1 - _without_small(1 - closed, _LEAST_HOLE), _LEAST_AREA)


def _without_small(mask: np.ndarray, least: int) -> np.ndarray:
    """A mask without regions of a smaller area."""
    _, regions, measures, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    return mask * (measures[regions, cv2.CC_STAT_AREA] >= least).astype(np.uint8)


def starts() -> range:
    """The frames that masks are carried from."""
    return range(TESTED_FROM, len(frames_at(HALF)) - max(GAPS), EVERY)


def ends(start: int) -> list[int]:
    """The frames that are asked for."""
    return [start + gap for gap in GAPS]


def copied(start: int, mask: np.ndarray) -> Masks:
    """The same mask, where it was."""
    return dict.fromkeys(ends(start), mask)


def by_chained_flow(start: int, mask: np.ndarray) -> Masks:
    """Each pixel has the label of the pixel that flow leads back to, from frame to frame at full size."""
    flows = _full_flows()
    height, width = mask.shape
    every = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).reshape(-1, 2).astype(np.float32)
    carried = {}
    for end in ends(start):
        came_from = flows.follow(end, start, every).places
        carried[end] = (sampled(mask[..., None].astype(np.float32), came_from) > 0.5).reshape(mask.shape)
    return carried


@remembered
def _full_flows() -> Flows:
    return Flows(frames_at(FULL), 1)


def by_alike(encode: Encode, height: int) -> Carry:
    """Each cell takes the labels of the cells that are most like it (`tellapart propagate --height`)."""

    def carry(start: int, mask: np.ndarray) -> Masks:
        part = Video("part", frames_at(height).frames[start : start + max(GAPS) + 1])
        labels = propagate(encode, part, mask, _TEMPERATURE).labels
        return {end: labels[end - start] for end in ends(start)}

    return carry


def daisy_cells(radius: int) -> Encode:
    """DAISY's descriptors of a frame's cells, at length 1 and without their mean, as maps."""

    def encode(frames: np.ndarray) -> Tensor:
        maps = torch.stack([torch.from_numpy(daisy_map(frame, radius, STRIDE)) for frame in frames])
        centred = maps - maps.mean(dim=(1, 2), keepdim=True)
        return torch.nn.functional.normalize(centred, dim=3).permute(0, 3, 1, 2)

    return encode


def overlaps(carry: Carry) -> dict[int, float]:
    """Intersection over union at each gap, over all starts together."""
    truth = people()
    both, either = dict.fromkeys(GAPS, 0), dict.fromkeys(GAPS, 0)
    for start in starts():
        carried = carry(start, truth[start])
        for gap in GAPS:
            judged = came_in(start, start + gap) == 0
            found, true = ((carried[start + gap] > 0) & judged), ((truth[start + gap] > 0) & judged)
            both[gap] += int((found & true).sum())
            either[gap] += int((found | true).sum())
    return {gap: both[gap] / either[gap] for gap in GAPS}


def trainings(runs: Path, seeds: list[int]) -> dict[Path, list[str]]:
    """The command of each run folder."""
    held_out = round(1 - TRAINED / len(frames_at(HALF)), 4)
    options = {"data": picture("vtest.avi"), "held_out": held_out, "height": HALF, "epochs": 5, "pyramid": "false"}
    return {
        (folder := runs / f"people-{seed}"): [
            *("-m", "tellapart", "train", "pixels", "--run", str(folder), "--resume"),
            *as_words(options | {"trainer.precision": "bf16-mixed", "seed": seed}),
        ]
        for seed in seeds
    }


def ways(runs: list[Path]) -> Iterator[tuple[str, list[dict[int, float]]]]:
    """Each way's name, and its overlaps: one for each seed, if it has seeds."""
    yield "where they were", [overlaps(copied)]
    yield "DIS, chained at full size", [overlaps(by_chained_flow)]
    trained = [tellapart.load(run) for run in runs]
    for height, size in ((HALF, "half size"), (FULL, "full size")):
        daisies = [overlaps(by_alike(daisy_cells(radius), height)) for radius in (8, 15)]
        yield f"DAISY, {size}", [{gap: max(one[gap] for one in daisies) for gap in GAPS}]
        before = [encoder_of(run._finished.untrained) for run in trained]
        yield f"untrained, {size}", [overlaps(by_alike(encode, height)) for encode in before]
        yield f"**trained**, {size}", [overlaps(by_alike(encoder_of(run.model), height)) for run in trained]


def table(runs: Path, seeds: list[int]) -> str:
    """Overlaps of each way, some frames later."""
    folders = list(trainings(runs, seeds))
    heads = ["1 frame later", *(f"{gap} frames later" for gap in GAPS[1:])]
    lines = [row(["", *heads]), "|---" * (1 + len(GAPS)) + "|"]
    for name, found in ways(folders):
        lines.append(row([name, *(spread(one[gap] for one in found) for gap in GAPS)]))
        print(lines[-1], flush=True)
    minutes = spread((minutes_of_steps(folder) for folder in folders), ".0f")
    said = f"{len(starts())} starts; seeds {', '.join(map(str, seeds))}; {minutes} minutes of steps (median × steps)."
    return "\n".join([*lines, "", said])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--runs", type=Path, default=Path("runs/pixels"), help="where trainings are kept")
    given = parser.parse_args()
    train_all(trainings(given.runs, given.seeds), at_once=1)
    publish("pixels_masks", table(given.runs, given.seeds))
