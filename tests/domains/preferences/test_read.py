"""Preferences from JSONL and Parquet: strings and messages, one and several rejected answers, and every mistake."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tellapart import InputError
from tellapart.domains.preferences import Preferences, load_preferences
from tests.tiny.preferences import preferences

HI = [{"role": "user", "content": "hi"}]
YES, NO, WELL = ([{"role": "assistant", "content": text}] for text in ("yes", "no", "well"))
GOOD = {"prompt": "a", "chosen": "b", "rejected": "c"}


def written(path, rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def read(tmp_path, *rows, **options):
    return load_preferences(written(tmp_path / "p.jsonl", rows), **options)


def test_one_and_several_rejected_answers_are_read_in_their_order(tmp_path):
    found = read(tmp_path, GOOD, GOOD | {"rejected": ["d", "e", "f"]}, "")
    assert [row.answers for row in found.rows] == [("b", "c"), ("b", "d", "e", "f")]
    assert [row.place.rpartition(" ")[2] for row in found.rows] == ["1", "2"]


def test_messages_are_read_as_one_answer_or_as_several(tmp_path):
    several = {"prompt": HI, "chosen": YES, "rejected": [NO, WELL]}
    repeated = {"prompt": HI, "chosen": HI + YES, "rejected": HI + NO}
    text = {"prompt": "hi", "chosen": HI + YES, "rejected": NO}
    found = read(tmp_path, several, repeated, text)
    assert [row.answers for row in found.rows] == [(YES, NO, WELL), (YES, NO), (YES, NO)]
    assert all(row.prompt == HI for row in found.rows)


def test_parquet_holds_the_same(tmp_path):
    rows = [
        row | {"rejected": row["rejected"] if type(row["rejected"]) is list else [row["rejected"]]}
        for row in preferences()
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    pq.write_table(pa.Table.from_pylist([{"prompt": HI, "chosen": YES, "rejected": [NO]}]), tmp_path / "chat.parquet")
    found, expected = load_preferences(str(tmp_path / "p.parquet")), read(tmp_path, *rows)
    assert found.fingerprint() == expected.fingerprint()
    assert load_preferences(str(tmp_path / "chat.parquet")).rows[0].answers == (YES, NO)


def test_rows_without_a_different_rejected_answer_are_left_out_and_counted(tmp_path):
    found = read(tmp_path, GOOD, GOOD | {"rejected": "b"}, GOOD | {"rejected": []}, GOOD | {"rejected": ["b", "c"]})
    assert [row.answers for row in found.rows] == [("b", "c"), ("b", "c")]
    assert found.left_out == 2


def test_scores_go_with_their_answers(tmp_path):
    found = read(tmp_path, GOOD | {"rejected": ["b", "c"], "scores": [3, 2, 1.5]})
    assert found.rows[0].scores == (3.0, 1.5)


def test_to_be_scored_a_row_needs_no_rejected_answer(tmp_path):
    found = read(tmp_path, {"prompt": "a", "chosen": "b"}, GOOD, compared=False)
    assert [row.answers for row in found.rows] == [("b",), ("b", "c")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "line 2: no JSON"),
        ("3", "line 2: int, not an object with prompt, chosen, rejected"),
        ({"prompt": "a", "rejected": "c"}, "line 2: no chosen. A row needs prompt, chosen, rejected"),
        ({"chosen": "b"}, "line 2: no prompt and no rejected"),
        (GOOD | {"chosen": " "}, "line 2: the chosen answer is empty"),
        (GOOD | {"rejected": ["c", ""]}, "line 2: the rejected answer is empty"),
        (GOOD | {"chosen": 3}, "line 2: `chosen` must be a string, or a list of messages"),
        (GOOD | {"rejected": [["c"]]}, "line 2: `rejected` must be a string, or a list of messages"),
        ({"prompt": HI, "chosen": [{"role": "assistant"}], "rejected": NO}, "line 2: `chosen` must be"),
        (GOOD | {"chosen": YES}, "line 2: some of prompt, chosen and rejected are strings, some messages"),
        ({"prompt": HI, "chosen": "b", "rejected": "c"}, "line 2: some of prompt"),
        ({"prompt": HI, "chosen": HI, "rejected": NO}, "line 2: the chosen answer is empty"),
        (GOOD | {"scores": [1]}, "line 2: `scores` must hold one finite number for each of the 2 answers"),
        (GOOD | {"scores": [1, None]}, "line 2: `scores` must"),
    ],
)
def test_a_broken_row_is_refused_with_its_line(tmp_path, row, message):
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        read(tmp_path, GOOD, row)


def test_what_is_no_file_of_preferences_is_refused(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 not")
    (tmp_path / "x.csv").write_text("prompt,chosen,rejected\n")
    (tmp_path / "latin.jsonl").write_bytes(b'{"prompt": "\xe9"}\n')
    for name, message in (
        ("x.parquet", "not a Parquet file"),
        ("x.csv", "read from a .jsonl or a .parquet"),
        (".", "read from a .jsonl or a .parquet"),
        ("latin.jsonl", "line 1: not UTF-8"),
        ("none.jsonl", "there is no such file"),
    ):
        with pytest.raises(InputError, match=message):
            load_preferences(str(tmp_path / name))
    with pytest.raises(InputError, match="holds no prompt with a chosen answer"):
        read(tmp_path, GOOD | {"rejected": "b"})


def test_equal_prompts_are_on_one_side_of_the_split(tmp_path):
    rows = [
        GOOD | {"prompt": prompt, "rejected": f"c{i}"} for i, prompt in enumerate(["x", " X", "y", "z", "w", "v"] * 3)
    ]
    found = read(tmp_path, *rows)
    for seed in range(5):
        sides = [{row.key() for row in part.rows} for part in found.split(0.4, seed)]
        assert not sides[0] & sides[1]
        assert sides[0] | sides[1] == {"x", "y", "z", "w", "v"}
    with pytest.raises(InputError, match=r"6 rows with 2 different prompts\. At least 4"):
        found.at(torch.tensor([0, 1, 2, 6, 7, 8])).split(0.4, 0)


def test_a_changed_score_or_answer_changes_the_fingerprint(tmp_path):
    prints = {
        read(tmp_path, GOOD | change).fingerprint()
        for change in ({}, {"chosen": "x"}, {"rejected": ["c", "d"]}, {"scores": [1, 2]}, {"scores": [1, 3]})
    }
    assert len(prints) == 5
    assert Preferences([]).fingerprint() not in prints
