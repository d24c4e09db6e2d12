"""The size of a pixel from a file's metadata, in micrometres."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from tifffile import TiffFile

# A coarser pixel is a printer's resolution, which says nothing of the specimen: 20 µm are 1270 dots an inch.
_COARSEST = 20.0
_MICROMETRES = {
    "nm": 1e-3,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
}
_PER_UNIT = {2: 25_400.0, 3: 1e4}  # TIFF's inch and centimetre


def of_tiff(file: TiffFile) -> float | None:
    """What OME, ImageJ, FEI or Zeiss wrote into a TIFF, or else its resolution; `None` if none is plausible.

    A resolution of less than 1270 dots an inch is a printer's.
    """
    for known in (_of_ome, _of_imagej, _of_fei, _of_zeiss, _of_resolution):
        found = known(file)
        if found is not None and found > 0:
            return found
    return None


def of_resolution(dots_per_inch: float) -> float | None:
    """The pixel size that a resolution says; `None` for a printer's.

    >>> of_resolution(25_400), of_resolution(300)
    (1.0, None)
    """
    size = _PER_UNIT[2] / dots_per_inch if dots_per_inch > 0 else _COARSEST
    return size if size < _COARSEST else None


def _of_ome(file: TiffFile) -> float | None:
    if not file.is_ome or file.ome_metadata is None:
        return None
    try:
        pixels = next(e for e in ElementTree.fromstring(file.ome_metadata).iter() if e.tag.endswith("}Pixels"))
    except (ElementTree.ParseError, StopIteration):
        return None
    return _number(pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeXUnit", "µm"))


def _of_imagej(file: TiffFile) -> float | None:
    if not file.is_imagej or not file.imagej_metadata:
        return None
    unit = str(file.imagej_metadata.get("unit", "")).replace("\\u00B5", "µ")
    per_unit = file.pages.first.get_resolution()[0]
    return _number(1 / per_unit, unit) if per_unit else None


def _of_fei(file: TiffFile) -> float | None:
    found: Any = (file.fei_metadata or {}).get("Scan", {}) if file.is_fei else {}
    return _number(found.get("PixelWidth"), "m")


def _of_zeiss(file: TiffFile) -> float | None:
    found: Any = (file.sem_metadata or {}) if file.is_sem else {}
    entry: Any = found.get("ap_image_pixel_size") or found.get("ap_pixel_size") or ()
    return _number(entry[1], entry[2]) if len(entry) >= 3 else None


def _of_resolution(file: TiffFile) -> float | None:
    page = file.pages.first
    unit = _PER_UNIT.get(int(page.resolutionunit))
    per_unit = page.get_resolution()[0]
    return None if unit is None or not per_unit else of_resolution(per_unit * _PER_UNIT[2] / unit)


def _number(value: Any, unit: str) -> float | None:
    """A length in micrometres; `None` if it is no number, or in no unit of length."""
    factor = _MICROMETRES.get(unit.strip())
    if factor is None or not re.fullmatch(r"[0-9.]+(e[-+]?\d+)?", str(value).strip(), re.IGNORECASE):
        return None
    return float(value) * factor
