"""Folders of pictures with a text beside each: what is read, and what is left out with a reason."""

import pytest

from tellapart import InputError, reading
from tellapart.domains.pictures import load_pairs
from tests.tiny.pictures import draw, write_pairs


@pytest.fixture
def folder(tmp_path):
    """Two pictures with a text, at two depths."""
    (tmp_path / "deep").mkdir()
    for colour, name, text in (("red", "a", "a red circle\n"), ("blue", "deep/b", "\ufeffa blue\ncircle")):
        draw(colour, "circle").save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    return tmp_path


def contents(pairs):
    return set(zip(pairs.names, pairs.texts, pairs.picture_ids(), strict=True))


def test_texts_beside_pictures_give_the_same_pairs_as_a_table_of_them(tmp_path):
    folder = write_pairs(tmp_path / "pictures")
    expected = load_pairs(str(folder), 16)
    table = folder / "pairs.csv"
    for line in table.read_text().splitlines()[1:]:
        name, text = line.split(",")
        (folder / name).with_suffix(".txt").write_text(text)
    table.unlink()
    found = load_pairs(str(folder), 16)
    assert contents(found) == contents(expected)


def test_a_text_is_the_whole_file_at_any_depth(folder):
    pairs = load_pairs(str(folder), 8)
    assert dict(zip(pairs.names, pairs.texts, strict=True)) == {"a.png": "a red circle", "deep/b.png": "a blue\ncircle"}


def test_what_has_nothing_beside_it_is_counted_and_never_too_much(folder):
    for i in range(5):
        draw("green", "bar").save(folder / f"alone-{i}.png")
    (folder / "readme.txt").write_text("about all of them")
    (folder / "a.dat").write_text("")
    with reading.accounted() as account:
        assert len(load_pairs(str(folder), 8)) == 2
    assert account.counts == {
        "file that is none of the pictures or texts (.dat)": 1,
        "picture without a text beside it": 5,
        "text without a picture beside it": 1,
    }


def test_broken_texts_are_left_out_or_refused_by_their_name(folder):
    draw("green", "bar").save(folder / "c.png")
    for content, reason, told in (
        (b"\xff\xfe", "text that is not UTF-8", "not UTF-8"),
        (b" \n", "empty text", "empty"),
    ):
        (folder / "c.txt").write_bytes(content)
        with reading.accounted() as account:
            assert load_pairs(str(folder), 8).names == ["a.png", "deep/b.png"]
        assert account.counts == {reason: 1}
        with pytest.raises(InputError, match=rf"c\.txt: .*{told}"), reading.accounted("stop"):
            load_pairs(str(folder), 8)


def test_a_folder_in_which_all_texts_are_broken_is_refused_by_the_first(folder):
    for name in ("a.txt", "deep/b.txt"):
        (folder / name).write_text("")
    with pytest.raises(InputError, match=r"a\.txt: the text is empty"), reading.accounted():
        load_pairs(str(folder), 8)


def test_a_folder_of_pictures_alone_says_both_ways_to_give_texts(folder):
    for name in ("a.txt", "deep/b.txt"):
        (folder / name).unlink()
    with pytest.raises(InputError, match=r"a table with the columns image and text, or a text beside each picture"):
        load_pairs(str(folder), 8)
