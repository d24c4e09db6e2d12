"""`tellapart plan`, as a person reads it."""

import pytest

from tellapart.cli import main
from tellapart.planning import EncoderSpeed, LossSpeed, as_table
from tellapart.systems import NAMES, load
from tests.command_line import fails
from tests.planning.plans import plan


def said(*words):
    return as_table(*words), dict(row[:2] for row in as_table(*words).rows)


def test_it_prints_what_the_batch_means(capsys):
    assert main(["plan", "--batch", "64", "--dim", "8", "--temperature", "0.5", "--system", "simclr"]) == 0
    out = capsys.readouterr().out
    assert "A step of simclr: a batch of 64, 8 dimensions, τ = 0.5" in out
    for words in ("126", "4.84 nats", "2.418", "measured here", "K² = 15,876 negatives, or τ = 1."):
        assert words in out
    assert "encoder" not in out


def test_a_queue_is_mocos_and_an_encoder_is_measured_when_named(capsys):
    words = ["--batch", "4", "--queue", "16", "--encoder", "convnet", "--width", "2", "--picture_size", "8"]
    assert main(["plan", *words]) == 0
    out = capsys.readouterr().out
    assert "A step of moco: a batch of 4, a queue of 16" in out
    assert "8 views, and 8 without gradient" in out
    assert "no gradient cache is needed" in out


@pytest.mark.parametrize("system", [name for name in NAMES if load(name).plan])
def test_every_system_that_compares_embeddings_is_planned(capsys, system):
    assert main(["plan", "--batch", "8", "--dim", "4", "--system", system]) == 0
    out = capsys.readouterr().out
    assert f"A step of {system}: a batch of 8, 4 dimensions" in out
    assert "negatives of each query, K" in out


def test_the_issues_example_in_numbers():
    speed = LossSpeed(8192, 8192**2, 0.8)
    table, value = said(plan("clip", 32768, 0, 512, 0.07, speed))
    assert value["negatives of each query, K"] == "32,767"
    assert value["ceiling of the MI bound"] == "10.40 nats"
    assert value["effective margin"] == "0.728"
    assert value["memory of the loss, dense"] == "16.0 GiB"
    assert value["memory of the loss, streamed"] == "1.1 GiB"
    assert value["time of the loss, both passes"] == "13 s"
    assert "a batch of 8,192 took 0.80 s here" in table.rows[-1][2]
    assert "to 1.456: K² = 1.1e9 negatives, or τ = 0.14. Twice as many negatives add τ ln 2 = 0.049" in table.notes[1]
    assert len(table.notes) == 2


def test_a_margin_that_no_cosine_reaches_is_said_to_be_so():
    table, _ = said(plan("simclr", 4096, 0, 128, 0.5, LossSpeed(4096, 8192**2, 1.0)))
    assert any("No cosine reaches this margin" in note for note in table.notes)


def test_one_negative_has_no_margin_to_double():
    table, value = said(plan("clip", 2, 0, 128, 0.5, LossSpeed(2, 4, 1.0)))
    assert value["effective margin"] == "0.000"
    assert not any("double" in note for note in table.notes)


def test_an_encoder_too_large_for_the_memory_is_told_a_chunk():
    speed = EncoderSpeed(0.03, 0.01, 2.0**30)
    table, value = said(plan("clip", 1024, 0, 128, 0.1, LossSpeed(1024, 1024**2, 0.01), speed, 2**37))
    assert value["memory of the encoder"] == "1.0 TiB"
    assert value["share of the loss"] == "under 0.1%"
    assert "(`chunk`) of 16 at a time needs 16.0 GiB, and with one more forward pass 41 s." in table.notes[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "missing: --batch"),
        (["--batch", "1"], "`batch` must be at least 2"),
        (["--batch", "8", "--dim", "0"], "`dim` must lie between 1 and 16384. Got 0."),
        (["--batch", "8", "--temperature", "0"], "`temperature` must lie between 0.0001 and 10000. Got 0.0."),
        (["--batch", "8", "--queue", "-1"], "`queue` must be at least 0. Got -1."),
        (["--batch", "8", "--queue", "8", "--system", "clip"], "`queue` must be 0 with clip"),
        (["--batch", "8", "--encoder", "nonsense"], "nonsense: neither a model type nor a folder"),
        (["--batch", "8", "--encoder", "convnet", "--width", "0"], "`width` must lie between 1 and 1024"),
        (["--batch", "8", "--system", "word2vec"], "invalid choice: 'word2vec'"),
        (["--batch", "8", "--system", "graph", "--queue", "8"], "`queue` must be 0 with graph"),
        (["--batch", "8", "--system", "graph", "--encoder", "convnet"], "`encoder` must be left out with graph"),
        (["--batch", "3", "--system", "graph"], "`batch` must be at least 4"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(capsys, words, message):
    assert message in fails(capsys, "plan", *words)
