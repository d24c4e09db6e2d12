"""A command line that cannot be parsed says in plain words what is wrong, and what was probably meant."""

import pytest

from tests.command_line import fails


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "train simclr --epochs many",
            "`epochs` must be a whole number. Got 'many' (see tellapart train",
        ),
        ("train simclr --held_out much", "`held_out` must be a number. Got 'much'"),
        (
            "cluster run folder --groups many",
            "`groups` must be a whole number. Got 'many' (see tellapart cluster",
        ),
        ("cluster run", "missing: INPUT (see tellapart cluster --help)"),
        ("search", "missing: RUN, QUERY (see tellapart search --help)"),
        ("embed run folder", "missing: -o (see tellapart embed --help)"),
        ("train bilingual", "missing: --data (see tellapart train bilingual --help)"),
        ("train", "train: which system is missing. `tellapart systems` lists them (see tellapart train --help)"),
        ("train genomic --data x", "Did you mean genomics? (see tellapart train --help)"),
        ("trains clip", "Did you mean train? (see tellapart --help)"),
        ("train simclr --batchsize 8", "unrecognized arguments: --batchsize 8. Did you mean --batch_size?"),
        ("train simclr --dates=8", "Did you mean --data?"),
        ("score run x.tsv y.csv", "unrecognized arguments: y.csv. Did you mean -o y.csv?"),
        ("evaluate run nonsense", "unrecognized arguments: nonsense (see tellapart evaluate --help)"),
    ],
)
def test_a_mistake_is_said_in_plain_words(capsys, words, said):
    assert said in fails(capsys, *words.split())


def test_a_name_with_spaces_that_was_not_quoted_is_recognised(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my old pictures").mkdir()
    said = fails(capsys, *["train", "simclr", "--data", "my", "old", "pictures", "--epochs", "1"])
    assert "A name with spaces needs quotes: 'my old pictures'" in said
    assert "needs quotes: 'my old pictures'" in fails(capsys, *["cluster", "run", "my", "old", "pictures"])


def test_data_without_their_option_are_recognised(capsys, tmp_path):
    assert f"Did you mean --data {tmp_path}?" in fails(capsys, "train", "simclr", tmp_path)


@pytest.mark.parametrize("command", [["search"], ["cluster"], ["export"], ["embed", "-o", "x.csv"]])
def test_a_run_that_does_not_come_first_is_recognised(capsys, trained, command, tmp_path):
    said = fails(capsys, command[0], "red dot", trained, *command[1:])
    assert said == f"red dot: no run folder, but {trained} is one. Name the run first.\n"
    (tmp_path / "x.fasta").write_text(">x\nACGT\n")
    said = fails(capsys, command[0], tmp_path / "x.fasta", trained, *command[1:])
    assert said == f"{tmp_path / 'x.fasta'}: no run folder, but {trained} is one. Name the run first.\n"


def test_a_folder_that_is_no_run_does_not_come_first(capsys, trained, tmp_path):
    assert "Name the run first" in fails(capsys, "cluster", tmp_path, trained)
    assert "not a run folder" in fails(capsys, "cluster", tmp_path, tmp_path)


def test_a_query_too_long_to_be_a_name_is_none(capsys):
    assert fails(capsys, "search", "nowhere", 2000 * "ACGT") == "nowhere: there is no such run folder.\n"
    assert "unrecognized arguments" in fails(capsys, "search", "nowhere", "A", 2000 * "ACGT")
