"""Texts that outgrow the memory: the store has the same texts, and no accident makes it other than whole."""

import gzip
import json
import os
import tracemalloc

import numpy as np
import pytest
import torch

from tellapart import InputError, reading
from tellapart.domains import tables, text_store, texts
from tellapart.domains.genomes import load_sequences
from tellapart.domains.pictures import load_pairs, load_pictures
from tellapart.domains.shards import read_tables
from tellapart.domains.text import Unread, load_sentences, load_translations
from tellapart.domains.texts import Chain, Texts, chosen, digest_of, hashes, numbers, picked, text_hash
from tests.forked import warm
from tests.tiny.pictures import write_pairs
from tests.tiny.texts import stores, write_reads, write_translations


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """All texts go to a store, which lies here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(text_store, "IN_MEMORY", 0)
    return tmp_path / "cache" / "tellapart" / "texts"


def loaded(load, *arguments, broken="skip"):
    """What was loaded, and the account without the note that it is in a store."""
    with reading.accounted(broken) as account:
        found = load(*arguments)
    account.notes = [note for note in account.notes if "from a store" not in note]
    return found, account


def in_memory(monkeypatch, load, *arguments):
    with monkeypatch.context() as patch:
        patch.setattr(text_store, "IN_MEMORY", 2**40)
        return loaded(load, *arguments)


def same_pairs(found, expected):
    assert isinstance(found.sources, Texts)
    assert isinstance(expected.sources, list)
    for side in ("sources", "targets", "groups"):
        assert list(getattr(found, side)) == getattr(expected, side)
    assert (found.languages, found.left_out) == (expected.languages, expected.left_out)
    assert found.fingerprint() == expected.fingerprint()
    assert all(torch.equal(a, b) for a, b in zip(found.ids(), expected.ids(), strict=True))
    for a, b in zip(found.split(0.25, 3), expected.split(0.25, 3), strict=True):
        assert torch.equal(a, b)
        assert list(found.rows(a).targets) == expected.rows(a).targets
        assert all(torch.equal(*both) for both in zip(found.rows(a).ids(), expected.rows(a).ids(), strict=True))


def tmx_of(path, n):
    unit = "<tu><tuv xml:lang='{}'><seg>cat {}</seg></tuv><tuv xml:lang='{}'><seg>chat {}</seg></tuv></tu>"
    units = [unit.format("en" if i % 7 else "fr", i % 50, "fr" if i % 5 else "en", i) for i in range(n)]
    units[2] = units[2].replace("cat", "cat \x01")
    path.write_text(f"<tmx><header srclang='fr'/><body>{''.join(units)}</body></tmx>")
    return path


def sources_of_translations(folder):
    table = write_translations(folder, 90)
    columns = [line.split("\t") for line in table.read_text().splitlines()]
    for number, ending in enumerate(("en", "fr")):
        with gzip.open(folder / f"c.{ending}.gz", "wb") as file:
            file.write("\n".join(row[number] for row in columns).encode() + (b"\nbroken \xff" if number else b"\nx"))
    return [str(table), f"{folder}/c.en.gz,{folder}/c.fr.gz", str(tmx_of(folder / "m.tmx", 80))]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_translations_of_a_store_are_those_in_memory(tmp_path, cache, monkeypatch, number):
    source = sources_of_translations(tmp_path / "data")[number]
    expected, account = in_memory(monkeypatch, load_translations, source)
    for _ in range(2):  # filled, and used again
        found, found_account = loaded(load_translations, source)
        same_pairs(found, expected)
        assert found_account == account
    assert len(stores(cache)) == 1
    assert sum(account.counts.values()) > 0


@pytest.mark.usefixtures("cache")
def test_a_broken_item_stops_where_none_is_left_out_filled_or_used_again(tmp_path):
    source = str(tmx_of(tmp_path / "m.tmx", 30))
    with pytest.raises(InputError, match="a character that XML forbids"):
        loaded(load_translations, source, broken="stop")
    loaded(load_translations, source)
    with pytest.raises(InputError, match="a character that XML forbids"):
        loaded(load_translations, source, broken="stop")
    with pytest.raises(InputError, match="a character that XML forbids"):
        load_translations(source)


def test_sentences_and_captions_of_a_store_are_those_in_memory(tmp_path, cache, monkeypatch):
    (tmp_path / "a.txt").write_text("one\n\n two \nthree\n")
    (tmp_path / "b.jsonl").write_text('{"text": "half \\ud800"}\n{"text": "zero \\u0000 byte"}\n{"text": ""}\n')
    for source in (f"{tmp_path}/a.txt", f"{tmp_path}/b.jsonl", str(write_translations(tmp_path, 30))):
        expected, account = in_memory(monkeypatch, load_sentences, source)
        found, found_account = loaded(load_sentences, source)
        assert not isinstance(found, list)
        assert list(found) == list(expected) == found[:]
        assert found_account == account
    pairs = str(write_pairs(tmp_path / "pairs"))
    expected, account = in_memory(monkeypatch, load_pairs, pairs, 8)
    found, found_account = loaded(load_pairs, pairs, 8)
    assert isinstance(found.texts, Texts)
    assert (list(found.texts), list(found.names)) == (expected.texts, expected.names)
    assert found.fingerprint() == expected.fingerprint()
    assert found_account == account
    assert found.rows(torch.tensor([3, 1])).texts == [expected.texts[3], expected.texts[1]]
    assert len(stores(cache)) == 4


def test_reads_of_a_store_are_those_in_memory(tmp_path, cache, monkeypatch):
    source = str(write_reads(tmp_path / "data", 60))
    expected, account = in_memory(monkeypatch, load_sequences, source)
    for _ in range(2):
        found, found_account = loaded(load_sequences, source)
        assert found_account == account
        assert isinstance(found.names, Texts)
        assert list(found.names) == expected.names
        assert found.fingerprint() == expected.fingerprint()
        for row in range(len(expected)):
            assert torch.equal(*(x.bases[x.start[row] : x.stop[row]] for x in (found, expected)))
    assert account.counts == {"record without bases": 1}
    assert len(stores(cache)) == 1


@pytest.mark.usefixtures("cache")
def test_pictures_inside_a_table_go_to_a_store_row_by_row(tmp_path, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = write_pairs(tmp_path / "pairs")
    listed = tables.read_table(next(folder.glob("*.csv")), ("image", "text"), ("image", "text"))
    images = [{"bytes": path.read_bytes(), "path": None} for path in listed.files("image")]
    images[3] = {"bytes": b"no picture", "path": None}
    cells = {"image": images, "text": list(listed.columns["text"]), "label": [str(i % 3) for i in range(len(images))]}
    data = tmp_path / "data"
    data.mkdir()
    for number, rows in enumerate((slice(0, 5), slice(5, None))):
        shard = pa.table({name: column[rows] for name, column in cells.items()})
        pq.write_table(shard, data / f"data-0000{number}-of-00002.parquet", row_group_size=2)
    for load, *more in ((load_pairs, 8), (load_pictures, 8), (load_pictures, None)):
        expected, account = in_memory(monkeypatch, load, str(data), *more)
        found, found_account = loaded(load, str(data), *more)
        assert found_account == account
        assert account.counts == {"broken picture": 1}
        assert torch.equal(found.pictures, expected.pictures)
        assert found.fingerprint() == expected.fingerprint()
        assert list(found.names) == list(expected.names)
    table = read_tables(sorted(data.glob("*.parquet")), ("image", "text"), ())
    files, _ = table.pictures("image")
    assert files[4].read() == images[4]["bytes"]
    assert list(table.places)[-1].endswith(f"row {len(images) - 5}")


def test_an_index_reads_as_of_a_list_and_a_choice_reads_nothing(tmp_path, cache, monkeypatch):
    (tmp_path / "a.txt").write_text("".join(f"text {i % 40} ä\n" for i in range(50)))
    found, whole = load_sentences(f"{tmp_path}/a.txt"), [f"text {i % 40} ä" for i in range(50)]
    index = torch.tensor([5, 6, 7, 30, 0, 5])
    both = Chain(found, ["x", "y"], chosen(found, index))
    for texts_, known in ((found, whole), (both, [*whole, "x", "y", *picked(whole, index)])):
        for wanted in (index, index.tolist(), slice(3, 20), slice(2, None, 9), torch.arange(0)):
            assert texts_[wanted] == np.array(known, dtype=object)[wanted].tolist()
        assert (texts_[7], texts_[-1], list(texts_), len(texts_)) == (known[7], known[-1], known, len(known))
    assert b"".join(bytes(x) for x in digest_of(found, [], ["x"])) == "\0".join([*whole, "x"]).encode()
    assert hashes(found).tolist() == hashes(whole).tolist()
    with monkeypatch.context() as patch:
        patch.setattr(texts, "read_ranges", lambda *_: pytest.fail("something was read"))
        part = chosen(chosen(found, torch.arange(4, 50)), torch.tensor([3, 1]))
    assert list(part) == [whole[7], whole[5]]
    assert stores(cache)


def test_numbers_are_those_of_a_dictionary_and_texts_of_one_hash_count_as_equal():
    random = np.random.default_rng(0)
    given = [" ".join(random.choice(["A", "a", "ﬁ", "fi", "b"], 3)) for _ in range(900)]
    known = {}
    assert numbers(given).tolist() == [known.setdefault(text_hash(text), len(known)) for text in given]
    assert len(known) == 27
    assert numbers(["p", "q", "r"], lambda text: b"sameone." if text < "r" else b"another.").tolist() == [0, 0, 1]


def test_sentences_of_a_store_are_read_when_they_are_taken(tmp_path, cache):
    from tellapart.domains.text import hashed

    (tmp_path / "a.txt").write_text("".join(f"text {'long ' * (i % 5)}{i}\n" for i in range(50)))
    found = load_sentences(f"{tmp_path}/a.txt")
    asked = []
    unread = Unread(lambda some: (asked.append(len(some)), hashed(some, 64))[1], found)
    assert torch.equal(unread.rows(torch.tensor([4, 2])).columns[0], hashed([found[4], found[2]], 64).columns[0])
    assert asked == [2]
    assert torch.equal(unread.lengths, hashed(list(found), 64).lengths)
    assert stores(cache)


def test_texts_are_read_once_and_again_where_a_file_changed(tmp_path, cache, monkeypatch):
    source = write_translations(tmp_path / "data", 40)
    first = load_translations(str(source))
    fingerprint = first.fingerprint()
    with monkeypatch.context() as patch:
        patch.setattr("tellapart.domains.text.lines.read_lines", lambda _: pytest.fail("it was read again"))
        assert load_translations(str(source)).fingerprint() == fingerprint
    before = source.stat()
    source.write_text(source.read_text().replace("book 3", "book 4"))
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))  # as an archive may bring it
    assert (source.stat().st_size, source.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert load_translations(str(source)).fingerprint() != fingerprint
    assert len(stores(cache)) == 2


@pytest.mark.parametrize("damage", ["cut", "zeros", "no places", "no end", "no json"])
def test_a_damaged_store_is_filled_anew(tmp_path, cache, caplog, damage):
    source = write_translations(tmp_path / "data", 40)
    whole = list(load_translations(str(source)).sources)
    (folder,) = stores(cache)
    file = folder / "source.bytes"
    if damage == "cut":
        os.truncate(file, file.stat().st_size - 1)
    elif damage == "zeros":
        file.write_bytes(file.read_bytes()[:9].ljust(file.stat().st_size, b"\0"))
    elif damage == "no places":
        file.with_suffix(".places").unlink()
    elif damage == "no end":
        (folder / "store.json").unlink()
    else:
        (folder / "store.json").write_text("[1]")
    assert list(load_translations(str(source)).sources) == whole
    assert f"{folder}: damaged or out of date. It is filled anew." in [record.message for record in caplog.records]


def test_a_store_that_vanishes_in_use_is_named(tmp_path, cache):
    found = load_translations(str(write_translations(tmp_path / "data", 40)))
    (folder,) = stores(cache)
    os.truncate(folder / "target.bytes", 5)
    with pytest.raises(InputError, match=r"target\.bytes: cannot read texts, the file is shorter than it was\. Run"):
        found.targets[:]
    (folder / "source.bytes").unlink()
    with pytest.raises(InputError, match=r"source\.bytes: cannot read texts, No such file or directory"):
        found.sources[0]


def fill_half(source, cache, started):
    """In another process: a filling that comes to its middle, and stays there."""
    import time

    from tellapart.domains.texts import Writer

    add, count = Writer.add, []

    def slow(writer, cell):
        count.append(cell)
        if len(count) == 60:
            writer.bytes.flush()
            started.touch()
            time.sleep(60)
        add(writer, cell)

    Writer.add = slow
    os.environ["XDG_CACHE_HOME"] = str(cache.parent.parent)
    text_store.IN_MEMORY = 0
    load_translations(str(source))


def test_a_filling_that_is_killed_leaves_nothing_that_is_taken_for_whole(tmp_path, cache, monkeypatch):
    import time

    source = write_translations(tmp_path / "data", 40)
    process = warm().Process(target=fill_half, args=(source, cache, tmp_path / "started"))
    process.start()
    while not (tmp_path / "started").exists():
        assert process.exitcode is None
        time.sleep(0.01)
    (partial,) = stores(cache)
    assert partial.name.startswith(".")
    process.kill()
    process.join()
    found, _ = loaded(load_translations, str(source))
    same_pairs(found, in_memory(monkeypatch, load_translations, str(source))[0])
    (folder,) = stores(cache)
    assert not folder.name.startswith(".")


def test_a_filling_that_fails_leaves_nothing(tmp_path, cache):
    (tmp_path / "bad.tsv").write_text("a\tb\n" * 50 + "")
    (tmp_path / "c.en").write_text("a\n" * 50)
    (tmp_path / "c.fr").write_text("b\n" * 49)
    with pytest.raises(InputError, match="ends before line 50"):
        load_translations(f"{tmp_path}/c.en,{tmp_path}/c.fr")
    assert stores(cache) == []


def peak_of(load):
    """What Python and NumPy held at most while it ran, in bytes."""
    tracemalloc.start()
    load()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_grows_with_the_rows_by_a_few_numbers_each_and_not_by_their_texts(tmp_path, cache):
    """Reading, the fingerprint, ids and the division hold numbers; texts of 2 × 600 bytes would show."""

    def of(n):
        path = tmp_path / f"{n}.tsv"
        path.write_text("".join(f"{i} {'ä' * 300}\t{i} {'é' * 300}\n" for i in range(n)))

        def load():
            pairs = load_translations(str(path))
            pairs.fingerprint()
            rows, _ = pairs.split(0.25, 0)
            pairs.rows(rows).ids()

        return load

    few, many = peak_of(of(1_000)), peak_of(of(10_000))
    assert many - few < 9_000 * 250
    assert stores(cache)


def test_memory_of_a_table_of_pictures_grows_by_less_than_their_contents(tmp_path, cache, monkeypatch):
    """Contents of 20 kB in a single row group; no more than a few are held."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(0)

    def of(n):
        contents = [{"bytes": random.bytes(20_000), "path": None} for _ in range(n)]
        pq.write_table(pa.table({"image": contents, "text": ["a"] * n}), tmp_path / f"{n}.parquet")
        return lambda: read_tables([tmp_path / f"{n}.parquet"], ("image", "text"), ()).pictures("image")

    few, many = of(40), of(400)
    assert peak_of(many) - peak_of(few) < 360 * 2_000
    monkeypatch.setattr(text_store, "IN_MEMORY", 2**40)
    assert peak_of(many) > 400 * 20_000
    assert stores(cache)


def test_what_is_too_long_for_the_disk_is_said_before_the_work(tmp_path, cache, monkeypatch):
    from types import SimpleNamespace

    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(InputError, match=r"Texts of pairs\.tsv take 0\.0 GB on the disk, .* are free\. Make room or"):
        load_translations(str(write_translations(tmp_path / "data", 40)))
    assert stores(cache) == []


def test_an_account_that_is_kept_is_the_same_again():
    account = reading.Account(read={"pair": 2}, counts={"why": 1}, left_out={"why": ["there"]}, notes=["So."])
    account.pending.append(InputError("broken"))
    again = reading.Account.of_kept(json.loads(json.dumps(account.to_keep())))
    assert str(again.pending.pop()) == str(account.pending.pop())
    assert again == account
