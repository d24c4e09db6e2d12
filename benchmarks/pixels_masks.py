"""Masks of people carried through a video of a fixed camera: by flow, by descriptors, and by `pixels`.

    python benchmarks/pixels_masks.py                     everything; results/pixels_masks.md, and the page's table

opencv-doc's vtest.avi has 795 frames of people who cross a square. Who is where is told by what differs from the
background, the median of all frames, at full size (768 × 576). The system is trained on the first 500 frames, at half
that height. From each 30th frame on, from frame 510, the people of one frame are carried to the frames behind it; the
figure is the intersection over union, at full size, 5 and 10 frames later, over all starts together. People who enter
meanwhile cannot be had by any way. Flow is chained from frame to frame at full size: at half of it, people are too
small for it. DAISY's cells and those of the networks go through the same propagation; of DAISY's sizes the better
is shown. Each training is an ordinary `tellapart train` on one core, and runs/pixels keeps them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
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
HEIGHT, FULL = 288, 576
GAPS = (5, 10)
_TEMPERATURE = 0.05  # of training
_LEAST_DIFFERENCE, _LEAST_AREA = 30, 150  # of 255 levels; pixels at full size
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
    """Where people are in the frames that are started from and asked for: 1, and 0 elsewhere."""
    frames = frames_at(FULL).frames
    background = np.median(frames[::5], axis=0).astype(np.int16)
    return {number: unlike(frames[number], background) for start in starts() for number in (start, *ends(start))}


def unlike(frame: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Regions of some size that differ from the background, closed and without holes."""
    differs = (np.abs(frame.astype(np.int16) - background).max(axis=2) > _LEAST_DIFFERENCE).astype(np.uint8)
    opened = cv2.morphologyEx(differs, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    closed = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    large = [outline for outline in outlines if cv2.contourArea(outline) >= _LEAST_AREA]
    return cv2.drawContours(np.zeros_like(closed), large, -1, 1, cv2.FILLED)


def starts() -> range:
    """The frames that masks are carried from."""
    return range(TESTED_FROM, len(frames_at(HEIGHT)) - max(GAPS), EVERY)


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


def by_alike(encode: Encode, temperature: float) -> Carry:
    """Each cell takes the labels of the cells that are most like it (`tellapart propagate`)."""

    def carry(start: int, mask: np.ndarray) -> Masks:
        part = Video("part", frames_at(HEIGHT).frames[start : start + max(GAPS) + 1])
        labels = propagate(encode, part, mask, temperature).labels
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
            found, true = carried[start + gap].astype(bool), truth[start + gap].astype(bool)
            both[gap] += int((found & true).sum())
            either[gap] += int((found | true).sum())
    return {gap: both[gap] / either[gap] for gap in GAPS}


def best(carries: list[Carry]) -> dict[int, float]:
    """The best of several ways at each gap."""
    made = [overlaps(carry) for carry in carries]
    return {gap: max(one[gap] for one in made) for gap in GAPS}


def trainings(runs: Path, seeds: list[int]) -> dict[Path, list[str]]:
    """The command of each run folder."""
    held_out = round(1 - TRAINED / len(frames_at(HEIGHT)), 4)
    as_before = {"pyramid": "false", "moving": 0.0}  # the table was made before these options
    options = {"data": picture("vtest.avi"), "held_out": held_out, "height": HEIGHT, "epochs": 5} | as_before
    return {
        (folder := runs / f"vtest-{seed}"): [
            *("-m", "tellapart", "train", "pixels", "--run", str(folder), "--resume"),
            *as_words(options | {"seed": seed}),
        ]
        for seed in seeds
    }


def table(runs: Path, seeds: list[int]) -> str:
    """Overlaps of each way, 5 and 10 frames later."""
    trained = [tellapart.load(runs / f"vtest-{seed}") for seed in seeds]
    networks = {
        "untrained": [encoder_of(run._finished.untrained) for run in trained],
        "**trained**": [encoder_of(run.model) for run in trained],
    }
    lines = [row(["", *(f"{gap} frames later" for gap in GAPS)]), "|---" * (1 + len(GAPS)) + "|"]
    simple = {"where they were": [copied], "DIS, chained at full size": [by_chained_flow]}
    simple["DAISY, propagated"] = [by_alike(daisy_cells(radius), _TEMPERATURE) for radius in (8, 15)]
    for name, carries in simple.items():
        found = best(carries)
        lines.append(row([name, *(f"{found[gap]:.3f}" for gap in GAPS)]))
        print(lines[-1], flush=True)
    for name, encoders in networks.items():
        each = [overlaps(by_alike(encode, _TEMPERATURE)) for encode in encoders]
        lines.append(row([name, *(spread(one[gap] for one in each) for gap in GAPS)]))
        print(lines[-1], flush=True)
    minutes = spread((minutes_of_steps(folder) for folder in trainings(runs, seeds)), ".0f")
    said = f"{len(starts())} starts; seeds {', '.join(map(str, seeds))}; {minutes} minutes of steps (median × steps)."
    return "\n".join([*lines, "", said])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--runs", type=Path, default=Path("runs/pixels"), help="where trainings are kept")
    given = parser.parse_args()
    train_all(trainings(given.runs, given.seeds), at_once=1)
    publish("pixels_masks", table(given.runs, given.seeds))
