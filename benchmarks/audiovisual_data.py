"""Sounds and pictures of made-up events on two clocks, as a folder that `tellapart train audiovisual` takes.

    python benchmarks/audiovisual_data.py --sigma 1 --seed 0 [--offset 2] [--things names]     prints the folder

The things are stamps of Debian's tuxpaint-stamps-default with a picture: `effects`, those with a sound effect that is
not silent (of several with the same sound the first is taken); or `names`, those whose name is spoken in six languages
or more. Events are drawn, each of a random thing, whose name is heard in a random language: a Poisson process with
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
import io
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import resvg_py
import soundfile
from PIL import Image, ImageOps

from fetch import cache, fetch, whole

N_EVENTS, MISSING = {"effects": 3000, "names": 12_000}, 0.1
_LEAST_LANGUAGES = 6
_SIDE, _SILENT = 128, 1e-4
_CLIP, _NOISE = 2.0, 10 ** (-20 / 20)


def pairs(things: str = "effects") -> dict[str, list[Path]]:
    """The sounds of each thing; beside them lies its picture, THING.png. Made if they do not exist."""
    target = cache({"effects": "stamps-pairs", "names": "stamps-names"}[things])
    if not target.is_dir():
        with whole(target) as folder:
            (_copy_effects if things == "effects" else _copy_names)(fetch("stamps"), folder)
    sounds = "{}.wav" if things == "effects" else "{}@*.ogg"
    return {path.stem: sorted(target.glob(sounds.format(path.stem))) for path in sorted(target.glob("*.png"))}


def _copy_effects(source: Path, folder: Path) -> None:
    known = set()
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
        _copy_picture(sound.with_suffix(".png"), folder / f"{name}.png")


def _copy_names(source: Path, folder: Path) -> None:
    spoken: dict[Path, list[Path]] = defaultdict(list)
    for sound in sorted(source.rglob("*_desc_*.ogg")):
        if abs(soundfile.read(sound)[0]).max() >= _SILENT:
            spoken[sound.with_name(sound.stem.partition("_desc_")[0])].append(sound)
    for number, (thing, sounds) in enumerate(spoken.items()):
        pictures = [found for suffix in (".png", ".svg") if (found := thing.with_name(thing.name + suffix)).is_file()]
        if len(sounds) < _LEAST_LANGUAGES or not pictures:
            continue
        name = f"{number:03}-{thing.name}"
        try:
            _copy_picture(pictures[0], folder / f"{name}.png")
        except ValueError as error:
            print(f"{pictures[0]}: left out, it cannot be drawn ({error})")
            continue
        for sound in sounds:
            shutil.copyfile(sound, folder / f"{name}@{sound.stem.rpartition('_')[2]}.ogg")


def _copy_picture(source: Path, target: Path) -> None:
    drawn = io.BytesIO(resvg_py.svg_to_bytes(svg_path=str(source))) if source.suffix == ".svg" else source
    with Image.open(drawn) as image:
        ImageOps.contain(image.convert("RGBA"), (_SIDE, _SIDE)).save(target)


def events(sigma: float, seed: int, offset: float = 0.0, things: str = "effects") -> Path:
    """The folder of the tables of a training, made if it does not exist."""
    named = "" if things == "effects" else f"{things}-"
    target = cache(f"stamps-events-{named}{sigma:g}-{offset:g}-{seed}")
    if target.is_dir():
        return target
    sounds, n = list(pairs(things).values()), N_EVENTS[things]
    random = np.random.default_rng(seed)
    times = np.cumsum(random.exponential(size=n))
    drawn = random.integers(len(sounds), size=n)
    heard, seen = random.random((2, n)) >= MISSING
    written = times + offset + sigma * random.normal(size=n)
    files = [sounds[thing][random.integers(len(sounds[thing]))] for thing in drawn]
    pictures = [file.with_name(f"{file.stem.partition('@')[0]}.png") for file in files]
    with whole(target) as folder:
        for kind, those, kept, clock in (("sounds", files, heard, written), ("pictures", pictures, seen, times)):
            rows = [[f"../{those[i].parent.name}/{those[i].name}", repr(float(clock[i]))] for i in np.flatnonzero(kept)]
            _write(folder / f"{kind}.csv", ["file", "time"], rows)
    return target


def one_of_each(things: str = "effects") -> Path:
    """The folder of each thing once, with its label, made if it does not exist; names are in a random language."""
    target = cache({"effects": "stamps-test", "names": "stamps-names-test"}[things])
    if not target.is_dir():
        random = np.random.default_rng(0)
        with whole(target) as folder:
            tables: dict[str, list[list[object]]] = {"sounds": [], "pictures": []}
            for row, (thing, sounds) in enumerate(pairs(things).items()):
                path = sounds[random.integers(len(sounds))] if len(sounds) > 1 else sounds[0]
                samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
                soundfile.write(folder / f"{thing}.wav", _disturbed(samples.mean(axis=1), rate, random), rate)
                _moved(path.with_name(f"{thing}.png"), random).save(folder / f"{thing}.png")
                tables["sounds"].append([f"{thing}.wav", row, thing])
                tables["pictures"].append([f"{thing}.png", row, thing])
            for kind, rows in tables.items():
                _write(folder / f"{kind}.csv", ["file", "time", "label"], rows)
    return target


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
    parser.add_argument("--things", choices=N_EVENTS, default="effects")
    given = parser.parse_args()
    print(events(given.sigma, given.seed, given.offset, given.things), one_of_each(given.things), sep="\n")
