"""Ten real sources for the benchmark of microstructures: a folder with a picture of each, grey or in colour.

    python benchmarks/microstructure_data.py          prints the folder, in the cache

Nanoporous gold in a scanning electron microscope (aquami, MIT, fetched by pip); nuclei by fluorescence (mahotas, MIT);
brick, grass, gravel, stained tissue, a cell, the moon, a retina and distant galaxies (scikit-image's wheel, BSD and
public domain). No package opened holds labelled micrographs of metals, so half of the sources are no micrographs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from fetch import cache, whole

SIDE = 512
OF_SKIMAGE = {
    "brick": "brick.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "tissue": "ihc.png",
    "cell": "cell.png",
    "moon": "moon.png",
    "retina": "retina.jpg",
    "galaxies": "hubble_deep_field.jpg",
}
GOLD, NUCLEI = "aquami/micrographs/Sample.tif", "demos/data/nuclear.png"


def real_sources() -> Path:
    """The folder of the ten pictures, made if it does not exist: the middle 512 × 512 pixels of each."""
    target = cache("micrographs")
    if not target.is_dir():
        files = {name: inside("skimage", f"data/{file}") for name, file in OF_SKIMAGE.items()}
        with whole(target) as partial, tempfile.TemporaryDirectory() as scratch:
            files |= {"nuclei": inside("mahotas", NUCLEI), "gold": fetch_gold(Path(scratch))}
            for name, file in files.items():
                image = Image.open(file)
                image = image if image.mode in ("L", "RGB") else image.convert("L")
                middle(image).save(partial / f"{name}.png")
    return target


def middle(image: Image.Image) -> Image.Image:
    """The middle of a picture, at most 512 pixels wide and high."""
    width, height = (min(SIDE, size) for size in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def inside(package: str, file: str) -> Path:
    """A file that an installed package brings along."""
    found = find_spec(package)
    if found is None or found.origin is None:
        sys.exit(f'{package} is missing: pip install "tellapart[peers]"')
    return Path(found.origin).parent / file


def fetch_gold(scratch: Path) -> Path:
    """The micrograph of nanoporous gold, out of the wheel of aquami."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch), "aquami==1.1.0"]
    subprocess.run(command, check=True)
    with zipfile.ZipFile(next(scratch.glob("*.whl"))) as wheel:
        return Path(wheel.extract(GOLD, scratch))


if __name__ == "__main__":
    print(real_sources())
