"""Tables as people have them: separators, quotations, names of columns, pictures inside, broken rows."""

import csv
import gzip
import json

import pytest

from tellapart import InputError, reading
from tellapart.domains.shards import read_tables
from tellapart.domains.tables import Form, find_tables, read_table

WANTED = ("image", "text")


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def texts(path, **form):
    return read_table(path, WANTED, WANTED, form=Form(**form)).columns["text"]


def test_a_quotation_mark_that_is_not_closed_in_its_line_is_content_in_a_tsv(tmp_path):
    rows = ['a\t"tall', "b\tplain", 'c\tone 5" tall', 'd\twide"', 'e\t"quoted ""twice"""', 'f\t"with\ttab"', 'g\t""']
    table = write(tmp_path / "x.tsv", "image\ttext\n" + "\n".join(rows) + "\nh\tlast\n")
    with reading.accounted() as account:
        found = texts(table)
    assert found == ['"tall', "plain", 'one 5" tall', 'wide"', 'quoted "twice"', "with\ttab", "last"]
    assert account.counts == {"row with an empty text": 1}


def test_a_tsv_that_pythons_writer_made_is_read_as_it_was_meant(tmp_path):
    meant = ['say "hi"', "a\ttab", "comma, here", '"', "'", "plain"]
    with (tmp_path / "x.tsv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(WANTED)
        writer.writerows((str(i), text) for i, text in enumerate(meant))
    assert texts(tmp_path / "x.tsv") == meant


def test_a_cell_may_be_as_long_as_it_likes(tmp_path):
    long = "word " * 60_000
    assert texts(write(tmp_path / "x.csv", f"image,text\na,{long}\n")) == [long.strip()]


@pytest.mark.parametrize("mark", [";", "|", "\t"])
def test_another_separator_is_found_where_it_alone_gives_the_columns_and_is_said(tmp_path, mark):
    table = write(tmp_path / "x.csv", f"image{mark}text\na{mark}red, green\n")
    with reading.accounted() as account:
        assert texts(table) == ["red, green"]
    assert "are separated by" in account.told()
    assert texts(table, separator=mark) == ["red, green"]


def test_a_separator_that_all_rows_have_alike_is_found_without_the_names(tmp_path):
    table = write(tmp_path / "x.csv", "path;caption\na;red\nb;blue, or green\n")
    with reading.accounted() as account:
        assert texts(table, columns="image=path,text=caption") == ["red", "blue, or green"]
    assert "Cells of x.csv are separated by ';'." in account.told()
    with pytest.raises(InputError, match=r"Found: path, caption\. .*--columns image=path,text=caption"):
        texts(table)


STRAY = 'image,text\n1.png,red\n2.png,"tall\n3.png,plain\n4.png,wide"\n5.png,blue\n'


def test_a_stray_quotation_mark_that_swallows_rows_is_refused_with_its_line(tmp_path):
    for content in (STRAY, STRAY.replace("\n", "\r\n")):
        with reading.accounted(), pytest.raises(InputError, match=r"x\.csv line 3: a quotation opens here .* line 5"):
            texts(write(tmp_path / "x.csv", content))


@pytest.mark.parametrize("cell", ["a poem\nof two lines", "Berlin, Germany\nParis, France", "one\n\ntwo,three,four"])
def test_a_cell_of_several_lines_is_one_cell_and_is_said(tmp_path, cell):
    with (tmp_path / "x.csv").open("w", newline="") as file:
        csv.writer(file).writerows([WANTED, ("1.png", "red"), ("2.png", cell), ("3.png", "blue")])
    with reading.accounted() as account:
        assert texts(tmp_path / "x.csv") == ["red", cell, "blue"]
    assert "1 row hold quotations of several lines." in account.told()


def test_where_nothing_tells_the_separator_the_option_is_named_and_works(tmp_path):
    table = write(tmp_path / "x.csv", "path;caption\na;red\nb;blue;\n")
    with pytest.raises(InputError, match=r"Found: path;caption\. Say what separates cells: --separator ';'"):
        texts(table)
    with pytest.raises(InputError, match=r"--columns image=path,text=caption"):
        texts(table, separator=";")
    with reading.accounted():
        assert texts(table, separator=";", columns="image=path,text=caption") == ["red"]


def test_columns_are_called_as_the_option_says_or_as_they_are_whatever_the_case(tmp_path):
    assert texts(write(tmp_path / "x.csv", "Image,TEXT\na,red\n")) == ["red"]
    two = write(tmp_path / "y.csv", "image,text,title\na,red,Red\n")
    assert texts(two, columns="text=title") == ["Red"]
    with pytest.raises(InputError, match=r"no column name. Found: image, text, title"):
        texts(two, columns="text=name")
    with pytest.raises(InputError, match=r"`columns` must be of the form image=path,text=caption"):
        texts(two, columns="title")


def test_jsonl_and_packed_tables_are_read(tmp_path):
    rows = [{"image": "a", "text": "red"}, {"image": "b", "text": "blue", "more": [1]}]
    lines = "\n".join(map(json.dumps, rows))
    for path in (
        write(tmp_path / "x.jsonl", lines),
        write(tmp_path / "x.jsonl.gz", gzip.compress(lines.encode())),
        write(tmp_path / "x.csv.gz", gzip.compress(b"image,text\na,red\nb,blue\n")),
    ):
        assert texts(path) == ["red", "blue"], path


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("x.csv", "image,text\na,red\nb\nc,blue\n", "row with another number of cells"),
        ("x.csv", "image,text\na,red\nb,\nc,blue\n", "row with an empty text"),
        ("x.csv", b"image,text\na,red\nb,caf\xe9\nc,blue\n", "row that is not UTF-8"),
        (
            "x.jsonl",
            '{"image":"a","text":"red"}\n{"image"\n{"image":"c","text":"blue"}\n',
            "line that is no JSON object",
        ),
        (
            "x.jsonl",
            '{"image":"a","text":"red"}\n{"image":"b"}\n{"image":"c","text":"blue"}\n',
            "row with an empty text",
        ),
        (
            "x.jsonl",
            '{"image":"a","text":"red"}\n{"image":"b","text":["red","dark"]}\n{"image":"c","text":"blue"}\n',
            "row with several values for text",
        ),
    ],
)
def test_a_broken_row_is_left_out_and_counted_or_stops(tmp_path, name, content, why):
    table = write(tmp_path / name, content)
    with reading.accounted() as account:
        assert texts(table) == ["red", "blue"]
    assert account.counts == {why: 1}
    with reading.accounted("stop"), pytest.raises(InputError, match=rf"{name} line [23]"):
        texts(table)


def parquet(path, **columns):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_holds_pictures_as_hugging_face_writes_them_and_texts_by_number(tmp_path):
    import pyarrow as pa

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pictures = pa.array([{"bytes": b"one", "path": "1.png"}, {"bytes": None, "path": "2.png"}], kind)
    words = pa.array(["red", "blue"]).dictionary_encode()
    table = read_table(parquet(tmp_path / "x.parquet", image=pictures, text=words), WANTED, WANTED)
    assert table.columns["text"] == ["red", "blue"]
    assert table.pictures("image") == ([b"one", tmp_path / "2.png"], ["row 0", "2.png"])
    plain = read_table(parquet(tmp_path / "y.parquet", image=pa.array([b"one"]), text=["red"]), WANTED, WANTED)
    assert plain.pictures("image")[0] == [b"one"]


def test_shards_of_one_table_are_read_together_and_other_splits_are_not(tmp_path):
    for i in range(2):
        parquet(tmp_path / f"train-0000{i}-of-00002.parquet", image=[f"{i}"], text=[f"text {i}"])
    assert read_tables(find_tables(tmp_path), WANTED, WANTED).columns["text"] == ["text 0", "text 1"]
    parquet(tmp_path / "test-00000-of-00001.parquet", image=["9"], text=["unseen"])
    with reading.accounted() as account:
        assert len(find_tables(tmp_path)) == 2
    assert account.counts == {"table of another split than train": 1}


def test_paths_of_windows_are_understood_and_urls_are_refused(tmp_path):
    write(tmp_path / "a.png", "")
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep" / "b.png", "")
    table = read_table(write(tmp_path / "x.csv", "image,text\na.png,x\ndeep\\b.png,y\n"), WANTED, WANTED)
    assert all(path.is_file() for path in table.files("image"))
    for url in ("https://example.org/a.png", "s3://bucket/a.png"):
        table = read_table(write(tmp_path / "x.csv", f"image,text\n{url},x\n"), WANTED, WANTED)
        with pytest.raises(InputError, match=r"line 2: .* is a URL\. URLs are not fetched"):
            table.files("image")


def test_what_is_no_table_is_called_by_its_name(tmp_path):
    for name, content, told in (
        ("x.csv", b"PAR1....", "a Parquet file"),
        ("x.parquet", b"<html>", "an HTML page"),
        ("x.csv", "image,text\n".encode("utf-16"), "UTF-16 text"),
    ):
        with pytest.raises(InputError, match=told):
            texts(write(tmp_path / name, content))
