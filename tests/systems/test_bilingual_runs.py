"""The command line for translations: train, evaluate, embed, search, report, and resuming after a kill."""

import json
import re

import numpy as np
import pytest

import tellapart
from tests.command_line import fails, read_log, read_results, say
from tests.killed import whole_and_killed
from tests.tiny.sentences import sentence_arguments, translations, write_translations
from tests.training.test_resume import assert_same_end


@pytest.fixture(params=["bilingual", "bilingual, transformer"])
def run(request, run_of):
    """A run of each encoder on the tiny translations."""
    return run_of(request.param)


def test_training_lowers_the_loss_and_finds_translations(run):
    log = read_log(run)
    assert log[-1]["loss"] < log[0]["loss"]
    table = read_results(run)
    assert [row[1] for row in table["rows"]] == ["chance", "TF-IDF of characters", "untrained", "trained"] * 2
    assert table["header"][2:] == ["all 32, cosine", "all 32, margin"]
    if (run / "tokenizer.json").is_file():
        assert log[-1]["loss_masked"] < log[0]["loss_masked"]
        assert [entry["step"] for entry in log if "gradient_cosine" in entry] == [1, len(log)]
        assert all(-1 <= entry["gradient_cosine"] <= 1 for entry in log if "gradient_cosine" in entry)
    else:
        assert table["rows"][3][2] > table["rows"][2][2] + 0.2
        assert "loss_masked" not in log[0]


def test_evaluate_takes_other_files(capsys, run, tmp_path):
    rows = translations(30, seed=5)
    for name, column in (("x.en", 0), ("x.fr", 1)):
        (tmp_path / name).write_text("\n".join(row[column] for row in rows) + "\n\n")
    code, out, _ = say(capsys, "evaluate", run, "--data", f"{tmp_path / 'x.en'},{tmp_path / 'x.fr'}")
    assert code == 0
    assert "R@1 among 30 pairs" in out
    assert "fr → en" in out
    assert "1 pairs of the data are left out" in out


def test_pairs_that_are_no_translations_score_least(capsys, run, tmp_path):
    """Of three pairs that it learned from, two are given each other's translation."""
    (a, x, _), (b, y, _), (c, z, _) = translations()[::40]
    path, output = tmp_path / "x.csv", tmp_path / "scores.csv"
    path.write_text(f"satz;sentence\n{a};{y}\n{b};{x}\n{c};{z}\n", encoding="utf-8")
    columns = "source=satz,target=sentence"
    assert "--columns source=NAME,target=NAME" in fails(capsys, "score", run, path)
    code, out, _ = say(capsys, "score", run, path, "--columns", columns, "-o", output)
    assert code == 0
    assert f"{output}: 3 rows" in out
    head, *rows = [line.split(",") for line in output.read_text(encoding="utf-8").splitlines()]
    assert head == ["pair", "cosine", "satz", "sentence"]
    assert rows[-1][0] == "3"
    assert rows[-1][2:] == [c, z]
    cosines = [float(row[1]) for row in rows]
    assert cosines == sorted(cosines)
    embedded = (tellapart.load(run).embed([row[place] for row in rows]).vectors for place in (2, 3))
    np.testing.assert_allclose(cosines, (next(embedded) * next(embedded)).sum(dim=1), atol=1e-5)


def test_without_a_file_the_least_are_shown_and_how_many_more_there_are(capsys, run, tmp_path):
    path = write_translations(tmp_path, 30)
    code, out, _ = say(capsys, "score", run, path)
    assert code == 0
    assert "The first 20 of 30 rows; -o FILE.csv has all." in out
    assert "must end in .csv or .parquet" in fails(capsys, "score", run, path, "-o", tmp_path / "x.txt")
    assert len(tellapart.load(run).score(path).rows) == 30


def test_evaluate_takes_other_columns(capsys, run, tmp_path):
    rows = translations(30, seed=5)
    text = "satz\tsentence\n" + "".join(f"{row[0]}\t{row[1]}\n" for row in rows)
    (tmp_path / "x.tsv").write_text(text, encoding="utf-8")
    columns = "source=satz,target=sentence"
    code, out, _ = say(capsys, "evaluate", run, "--data", tmp_path / "x.tsv", "--columns", columns)
    assert code == 0
    assert "R@1 among 30 pairs" in out
    assert "satz → sentence" in out
    assert "only with other data" in fails(capsys, "evaluate", run, "--columns", columns)


def test_a_single_pair_is_not_evaluated(capsys, run, tmp_path):
    (tmp_path / "x.tsv").write_text("one\tun\n")
    assert "x.tsv: a single pair of sentences" in fails(capsys, "evaluate", run, "--data", tmp_path / "x.tsv")


def test_unaligned_text_is_needed_to_train_only(capsys, tmp_path):
    data, more = write_translations(tmp_path / "data"), tmp_path / "more.txt"
    more.write_text("one more\n")
    words = sentence_arguments("transformer", data=data, unaligned=more, epochs=1)
    assert say(capsys, "train", "bilingual", "--run", tmp_path / "run", *words)[0] == 0
    more.unlink()
    assert say(capsys, "evaluate", tmp_path / "run")[0] == 0


def test_embed_gives_a_unit_vector_for_every_sentence(capsys, run, tmp_path):
    (tmp_path / "x.txt").write_text("one sentence\n\nune phrase\n")
    code, out, _ = say(capsys, "embed", run, tmp_path / "x.txt", "-o", tmp_path / "x.npz")
    assert code == 0
    assert "2 embeddings of length 16" in out
    with np.load(tmp_path / "x.npz", allow_pickle=False) as file:
        assert file["name"].tolist() == ["one sentence", "une phrase"]
        assert set(file["kind"]) == {"sentence"}
        np.testing.assert_allclose(np.linalg.norm(file["embedding"], axis=1), 1, rtol=1e-5)


def test_search_finds_translations_and_says_whose(capsys, run):
    source, target, _ = translations()[0]
    code, out, _ = say(capsys, "search", run, target, "-k", 2)
    assert code == 0
    lines = out.splitlines()
    assert "Translations for" in lines[0]
    assert lines[2].startswith(target)
    assert source in lines[2]


def test_the_report_calls_what_is_found_by_its_own_words(run):
    page = (run / "report.html").read_text()
    assert "held-out translations" in page
    held_out = read_results(run)["title"]
    assert "32 held-out pairs" in held_out
    assert "picture" not in page.split("<main>")[1].split("</main>")[0]
    gallery = json.loads(re.search(r'id="gallery">(.*?)</script>', page).group(1))
    sources, targets, _ = zip(*translations(), strict=True)
    assert set(gallery["queries"]) <= set(sources)
    assert set(gallery["captions"]) <= set(targets)
    assert gallery["columns"] is None


def test_files_of_unequal_length_are_one_line_and_no_run_has_begun(capsys, tmp_path):
    (tmp_path / "x.en").write_text("a\nb\nc\n")
    (tmp_path / "x.fr").write_text("A\nB\n")
    data = f"{tmp_path / 'x.en'},{tmp_path / 'x.fr'}"
    assert "x.fr: ends before line 3" in fails(capsys, "train", "bilingual", "--run", tmp_path / "run", "--data", data)
    fixed = sentence_arguments(data=write_translations(tmp_path / "data"), epochs=1)
    assert say(capsys, "train", "bilingual", "--run", tmp_path / "run", *fixed)[0] == 0


def test_an_attempt_that_failed_leaves_no_tokeniser_to_the_next(tmp_path, capsys):
    data = write_translations(tmp_path / "data")
    train = ["train", "bilingual", "--run", tmp_path / "run"]
    wrong = sentence_arguments("transformer", data=data, vocabulary=60, **{"trainer.devices": 99})
    assert say(capsys, *train, *wrong)[0] == 2
    assert (tmp_path / "run" / "tokenizer.json").is_file()
    assert say(capsys, *train, *sentence_arguments("transformer", data=data, epochs=1))[0] == 0
    assert len(json.loads((tmp_path / "run" / "tokenizer.json").read_text())["model"]["vocab"]) > 60


@pytest.mark.parametrize("run", ["bilingual, transformer"], indirect=True)
def test_a_run_without_its_tokeniser_says_so(capsys, run):
    kept = run / "tokenizer.json"
    definition = kept.read_bytes()
    kept.unlink()
    code, _, err = say(capsys, "search", run, "x")
    kept.write_bytes(definition)
    assert (code, err.count("\n")) == (2, 1)
    assert "tokenizer.json: missing or damaged" in err


@pytest.mark.parametrize("encoder", ["bag", "transformer"])
def test_a_killed_run_that_is_resumed_ends_in_the_same_weights(tmp_path, encoder):
    data = write_translations(tmp_path / "data")
    words = sentence_arguments(encoder, **{"data": data, "epochs": 6, "trainer.checkpoint_every": 7})
    whole, killed = whole_and_killed(tmp_path, "bilingual", words, step=15)
    assert_same_end(killed, whole)
