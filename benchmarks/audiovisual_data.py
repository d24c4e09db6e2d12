"""Sounds and pictures of made-up events on two clocks, as a folder that `tellapart train audiovisual` takes.

    python benchmarks/audiovisual_data.py --sigma 1 --seed 0 [--offset 2]      prints the folder

The things are the stamps of Debian's tuxpaint-stamps-default with a picture and a sound effect that is not silent. Of
several with the same sound the first is taken. 3,000 events are drawn, each of a random thing, a Poisson process with
one event in a second. Of the sounds and of the pictures, independently, 10 % are missing. The recorder's clock is off
by a Gaussian error of deviation σ, drawn anew for each event, and may be ahead by an offset.

`test` beside it holds each thing once, with clocks that agree: a random crop of two seconds of its sound with white
noise at 20 dB, and its picture with Gaussian noise and moved by up to a sixteenth. They are the recordings of training,
cut and disturbed anew, so this measures alignment, not generalisation.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image, ImageOps

from fetch import cache, fetch, whole

N_EVENTS, MISSING = 3000, 0.1
_SIDE, _SILENT = 128, 1e-4
_CLIP, _NOISE = 2.0, 10 ** (-20 / 20)
_PAIRS, _TEST = cache("stamps-pairs"), cache("stamps-test")


def pairs() -> Path:
    """The folder of things: for each NAME.wav and NAME.png, made if it does not exist."""
    if not _PAIRS.is_dir():
        source, known = fetch("stamps"), set()
        with whole(_PAIRS) as folder:
            for sound in sorted(path for path in source.rglob("*") if path.suffix in (".ogg", ".wav")):
                if not sound.with_suffix(".png").is_file():
                    continue
                samples, rate = soundfile.read(sound, dtype="float32", always_2d=True)
                digest = hashlib.sha256(samples.tobytes()).digest()
                if digest in known or abs(samples).max() < _SILENT:
                    continue
                known.add(digest)
                name = f"{len(known):03}-{sound.stem}"
                soundfile.write(folder / f"{name}.wav", samples.clip(-1, 1), rate)
                with Image.open(sound.with_suffix(".png")) as image:
                    ImageOps.contain(image.convert("RGBA"), (_SIDE, _SIDE)).save(folder / f"{name}.png")
    return _PAIRS


def events(sigma: float, seed: int, offset: float = 0.0) -> Path:
    """The folder of the tables of a training, made if it does not exist."""
    names = [path.stem for path in sorted(pairs().glob("*.wav"))]
    target = cache(f"stamps-events-{sigma:g}-{offset:g}-{seed}")
    if target.is_dir():
        return target
    random = np.random.default_rng(seed)
    times = np.cumsum(random.exponential(size=N_EVENTS))
    things = random.integers(len(names), size=N_EVENTS)
    heard, seen = random.random((2, N_EVENTS)) >= MISSING
    written = times + offset + sigma * random.normal(size=N_EVENTS)
    with whole(target) as folder:
        for kind, suffix, kept, clock in (("sounds", "wav", heard, written), ("pictures", "png", seen, times)):
            files = [f"../{_PAIRS.name}/{names[thing]}.{suffix}" for thing in things]
            rows = [[files[i], repr(float(clock[i]))] for i in np.flatnonzero(kept)]
            _write(folder / f"{kind}.csv", ["file", "time"], rows)
    return target


def test() -> Path:
    """The folder of each thing once, with its label, made if it does not exist."""
    if not _TEST.is_dir():
        random = np.random.default_rng(0)
        with whole(_TEST) as folder:
            tables: dict[str, list[list[object]]] = {"sounds": [], "pictures": []}
            for row, path in enumerate(sorted(pairs().glob("*.wav"))):
                samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
                soundfile.write(folder / path.name, _disturbed(samples.mean(axis=1), rate, random), rate)
                picture = path.with_suffix(".png").name
                _moved(path.with_suffix(".png"), random).save(folder / picture)
                tables["sounds"].append([path.name, row, path.stem])
                tables["pictures"].append([picture, row, path.stem])
            for kind, rows in tables.items():
                _write(folder / f"{kind}.csv", ["file", "time", "label"], rows)
    return _TEST


def _disturbed(samples: np.ndarray, rate: int, random: np.random.Generator) -> np.ndarray:
    n = round(_CLIP * rate)
    start = random.integers(max(1, len(samples) - n + 1))
    cut = samples[start : start + n]
    noise = random.normal(size=len(cut)) * np.sqrt(np.mean(cut**2)) * _NOISE
    return (0.7 * (cut + noise)).clip(-1, 1).astype(np.float32)


def _moved(path: Path, random: np.random.Generator) -> Image.Image:
    by = random.integers(-_SIDE // 16, _SIDE // 16 + 1, 2)
    with Image.open(path) as image:
        square, centre = Image.new("RGB", (_SIDE, _SIDE), "white"), (_SIDE - np.array(image.size)) // 2
        square.paste(image, tuple((centre + by).tolist()), mask=image)
    pixels = np.asarray(square) + random.normal(scale=10, size=(_SIDE, _SIDE, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _write(path: Path, header: list[str], rows: list) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sigma", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--offset", type=float, default=0.0)
    given = parser.parse_args()
    print(events(given.sigma, given.seed, given.offset), test(), sep="\n")
