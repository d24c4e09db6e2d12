"""Translations as people have them: several languages, forbidden characters, packed files, odd lines."""

import gzip

import pytest

from tellapart import InputError, reading
from tellapart.domains.text import load_sentences, load_translations


def tmx(path, *units, header='<header srclang="en"/>', encoding="utf-8"):
    """Each unit as a dict of languages and the content of their segments."""
    body = "".join(
        "<tu>" + "".join(f'<tuv xml:lang="{tag}"><seg>{text}</seg></tuv>' for tag, text in unit.items()) + "</tu>\n"
        for unit in units
    )
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n<tmx>{header}<body>\n{body}</body></tmx>'
    content = text.encode(encoding)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


THREE = [{"ar": f"a{i}", "de": f"d{i}", "en": f"e{i}"} for i in range(3)]


def test_more_than_two_languages_are_refused_with_the_option_that_decides(tmp_path):
    source = tmx(tmp_path / "m.tmx", *THREE)
    with pytest.raises(InputError, match=r"holds 3 languages: en \(3 units\), .*Name two: --languages en,ar\."):
        load_translations(source)
    pairs = load_translations(source, "de,en")
    assert (pairs.sources, pairs.targets, pairs.languages) == (["d0", "d1", "d2"], ["e0", "e1", "e2"], ("de", "en"))
    with pytest.raises(InputError, match=r"no unit has both de and fr. Its languages are"):
        load_translations(source, "de,fr")
    with pytest.raises(InputError, match=r"`languages` must be two languages, as de,en. Got 'de'"):
        load_translations(source, "de")
    assert len(load_sentences(source)) == 9


def test_the_headers_source_language_comes_first_and_all_of_them_is_none(tmp_path):
    units = [{"de": "ein", "en": "one"}]
    assert load_translations(tmx(tmp_path / "a.tmx", *units)).sources == ["one"]
    for srclang in ("*all*", "de", "DE-at"):
        source = tmx(tmp_path / "b.tmx", *units, header=f'<header srclang="{srclang}"/>')
        assert load_translations(source).sources == ["ein"], srclang


def test_regions_of_a_language_are_one_unless_there_is_no_other(tmp_path):
    units = [{"en-US": "color", "fr": "a"}, {"en-GB": "colour", "fr-CA": "b"}, {"EN": "both", "fr_FR": "c"}]
    pairs = load_translations(tmx(tmp_path / "m.tmx", *units))
    assert (pairs.sources, pairs.targets, pairs.left_out) == (["color", "colour", "both"], ["a", "b", "c"], 0)
    regions = tmx(tmp_path / "r.tmx", {"pt-PT": "autocarro", "pt-BR": "ônibus"}, header='<header srclang="pt-BR"/>')
    assert set(load_translations(regions).languages) == {"pt-pt", "pt-br"}
    both = tmx(tmp_path / "b.tmx", {"en-GB": "colour", "en-US": "color", "de": "Farbe"})
    assert load_translations(both, "en-us,de").sources == ["color"]


@pytest.mark.parametrize("bad", ["&#x1;", "&#31;", "\x02", "&#xD83D;&#xDE00;", "&#0;"])
def test_a_unit_with_a_forbidden_character_is_left_out_and_counted_or_stops(tmp_path, bad):
    source = tmx(tmp_path / "m.tmx", {"en": "a", "fr": "b"}, {"en": f"c{bad}", "fr": "d"}, {"en": "e", "fr": "f"})
    with reading.accounted() as account:
        assert load_translations(source).sources == ["a", "e"]
    assert account.counts == {"unit with a character that XML forbids": 1}
    assert "m.tmx line 4" in account.told()
    with reading.accounted("stop"), pytest.raises(InputError, match=r"m.tmx line 4: a character that XML forbids"):
        load_translations(source)


def test_forbidden_characters_are_found_wherever_the_file_is_cut(tmp_path, monkeypatch):
    from tellapart.domains.text import tmx as module

    source = tmx(
        tmp_path / "m.tmx", *({"en": f"a&amp;{i}&#x1F600;", "fr": f"b&#x1;{i}" if i % 3 else "b"} for i in range(9))
    )
    for size in (1, 7, 50):
        monkeypatch.setattr(module, "_CHUNK", size)
        with reading.accounted() as account, pytest.raises(InputError, match=r"more broken items"):
            load_translations(source)
        assert account.counts == {"unit with a character that XML forbids": 6}


@pytest.mark.parametrize(
    ("segment", "text"),
    [
        ("red<ph>x</ph>car", "red car"),
        ("red <ph>x</ph>car", "red car"),
        ("Press <ph/>.", "Press ."),
        ("<ph>1</ph>first<it>2</it>second", "first second"),
        ("b<bpt>i</bpt>o<ept>i</ept>ld", "bold"),
        ("a <hi>red</hi> car", "a red car"),
    ],
)
def test_inline_elements_do_not_join_words(tmp_path, segment, text):
    assert load_translations(tmx(tmp_path / "m.tmx", {"en": segment, "fr": "x"})).sources == [text]


@pytest.mark.parametrize("name", ["m.tmx", "m.tmx.gz"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_memories_are_read_packed_or_not_in_the_encoding_that_they_name(tmp_path, name, encoding):
    source = tmx(tmp_path / name, {"en": "naïve", "fr": "été"}, encoding=encoding)
    assert load_translations(source).targets == ["été"]


def test_packed_texts_are_read_and_their_languages_are_those_of_the_names(tmp_path):
    for language, text in (("en", "one\ntwo\n"), ("fr", "un\ndeux\n")):
        (tmp_path / f"corpus.{language}.gz").write_bytes(gzip.compress(text.encode()))
    source = f"{tmp_path}/corpus.en.gz,{tmp_path}/corpus.fr.gz"
    pairs = load_translations(source)
    assert (pairs.sources, pairs.targets, pairs.languages) == (["one", "two"], ["un", "deux"], ("en", "fr"))
    assert load_translations(source, "english,french").languages == ("english", "french")


def test_a_line_that_is_no_text_is_left_out_of_all_files(tmp_path):
    (tmp_path / "x.en").write_bytes(b"one\ncaf\xe9\nthree\n")
    (tmp_path / "x.fr").write_bytes(b"un\ndeux\ntrois\n")
    with reading.accounted() as account:
        pairs = load_translations(f"{tmp_path}/x.en,{tmp_path}/x.fr")
    assert (pairs.sources, pairs.targets) == (["one", "three"], ["un", "trois"])
    assert account.counts == {"pair with a line that is no text": 1}


def test_a_line_of_a_table_with_other_cells_is_left_out(tmp_path):
    (tmp_path / "x.tsv").write_text("one\tun\ntwo\nthree\ttrois\n")
    with reading.accounted() as account:
        assert load_translations(str(tmp_path / "x.tsv")).sources == ["one", "three"]
    assert account.counts == {"line with another number of cells": 1}


def test_pairs_of_which_one_side_is_empty_are_counted(tmp_path):
    (tmp_path / "x.tsv").write_text("one\tun\ntwo\t\nthree\ttrois\n")
    with reading.accounted() as account:
        load_translations(str(tmp_path / "x.tsv"))
    assert account.told().startswith("Read 2 pairs. Left out 1: pair of which one side is empty or missing.")


def table(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("header", "given"),
    [
        ("de,en,note", {}),
        ("DE,En,note", {}),
        ("source,target,fr", {}),
        ("de,en,fr", {"languages": "de,en"}),
        ("satz,sentence,note", {"columns": "source=satz,target=sentence"}),
        ("de,en,fr", {"columns": "target=en,source=de"}),
    ],
)
@pytest.mark.parametrize("separator", [",", ";"])
def test_the_columns_of_a_table_are_known_by_their_names_in_any_order(tmp_path, header, given, separator):
    for order in ((0, 1, 2), (2, 1, 0)):
        lines = [header.split(","), *([f"ein {row}", f"one {row}", "x"] for row in range(3))]
        text = "\n".join(separator.join(line[i] for i in order) for line in lines)
        pairs = load_translations(table(tmp_path / "x.csv", text), **given)
        found = pairs.sources, pairs.targets
        expected = [f"ein {row}" for row in range(3)], [f"one {row}" for row in range(3)]
        # Two languages that were not named come in the order of the columns.
        is_reversed = header.lower() == "de,en,note" and order[0] == 2
        assert found == (expected[::-1] if is_reversed else expected)
        assert len(set(pairs.groups)) == 3


def test_a_table_is_read_as_a_tsv_is_with_groups_quotes_and_empty_sides(tmp_path):
    lines = ["de,en,group", '"Ja, gern",Yes,p1', ",nothing,p1", "Nein,No,p1", "Gut,Good,p2"]
    source = table(tmp_path / "x.csv", "\n".join(lines))
    with reading.accounted() as account:
        pairs = load_translations(source)
    assert (pairs.sources, pairs.targets) == (["Ja, gern", "Nein", "Gut"], ["Yes", "No", "Good"])
    assert (pairs.groups, pairs.languages, pairs.left_out) == (["p1", "p1", "p2"], ("de", "en"), 1)
    assert "Sentences of x.csv are in the column de, translations in en." in account.told()
    assert load_sentences(source) == ["Ja, gern", "Nein", "Gut", "Yes", "No", "Good"]
    assert load_sentences(table(tmp_path / "y.csv", "de,en,text\na,b,c\n")) == ["c"]


@pytest.mark.parametrize(
    ("text", "columns", "said"),
    [
        ("satz,sentence\na,b\n", "", r"no column source and no column target\. Found: satz, sentence\. .* --columns "),
        ("de,en,fr\na,b,c\n", "", r"no column source and no column target\. Found: de, en, fr\."),
        ("de,en\na,b\n", "source=de,target=fr", r"no column fr\. Found: de, en\."),
        ("de,en\na,b\n", "source=de", r"no column target\. Found: de, en\."),
        ("de,en\na,b\n", "de", r"`columns` must be of the form"),
    ],
)
def test_a_table_of_which_the_columns_cannot_be_told_names_them(tmp_path, text, columns, said):
    with pytest.raises(InputError, match=said):
        load_translations(table(tmp_path / "x.csv", text), columns=columns)


def test_columns_of_what_is_no_table_are_refused(tmp_path):
    source = ",".join(table(tmp_path / name, "a\nb\n") for name in ("x.de", "x.en"))
    with pytest.raises(InputError, match="`columns` must be left out: the data are no table"):
        load_translations(source, columns="source=de,target=en")
