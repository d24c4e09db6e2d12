"""Translations from text files, tables and translation memories: what is read, left out and refused."""

import pytest

from tellapart import InputError
from tellapart.domains.text import Translations, load_sentences, load_translations

TMX = """<?xml version="1.0" encoding="{encoding}"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="en"/><body>
{units}
</body></tmx>
"""
UNIT = '<tu>{extra}<tuv xml:lang="EN"><seg>{source}</seg></tuv><tuv xml:lang="fr"><seg>{target}</seg></tuv></tu>'


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return str(path)


def tmx(path, *units, encoding="utf-8"):
    return write(path, TMX.format(units="\n".join(units), encoding=encoding), encoding)


def unit(source, target, extra=""):
    return UNIT.format(source=source, target=target, extra=extra)


def sides(pairs):
    return pairs.sources, pairs.targets, pairs.groups


def test_two_files_correspond_line_by_line(tmp_path):
    source = write(tmp_path / "c.en", "a cat\r\n\n  one\u2028line \n\nonly here\nlast")
    target = write(tmp_path / "c.fr", "\ufeffun chat\n\nune ligne\n\n\nfin\n")
    pairs = load_translations(f"{source},{target}")
    assert sides(pairs) == (["a cat", "one\u2028line", "last"], ["un chat", "une ligne", "fin"], ["1", "3", "6"])
    assert pairs.languages == ("en", "fr")
    assert pairs.left_out == 3


def test_a_third_file_names_the_groups(tmp_path):
    paths = [write(tmp_path / name, text) for name, text in (("a", "x\ny\n"), ("b", "X\nY\n"), ("g", "p1\np2\n"))]
    assert load_translations(",".join(paths)).groups == ["p1", "p2"]


@pytest.mark.parametrize(("short", "long", "line"), [("a\nb\n", "a\nb\nc\nd\n", 3), ("", "a", 1)])
def test_files_of_unequal_length_are_refused_with_the_line(tmp_path, short, long, line):
    first, second = write(tmp_path / "short.en", short), write(tmp_path / "long.fr", long)
    for both in (f"{first},{second}", f"{second},{first}"):
        with pytest.raises(InputError, match=rf"short.en: ends before line {line}, which \S+long.fr has"):
            load_translations(both)


def test_a_table_has_two_columns_or_three_and_keeps_quotes_as_they_are(tmp_path):
    table = write(tmp_path / "t.tsv", 'say "a cat\tdis "un chat\tp1\n\nempty\t\tp1\na dog\tun chien\tp2\n')
    assert sides(load_translations(table)) == (['say "a cat', "a dog"], ['dis "un chat', "un chien"], ["p1", "p2"])
    assert load_translations(table).left_out == 2
    assert load_translations(write(tmp_path / "u.tsv", "a\tb\nc\td\n")).groups == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a\tb\nc\td\te\n", "t.tsv line 2: 3 cells by tabs. There must be 2 as above"),
        ("a\tb\tc\nc\td\n", "t.tsv line 2: 2 cells by tabs. There must be 3 as above"),
        ("a b\n", "t.tsv line 1: 1 cells by tabs. There must be 2, or 3 with the group"),
        ("a\tb\nc\0\td\n", "t.tsv line 2: holds a zero byte"),
        ("\n\n", "holds no pair of sentences"),
        ("", "holds no pair of sentences"),
    ],
)
def test_a_broken_table_is_refused_with_its_line(tmp_path, text, found):
    with pytest.raises(InputError, match=found):
        load_translations(write(tmp_path / "t.tsv", text))


def test_what_is_not_utf8_is_named_by_its_line(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_bytes("a\tb\né\td\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"t.tsv line 2: not UTF-8"):
        load_translations(str(path))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_translation_memory_is_read_with_entities_markup_and_groups(tmp_path, encoding):
    units = [
        unit("R&amp;D <bpt i='1'>&lt;b></bpt>is<ept i='1'/>  <hi>bold</hi>", "R&amp;D", "<prop type='group'>p1</prop>"),
        unit("naïve", "naïf", "<prop type='other'>x</prop>"),
    ]
    pairs = load_translations(tmx(tmp_path / "m.tmx", *units, encoding=encoding))
    assert sides(pairs) == (["R&D is bold", "naïve"], ["R&D", "naïf"], ["p1", "unit 2"])
    assert pairs.languages == ("en", "fr")


@pytest.mark.parametrize("encoding", ["shift_jis", "nonsense"])
def test_a_translation_memory_in_an_encoding_that_is_not_read_is_refused(tmp_path, encoding):
    text = TMX.format(units=unit("a", "b"), encoding=encoding)
    with pytest.raises(InputError, match=r"m.tmx: .*encoding.*\. Save it as UTF-8\."):
        load_translations(write(tmp_path / "m.tmx", text))


def test_an_entity_from_elsewhere_divides_words(tmp_path):
    assert load_translations(tmx(tmp_path / "m.tmx", unit("a&nbsp;b", "c"))).sources == ["a b"]


def test_units_without_one_of_the_two_languages_are_left_out(tmp_path):
    third = '<tu><tuv xml:lang="fr"><seg>b</seg></tuv><tuv xml:lang="de"><seg>x</seg></tuv></tu>'
    lonely = '<tu><tuv xml:lang="en"><seg>a</seg></tuv></tu>'
    memory = tmx(tmp_path / "m.tmx", lonely, unit("a", "b"), third, unit("c", ""), unit("c", "d"))
    pairs = load_translations(memory, "en,fr")
    assert sides(pairs)[:2] == (["a", "c"], ["b", "d"])
    assert pairs.left_out == 3


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<tmx><body>\n<tu></body></tmx>", "m.tmx line 2: mismatched tag. Is the TMX file whole?"),
        ("<tmx><body>\n<tu>\n", "m.tmx line 3: no element found. Is the TMX file whole?"),
        ("plain\ntext", "m.tmx line 1: syntax error"),
        ("\n<html></html>", "m.tmx line 2: begins with <html>, so it is not TMX"),
        ("<tmx>\n<tu><tuv><seg>a</seg></tuv></tu></tmx>", "m.tmx line 2: a <tuv> without xml:lang"),
        ('<!DOCTYPE tmx [\n<!ENTITY a "aaaa">]><tmx/>', "m.tmx line 2: declares the entity a"),
        ("<tmx/>", "holds no pair of sentences"),
    ],
)
def test_a_broken_translation_memory_is_refused_with_its_line(tmp_path, text, found):
    with pytest.raises(InputError, match=found):
        load_translations(write(tmp_path / "m.tmx", text))


def test_what_is_no_file_of_translations_is_refused(tmp_path):
    text = write(tmp_path / "a.txt", "a\n")
    for source, found in [
        (str(tmp_path), "a folder. Give two text files"),
        (text, "a single text file. Give two text files"),
        (write(tmp_path / "a.csv", "left,right\na,b\n"), "no column source and no column target. Found: left, right"),
        (f"{text},{tmp_path / 'none'}", "there is no such file"),
        (",".join([text] * 4), "4 files. Give two"),
    ]:
        with pytest.raises(InputError, match=found):
            load_translations(source)


def test_sentences_of_either_language_are_lines_or_both_sides(tmp_path):
    text, table = write(tmp_path / "a.txt", "a cat\n\nun chat\n"), write(tmp_path / "t.tsv", "a\tb\nc\td\n")
    assert load_sentences(text) == ["a cat", "un chat"]
    assert load_sentences(f"{text},{text}") == ["a cat", "un chat"] * 2
    assert load_sentences(table) == ["a", "c", "b", "d"]
    with pytest.raises(InputError, match="holds no text"):
        load_sentences(write(tmp_path / "e.txt", "\n\n"))


@pytest.mark.parametrize("seed", range(5))
def test_no_group_and_no_sentence_is_in_both_parts_of_a_split(seed):
    groups = [f"page {i // 5}" for i in range(60)]
    sources = [f"sentence {i}" if i % 7 else "Repeated" for i in range(60)]
    targets = [f"phrase {i}" if i % 11 else " repeated  too" for i in range(60)]
    pairs = Translations(sources, targets, groups)
    rows, held_out = (pairs.rows(part) for part in pairs.split(0.3, seed))
    assert set(rows.groups).isdisjoint(held_out.groups)
    assert set(rows.sources).isdisjoint(held_out.sources)
    assert set(rows.targets).isdisjoint(held_out.targets)
    assert len(rows) >= 40
    assert 10 <= len(held_out) <= 20


def test_the_seed_decides_the_split_and_too_few_groups_are_refused():
    pairs = Translations(list("abcdefgh"), list("ABCDEFGH"), list("11223344"))
    assert {tuple(pairs.split(0.5, seed)[1].tolist()) for seed in range(8)} != {tuple(pairs.split(0.5, 0)[1].tolist())}
    assert pairs.split(0.5, 3)[0].tolist() == pairs.split(0.5, 3)[0].tolist()
    with pytest.raises(InputError, match="8 pairs in 2 groups"):
        Translations(list("abcdefgh"), list("ABCDEFGH"), list("11112222")).split(0.5, 0)
    with pytest.raises(InputError, match="0 held out with sentences that these have not"):
        Translations(["a"] * 8, list("ABCDEFGH"), list("11223344")).split(0.5, 0)
