"""Micrographs are read at their full depth, page by page, with the size of their pixels, and broken ones are named."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tellapart import InputError
from tellapart.domains.micrographs import MicrographOptions, load_micrographs, read
from tellapart.domains.micrographs.pixel_size import of_resolution

DEEP = np.random.default_rng(0).integers(0, 2**16, (3, 40, 56), dtype=np.uint16)


def load(path, **options):
    return load_micrographs(str(path), MicrographOptions(**{"patch": 16} | options))


def written(folder, pixels=DEEP, name="a.tif", **how):
    tifffile.imwrite(folder / name, pixels, **{"photometric": "minisblack"} | how)
    return folder / name


def test_16_bits_and_all_pages_are_kept_and_pages_are_of_one_specimen(tmp_path):
    fields = load(written(tmp_path)).fields
    assert [field.name for field in fields] == ["a.tif[0]", "a.tif[1]", "a.tif[2]"]
    assert {field.specimen for field in fields} == {"a.tif"}
    assert all(np.array_equal(field.pixels, page) for field, page in zip(fields, DEEP, strict=True))
    assert fields[0].pixels.dtype == np.uint16


def test_a_field_is_mapped_and_not_read(tmp_path):
    field = load(written(tmp_path, bigtiff=True)).fields[1]
    base = field.pixels
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


@pytest.mark.parametrize("how", [{}, {"tile": (16, 16)}, {"rowsperstrip": 8}], ids=str)
def test_a_large_compressed_field_is_decoded_into_a_file(tmp_path, monkeypatch, how):
    monkeypatch.setattr(read, "_IN_MEMORY", 100)
    fields = load(written(tmp_path, compression="zlib", **how)).fields
    assert all(np.array_equal(field.pixels, page) for field, page in zip(fields, DEEP, strict=True))


def test_of_a_pyramid_the_largest_level_is_taken(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        file.write(DEEP[0], subifds=1, metadata={"axes": "YX"})
        file.write(DEEP[0, ::2, ::2], subfiletype=1)
    (field,) = load(tmp_path / "a.ome.tif").fields
    assert np.array_equal(field.pixels, DEEP[0])


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colours_come_last_however_they_lie_in_the_file(tmp_path, planar):
    colours = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    given = colours if planar == "contig" else np.ascontiguousarray(colours.transpose(2, 0, 1))
    (field,) = load(written(tmp_path, given, photometric="rgb", planarconfig=planar)).fields
    assert np.array_equal(field.pixels, colours)


@pytest.mark.parametrize(
    ("how", "micrometres"),
    [
        ({"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}, 0.5),
        ({"resolution": (25_400, 25_400), "resolutionunit": "INCH"}, 1.0),
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, None),
        ({"imagej": True, "resolution": (4.0, 4.0), "metadata": {"unit": "um", "axes": "ZYX"}}, 0.25),
        ({"imagej": True, "resolution": (0.5, 0.5), "metadata": {"unit": "nm", "axes": "ZYX"}}, 0.002),
        ({"imagej": True, "resolution": (4.0, 4.0), "metadata": {"unit": "pixel", "axes": "ZYX"}}, None),
        ({"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 30.0, "PhysicalSizeXUnit": "nm"}}, 0.03),
        ({}, None),
    ],
    ids=str,
)
def test_the_pixel_size_is_read_from_whatever_wrote_it(tmp_path, how, micrometres):
    fields = load(written(tmp_path, **how)).fields
    assert [field.pixel_size for field in fields] == [pytest.approx(micrometres) if micrometres else None] * 3


class OfAMicroscope:
    """What tifffile says of a file of FEI or Zeiss, which it cannot write."""

    is_ome = is_imagej = False

    def __init__(self, fei=None, sem=None):
        self.fei_metadata, self.sem_metadata = fei, sem
        self.is_fei, self.is_sem = fei is not None, sem is not None


def test_the_pixel_size_of_electron_microscopes():
    from tellapart.domains.micrographs.pixel_size import of_tiff

    assert of_tiff(OfAMicroscope(fei={"Scan": {"PixelWidth": 3.5e-9}})) == pytest.approx(0.0035)
    assert of_tiff(OfAMicroscope(sem={"ap_image_pixel_size": ("Image Pixel Size", 12.5, "nm")})) == pytest.approx(
        0.0125
    )


def test_a_png_has_16_bits_too_and_a_pixel_size(tmp_path):
    Image.fromarray(DEEP[0]).save(tmp_path / "deep.png", dpi=(25_400, 25_400))
    (field,) = load(tmp_path / "deep.png").fields
    assert np.array_equal(field.pixels, DEEP[0])
    assert field.pixel_size == pytest.approx(1.0, rel=1e-3)
    assert of_resolution(0) is None


def test_a_palette_is_colours_or_the_numbers_of_grains(tmp_path):
    numbers = np.kron(np.arange(4, dtype=np.uint8).reshape(2, 2), np.ones((16, 16), dtype=np.uint8))
    image = Image.fromarray(numbers).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    image.save(tmp_path / "grains.png")
    assert np.array_equal(load(tmp_path / "grains.png", content="grains").fields[0].pixels, numbers)
    assert load(tmp_path / "grains.png").fields[0].pixels.shape == (32, 32, 3)


def test_subfolders_are_labels_and_may_be_specimens(tmp_path):
    for place in ("steel/s1/a.tif", "steel/s1/b.tif", "gold/c.tif"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        written((tmp_path / place).parent, DEEP[0], Path(place).name)
    by_file, by_folder = load(tmp_path).fields, load(tmp_path, specimen="folder").fields
    assert [field.label for field in by_file] == ["gold", "steel", "steel"]
    assert [field.specimen for field in by_file] == ["gold/c.tif", "steel/s1/a.tif", "steel/s1/b.tif"]
    assert [field.specimen for field in by_folder] == ["gold", "steel/s1", "steel/s1"]
    written(tmp_path, DEEP[0], "d.tif")
    assert [field.label for field in load(tmp_path).fields] == [None] * 4


def test_small_fields_are_left_out_and_counted(tmp_path):
    written(tmp_path, DEEP[0], "a.tif")
    written(tmp_path, DEEP[0, :12], "b.tif")
    found = load(tmp_path)
    assert [field.name for field in found.fields] == ["a.tif"]
    assert found.left_out == ["1 of 2 micrographs are left out: smaller than a patch."]


def test_the_fingerprint_changes_with_any_pixel_or_name(tmp_path):
    first = load(written(tmp_path)).fingerprint
    assert load(written(tmp_path)).fingerprint == first
    changed = DEEP.copy()
    changed[2, 39, 55] ^= 1
    assert load(written(tmp_path, changed)).fingerprint != first
    (tmp_path / "a.tif").unlink()
    assert load(written(tmp_path, name="b.tif")).fingerprint != first


def test_mistakes_are_named(tmp_path):
    flat, broken = np.full((40, 40), 7, dtype=np.uint8), DEEP[0].astype(np.float32)
    broken[3, 4] = np.nan
    (tmp_path / "cut.tif").write_bytes(written(tmp_path, compression="zlib").read_bytes()[:300])
    (tmp_path / "text.tif").write_text("no picture")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty").mkdir()
    for path, message, options in [
        (tmp_path / "nowhere", "there is no such file or folder", {}),
        (tmp_path / "empty", "the folder holds no micrographs", {}),
        (tmp_path / "cut.tif", "cut.tif: cannot read the TIFF", {}),
        (tmp_path / "text.tif", "text.tif: cannot read the TIFF, not a TIFF file", {}),
        (tmp_path / "text.png", "not a picture that can be read", {}),
        (written(tmp_path, flat, "flat.tif"), "flat.tif: all pixels have the value 7", {}),
        (written(tmp_path, broken, "nan.tif"), "nan.tif: some values are not finite", {}),
        (written(tmp_path, DEEP[0].astype(np.complex64), "x.tif"), "pixels of the type complex64", {}),
        (written(tmp_path, DEEP[0, :10], "small.tif"), "no micrograph is as large as a patch, 16 pixels", {}),
        (written(tmp_path, DEEP[0], "b.tif"), "does not tell the size of its pixels", {"pixel_size": 1.0}),
        (written(tmp_path, broken, "c.tif"), "must have one whole number a pixel. Got float32", {"content": "grains"}),
    ]:
        with pytest.raises(InputError, match=message):
            load(path, **options)


def test_without_tifffile_the_remedy_is_named(tmp_path, monkeypatch):
    path = written(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    with pytest.raises(InputError, match=r'pip install "tellapart\[micrographs\]"'):
        load(path)
