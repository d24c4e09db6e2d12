"""What people hand in, good and bad."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from tellapart import InputError
from tellapart.domains.held_out import text_id
from tellapart.domains.pictures import Pairs, load_items, load_pairs, split
from tellapart.domains.pictures.images import read_picture
from tellapart.domains.pictures.openmoji import load_openmoji
from tests.tiny.pictures import COLOURS, SHAPES, draw, write_pairs


def table(folder, text, name="pairs.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder)


@pytest.fixture
def folder(tmp_path):
    draw("red", "circle").save(tmp_path / "a.png")
    draw("blue", "bar").save(tmp_path / "b.png")
    return tmp_path


def test_a_folder_a_csv_a_tsv_and_a_parquet_file_give_the_same_pairs(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = write_pairs(tmp_path / "pictures")
    expected = load_pairs(str(folder), 16)
    assert len(expected) == len(COLOURS) * len(SHAPES)
    assert expected.pictures.shape == (24, 3, 16, 16)
    lines = (folder / "pairs.csv").read_text().splitlines()
    (folder / "pairs.tsv").write_text("\n".join(line.replace(",", "\t") for line in lines))
    rows = [line.split(",") for line in lines[1:]]
    pq.write_table(pa.table({"image": [r[0] for r in rows], "text": [r[1] for r in rows]}), folder / "pairs.parquet")
    for suffix in ("csv", "tsv", "parquet"):
        assert load_pairs(str(folder / f"pairs.{suffix}"), 16).fingerprint() == expected.fingerprint()


@pytest.mark.parametrize(
    "text", ["赤い丸", "دائرة حمراء", "красный круг", "🔴 круг", "a, quoted", 'say "hi"', "two\nlines", "e\u0301"]
)
def test_texts_in_any_script_arrive_as_they_are(folder, text):
    quoted = text.replace('"', '""')
    source = table(folder, f'\ufeffimage,text\na.png,"{quoted}"\nb.png,other\n')
    assert load_pairs(source, 8).texts == [text, "other"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"pairs.csv: no column image and no column text. Found: none"),
        ("picture,caption\na.png,x\n", "no column image and no column text. Found: picture, caption. Rename"),
        ("image,text\n", "pairs.csv: the table has no rows"),
        ("image,text\na.png,\n", "pairs.csv line 2: the column text is empty"),
        ("image,text\na.png,x\nmissing.png,y\n", "line 3: .*missing.png: cannot read the picture, there is no such"),
        ("image,text\na.png,x,y\n", "line 2: 3 cells where the header has 2. Quote"),
        ("image,text\na.png\n", "line 2: 1 cells where the header has 2"),
        ('image,text\na.png,"x\n', "line 2: unexpected end of data"),
        ("image,text\n.,x\n", "it is a folder"),
        ("image,text\nx.png,x\ny.png,y\n", r"line 2: .*x.png.*\(and 1 more broken pictures\)"),
        ("image\0,text\n", "holds a zero byte"),
        ("image,text,text\na.png,x,y\n", "there are two columns text"),
    ],
)
def test_a_wrong_table_is_named_with_its_line(folder, content, message):
    with pytest.raises(InputError, match=message):
        load_pairs(table(folder, content), 8)


def test_a_parquet_table_that_holds_no_texts_or_is_damaged_is_named(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"image": ["a.png"], "text": [["one", "two"]]}), path)
    with pytest.raises(InputError, match=r"x\.parquet: the column text holds list"):
        load_pairs(str(path), 8)
    pq.write_table(pa.table({"image": ["a.png" * 1000], "text": ["x"]}), path)
    # From Python 3.14 on such a name is one of a file that is missing.
    with pytest.raises(InputError, match=r"row 1: .*(broken picture, File name too long|there is no such file)"):
        load_pairs(str(path), 8)
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + bytes(20) + whole[24:])
    with pytest.raises(InputError, match=r"x\.parquet"):
        load_pairs(str(path), 8)


def test_a_table_that_is_not_utf8_is_named_with_its_line(folder):
    (folder / "pairs.csv").write_bytes("image,text\na.png,ok\nb.png,café\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"pairs.csv line 3: not UTF-8"):
        load_pairs(str(folder), 8)


def test_missing_empty_and_ambiguous_places_are_named(tmp_path):
    with pytest.raises(InputError, match="nowhere: there is no such file or folder"):
        load_pairs(str(tmp_path / "nowhere"), 8)
    with pytest.raises(InputError, match="the folder is empty"):
        load_pairs(str(tmp_path), 8)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match=r"holds no \.csv, \.tsv, \.jsonl, \.parquet or \.tar"):
        load_pairs(str(tmp_path), 8)
    with pytest.raises(InputError, match=r"notes\.txt: not a table"):
        load_pairs(str(tmp_path / "notes.txt"), 8)
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").touch()
    with pytest.raises(InputError, match=r"several tables \(a.csv, b.csv\)"):
        load_pairs(str(tmp_path), 8)
    (tmp_path / "c.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match=r"c\.parquet: not a Parquet file"):
        load_pairs(str(tmp_path / "c.parquet"), 8)


def png_of_size(width, height):
    """A valid PNG header that promises width×height pixels, in a file of a few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(12_000, 12_000), (30_000, 30_000), (2**31 - 1, 1000)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, width, height):
    (tmp_path / "bomb.png").write_bytes(png_of_size(width, height))
    with pytest.raises(InputError, match=r"bomb.png: .*Scale it down first|bomb.png: broken picture"):
        read_picture(tmp_path / "bomb.png", 8)


def test_broken_pictures_are_named(tmp_path):
    draw("red", "circle").resize((200, 200)).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    for name, content, message in [
        ("cut.png", whole[: len(whole) // 2], "broken picture"),
        ("empty.png", b"", "not a picture"),
        ("text.png", b"hello", "not a picture"),
        ("head.jpg", b"\xff\xd8\xff\xe0", "not a picture|broken"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}: .*{message}"):
            read_picture(tmp_path / name, 8)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16"])
def test_every_kind_of_picture_becomes_a_white_square_with_the_picture_in_it(tmp_path, mode):
    """A wide picture, black on the left and light on the right, keeps both and gets white above and below."""
    suffix = "tif" if mode in ("CMYK", "I;16") else "png"
    image = Image.new("L", (40, 20), 0)
    image.paste(255 if mode == "1" else 128, (20, 0, 40, 20))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    else:
        image = image.convert("RGB").convert(mode) if mode in ("P", "CMYK") else image.convert(mode)
    assert image.mode == mode
    image.save(tmp_path / f"x.{suffix}")
    picture = read_picture(tmp_path / f"x.{suffix}", 8).int()
    assert picture.shape == (3, 8, 8)
    assert (picture[:, :2] == 255).all()
    assert (picture[:, -2:] == 255).all()
    assert (picture[:, 3:5, :3] < 12).all()
    assert ((picture[:, 3:5, 5:] - (255 if mode == "1" else 128)).abs() < 12).all()


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pictures_without_an_agreed_range_are_refused(tmp_path, mode):
    Image.new(mode, (8, 8)).save(tmp_path / "x.tif")
    with pytest.raises(InputError, match="32 bits a pixel have no agreed range; convert it to 8 or 16 bits"):
        read_picture(tmp_path / "x.tif", 8)


def test_a_large_picture_looks_as_a_small_one_does(tmp_path):
    small = draw("red", "square")
    small.resize((960, 960), Image.Resampling.NEAREST).save(tmp_path / "large.png")
    small.save(tmp_path / "small.png")
    large, small = (read_picture(tmp_path / f"{name}.png", 12).float() for name in ("large", "small"))
    assert (large - small).abs().mean() < 12


def test_a_format_that_starts_a_program_is_not_tried(tmp_path):
    (tmp_path / "x.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")
    with pytest.raises(InputError, match="not a picture that can be read"):
        read_picture(tmp_path / "x.png", 8)


def test_exif_rotation_is_applied(tmp_path):
    image = Image.new("RGB", (20, 20), "white")
    image.paste("red", (0, 0, 20, 10))  # red above
    exif = image.getexif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it right: red comes to the right
    image.save(tmp_path / "turned.png", exif=exif)
    picture = read_picture(tmp_path / "turned.png", 8).float()
    assert picture[1, :, 6:].mean() < 10
    assert picture[1, :, :2].mean() > 245


def test_items_can_be_pictures_texts_or_both(folder):
    (folder / "words.txt").write_text("red circle\n\n blue bar \n", encoding="utf-8")
    assert load_items(str(folder / "words.txt"), 8).texts == ["red circle", "blue bar"]
    assert load_items(str(folder / "a.png"), 8).names == ["a.png"]
    (folder / "more").mkdir()
    draw("green", "dot").save(folder / "more" / "c.png")
    items = load_items(str(folder), 8)
    assert items.names == ["a.png", "b.png", "more/c.png"]
    assert items.pictures.shape == (3, 3, 8, 8)
    assert load_items(table(folder, "text\nhello\n", "t.csv") + "/t.csv", 8).pictures is None
    assert load_items(table(folder, "image\nb.png\n", "t.csv"), 8).texts == []
    for content, message in (("x,y\n1,2\n", "neither a column image nor a column text"), ("", "has no rows")):
        with pytest.raises(InputError, match=message):
            load_items(table(folder, content, "t.csv"), 8)
    (folder / "empty.txt").write_text("\n")
    with pytest.raises(InputError, match="holds no text"):
        load_items(str(folder / "empty.txt"), 8)
    (folder / "nothing").mkdir()
    with pytest.raises(InputError, match="holds no table and no pictures"):
        load_items(str(folder / "nothing"), 8)


def test_a_picture_named_in_several_rows_is_the_same_picture(folder):
    pairs = load_pairs(table(folder, "image,text\na.png,x\nb.png,y\na.png,z\n"), 8)
    assert pairs.names == ["a.png", "b.png", "a.png"]
    assert torch.equal(pairs.pictures[0], pairs.pictures[2])


def pairs_of(texts, pictures):
    """Pairs; each different picture has another number."""
    numbers = torch.tensor([int(number) for number in pictures], dtype=torch.uint8)
    names = [f"file {row}" for row in range(len(numbers))]  # the same picture may go by many names
    return Pairs(numbers[:, None, None, None].expand(-1, 3, 1, 1), list(texts), names)


@pytest.mark.parametrize("seed", range(5))
def test_no_picture_and_no_text_is_in_both_parts_of_the_split(seed):
    """Rows chained through shared pictures and texts stay together, and no row is lost."""
    rng = np.random.default_rng(seed)
    texts = [f"Text {'  ' if rng.random() < 0.3 else ''}{i}" for i in rng.integers(0, 60, 100)]
    pairs = pairs_of(texts, rng.integers(0, 90, 100))
    train, test = split(pairs, 0.3, seed)
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(100))
    for of in (
        lambda rows: {text_id(t) for t in pairs.rows(rows).texts},
        lambda rows: set(pairs.rows(rows).pictures[:, 0, 0, 0].tolist()),
    ):
        assert not of(train) & of(test)


def test_split_depends_on_the_seed_alone_and_holds_out_the_share():
    pairs = pairs_of([str(i) for i in range(200)], [str(i) for i in range(200)])
    first, again, other = (split(pairs, 0.25, seed)[1] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(first) == 50


def test_too_few_pairs_are_refused():
    for texts in ("a", "abc", "aaaaaaa"):
        with pytest.raises(InputError, match="At least 4 are needed"):
            split(pairs_of(texts, [str(i) for i in range(len(texts))]), 0.25, 0)


def test_openmoji_has_the_pictures_that_were_counted():
    pairs = load_openmoji(16)
    assert len(pairs) == len(set(pairs.names)) == 1707
    assert "grinning cat" in pairs.texts
    assert pairs.pictures.float().std() > 20
