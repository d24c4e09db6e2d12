"""Folders as they lie: links, splits, labels, and what is passed over."""

import pytest

from tellapart import InputError, reading
from tellapart.domains.folders import files_in, layout, split_of


def put(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def found(folder):
    return files_in(folder, lambda file: file.suffix == ".x", "things")


def names(folder):
    return [str(file.relative_to(folder)) for file in found(folder)]


def laid_out(folder, labels="auto"):
    parts, of, _ = layout(folder, found(folder), labels)
    return {split: len(files) for split, files in parts.items()}, None if of is None else sorted(set(of.values()))


def test_links_to_folders_and_files_are_followed(tmp_path):
    put(tmp_path / "source", "dog/1.x", "2.x")
    put(tmp_path / "data", "cat/3.x")
    (tmp_path / "data" / "dog").symlink_to(tmp_path / "source" / "dog")
    (tmp_path / "data" / "cat" / "2.x").symlink_to(tmp_path / "source" / "2.x")
    assert names(tmp_path / "data") == ["cat/2.x", "cat/3.x", "dog/1.x"]


def test_a_loop_of_links_ends_and_each_folder_is_entered_once(tmp_path):
    put(tmp_path, "a/1.x", "b/2.x")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "b" / "other").symlink_to(tmp_path / "a")
    with reading.accounted() as account:
        assert names(tmp_path) == ["a/1.x", "b/2.x"]
    assert account.counts == {"folder that is reached again by a link": 2}


def test_what_is_passed_over_is_counted_by_its_ending(tmp_path):
    put(tmp_path, "1.x", "2.y", "3.Y", "readme", ".hidden.x", "__MACOSX/4.x")
    (tmp_path / "gone.x").symlink_to(tmp_path / "nowhere")
    (tmp_path / "copied").write_text(".\n")
    with reading.accounted() as account:
        assert names(tmp_path) == ["1.x"]
    assert account.counts == {
        "file that is none of the things (.y)": 2,
        "file that is none of the things (readme)": 1,
        "link to nowhere": 1,
        "link that was copied as a text with its target": 1,
    }


@pytest.mark.parametrize(
    ("train", "held_out", "split"),
    [
        ("train", "valid", "validation"),
        ("train", "validation", "validation"),
        ("Train", "Test", "test"),
        ("training", "testing", "test"),
        ("training_set", "test_set", "test"),
        ("train2017", "val2017", "validation"),
        ("TRAIN", "dev", "validation"),
    ],
)
def test_folders_called_like_splits_are_splits(tmp_path, train, held_out, split):
    put(tmp_path, f"{train}/cat/1.x", f"{train}/dog/2.x", f"{held_out}/dog/3.x")
    assert laid_out(tmp_path) == ({"train": 2, split: 1}, ["cat", "dog"])
    assert laid_out(tmp_path, "folder") == ({"train": 3}, sorted([train, held_out]))
    assert laid_out(tmp_path, "none") == ({"train": 3}, None)


def test_three_splits_are_told_apart(tmp_path):
    put(tmp_path, "train/a/1.x", "train/b/1.x", "val/a/2.x", "test/b/3.x")
    assert laid_out(tmp_path) == ({"train": 2, "validation": 1, "test": 1}, ["a", "b"])


def test_folders_that_all_files_have_in_common_mean_nothing(tmp_path):
    put(tmp_path / "one", "archive/v2/cat/1.x", "archive/v2/dog/2.x")
    put(tmp_path / "two", "archive/train/images/cat/1.x", "archive/train/images/dog/1.x", "archive/test/images/cat/2.x")
    assert laid_out(tmp_path / "one") == ({"train": 2}, ["cat", "dog"])
    assert laid_out(tmp_path / "two") == ({"train": 2, "test": 1}, ["cat", "dog"])


@pytest.mark.parametrize("more", ["bird/4.x", "4.x", "Training/cat/4.x"])
def test_what_may_be_splits_or_labels_is_refused_with_the_option_that_decides(tmp_path, more):
    put(tmp_path, "train/cat/1.x", "test/cat/2.x", more)
    with pytest.raises(InputError, match=r"called like splits.*--labels folder .*--labels none"):
        laid_out(tmp_path)


def test_train_alone_is_a_label_like_any_other(tmp_path):
    put(tmp_path, "train/1.x", "bus/2.x", "car/3.x")
    assert laid_out(tmp_path) == ({"train": 3}, ["bus", "car", "train"])


def test_files_beside_folders_have_no_labels_and_it_is_told_why(tmp_path):
    put(tmp_path, "cat/1.x", "dog/2.x", "3.x")
    assert laid_out(tmp_path) == ({"train": 3}, None)
    why = "No labels: 1 of 3 files lie beside the folders that would be labels."
    assert layout(tmp_path, found(tmp_path)).without == why
    (tmp_path / "cat" / "1.x").rename(tmp_path / "1.x")
    (tmp_path / "dog" / "2.x").rename(tmp_path / "2.x")
    assert layout(tmp_path, found(tmp_path)).without == ""


def test_words_that_only_begin_like_a_split_are_none():
    assert [split_of(name) for name in ("trainers", "testimony", "valley", "device", "latest")] == [None] * 5
