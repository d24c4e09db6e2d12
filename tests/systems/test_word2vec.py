"""Word2vec: what it learns, search and analogies, other programs' formats, subwords, mistakes, and resuming."""

import gzip
import itertools

import numpy as np
import pytest
import torch

import tellapart
from tellapart import InputError
from tellapart.domains.words import Text, gather, read_vectors, write_vectors
from tellapart.domains.words.held_out import HeldOut
from tests.command_line import fails, read_log, read_results, say
from tests.killed import whole_and_killed
from tests.tiny.words import WORD_OPTIONS, write_words
from tests.training.test_resume import assert_same_end


@pytest.fixture
def run(run_of):
    """A run on sentences about cats and about taxes."""
    return run_of("word2vec")


def options(**others):
    return [f"--{name}={value}" for name, value in (WORD_OPTIONS | others).items()]


@pytest.mark.parametrize("name", ["word2vec", "word2vec, infonce"])
def test_training_lowers_the_loss_also_of_passages_that_it_never_saw(run_of, name):
    log = read_log(run_of(name))
    assert log[-1]["learning_rate"] < log[0]["learning_rate"] / 10
    assert log[0]["words_per_second"] > 0
    assert ("n_candidates" in log[0]) == (name == "word2vec, infonce")
    rows = {row[0]: row[1:] for row in read_results(run_of(name))["rows"]}
    k = WORD_OPTIONS["negatives"] + 1
    guessing = np.log(k) if name == "word2vec, infonce" else k * np.log(2)
    assert rows["guessing"] == pytest.approx([guessing, 1 / k])
    assert rows["untrained"][0] == pytest.approx(guessing, rel=0.05)  # a drawn word that is the true one is left out
    assert rows["trained"][0] < 0.95 * rows["untrained"][0]
    assert np.mean([e["loss"] for e in log[-5:]]) < min(log[0]["loss"], 0.95 * guessing)


def test_words_find_those_that_they_meet_and_never_themselves(capsys, run):
    code, out, _ = say(capsys, "search", run, "cat3", "-k", 5)
    assert code == 0
    assert out.splitlines()[0] == "Words for “cat3”"
    found = [line.split()[0] for line in out.splitlines()[2:]]
    assert len(found) == 5
    assert all(word.startswith("cat") and word != "cat3" for word in found)


def test_analogies_are_sums_of_unit_vectors_without_their_own_words(run):
    trained = tellapart.load(run)
    words = trained.model.vocabulary.words
    units = dict(zip(words, trained.model.units(), strict=True))
    wanted = units["cat1"] - units["cat2"] + units["tax1"]
    scores = {word: float(row @ wanted / wanted.norm()) for word, row in units.items()}
    best = sorted(set(words) - {"cat1", "cat2", "tax1"}, key=lambda word: -scores[word])[:4]
    for query in ("cat1 - cat2 + tax1", "cat1 − cat2 tax1", "+ cat1 + tax1 - cat2"):
        hits = trained.search(query, 4)
        assert [hit.name for hit in hits] == best
        assert hits[0].score == pytest.approx(scores[best[0]], abs=1e-5)


def test_embed_takes_a_text_or_a_list_and_says_which_word_has_no_vector(capsys, run, tmp_path):
    (tmp_path / "some.txt").write_text("cat1 tax2 nowhere cat1\n")
    code, out, _ = say(capsys, "embed", run, tmp_path / "some.txt", "-o", tmp_path / "x.npz")
    assert code == 0
    assert "2 embeddings of length 20" in out
    trained = tellapart.load(run)
    given = trained.embed(["tax2", "cat1"])
    assert given.names == ["tax2", "cat1"]
    with np.load(tmp_path / "x.npz", allow_pickle=False) as file:
        assert file["name"].tolist() == ["cat1", "tax2"]
        np.testing.assert_allclose(file["embedding"][::-1], given.vectors, rtol=1e-5)
    with pytest.raises(InputError, match="'nowhere' has no vector"):
        trained.embed(["cat1", "nowhere"])
    with pytest.raises(InputError, match="there is 'cat1'"):
        trained.search("CAT1")
    (tmp_path / "none.txt").write_text("nowhere\n")
    assert "none of its words has a vector" in fails(capsys, "embed", run, tmp_path / "none.txt", "-o", "x.npz")


def test_unseen_words_have_vectors_by_their_subwords(run_of):
    trained = tellapart.load(run_of("word2vec, infonce"))
    assert all(hit.name.startswith("cat") for hit in trained.search("cat99", 4))
    seen, unseen = trained.embed(["cat1"]).vectors, trained.embed(["cat111"]).vectors
    assert 0.1 < float(seen @ unseen.T) < 0.9999


@pytest.mark.parametrize("name", ["v.bin", "v.txt", "v.vec.gz"])
def test_what_is_exported_can_be_taken_again_as_it_is(capsys, run, tmp_path, name):
    code, out, _ = say(capsys, "export", run, tmp_path / name)
    assert (code, out) == (0, f"{tmp_path / name}: 24 words\n")
    words, vectors = read_vectors(tmp_path / name)
    model = tellapart.load(run).model
    assert words == model.vocabulary.words
    assert vectors.tobytes() == model.table().numpy().tobytes()
    if name != "v.txt":  # a text is read as text
        taken = tellapart.train("word2vec", data=tmp_path / name, run=tmp_path / "taken", dim=20)
        assert torch.equal(taken.model.table(), model.table())
        assert [hit.name for hit in taken.search("cat1")] == [hit.name for hit in tellapart.load(run).search("cat1")]
        assert taken.results.rows == [[name, 24, 20]]
        assert taken.evaluate() == taken.results


def test_vectors_of_another_length_or_a_broken_file_are_refused(capsys, tmp_path):
    write_vectors(tmp_path / "v.bin", ["a", "b"], np.ones((2, 7), np.float32))
    words = ["train", "word2vec", "--data", tmp_path / "v.bin", "--run", tmp_path / "run"]
    assert "`dim` must be 7" in fails(capsys, *words)
    assert "`subwords` must be 0" in fails(capsys, *words, "--dim", 7, "--subwords", 4)
    (tmp_path / "v.bin").write_bytes((tmp_path / "v.bin").read_bytes()[:-3])
    assert "truncated" in fails(capsys, *words, "--dim", 7)


def test_export_refuses_another_format(capsys, run, tmp_path):
    assert "must end in .bin, .txt or .vec" in fails(capsys, "export", run, tmp_path / "v.csv")


@pytest.mark.parametrize(
    ("content", "header", "n"),
    [
        ("cat1\tcat2\t9\ntax1\ttax2\t8.5\ncat1\ttax1\t1\ncat2\tnowhere\t3\n", ["", "Spearman's ρ", "pairs"], 3),
        (": topics\ncat1 cat2 tax1 tax2\ncat1 cat2 tax1 none\n", ["", "semantic", "syntactic", "questions"], 1),
        ("cat1\tcat2\ntax1\ttax2\n", ["", "AUC", "pairs"], 2),
    ],
)
def test_evaluate_takes_lists_of_words_that_people_judged(capsys, run, tmp_path, content, header, n):
    (tmp_path / "judged.tsv").write_text(content)
    before = read_results(run)
    code, _, err = say(capsys, "evaluate", run, "--data", tmp_path / "judged.tsv")
    assert code == 0, err
    table = tellapart.load(run).evaluate(tmp_path / "judged.tsv")
    assert table.header == header
    assert [row[0] for row in table.rows] == ["untrained", "trained"]
    assert table.rows[1][-1] == n
    assert any("left out" in note for note in table.notes) == ("no" in content)
    assert read_results(run) == before


def test_a_list_of_another_kind_is_refused_with_its_line(capsys, run, tmp_path):
    (tmp_path / "x.tsv").write_text("cat1\tcat2\t9\ncat1 cat2\n")
    assert "x.tsv line 2" in fails(capsys, "evaluate", run, "--data", tmp_path / "x.tsv")
    (tmp_path / "y.tsv").write_text("cat1\tcat2\ncat1\n")
    assert "y.tsv line 2" in fails(capsys, "evaluate", run, "--data", tmp_path / "y.tsv")
    assert "a folder" in fails(capsys, "evaluate", run, "--data", tmp_path)


def test_without_the_compiler_nothing_is_read(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("tellapart.domains.words.network.find_spec", lambda _: None)
    words = "train", "word2vec", "--data", write_words(tmp_path / "text", n=100), "--run", tmp_path / "run"
    assert "the package numba is missing. pip install 'tellapart[words]'" in fails(capsys, *words)
    assert not (tmp_path / "run" / "corpus").exists()


def test_mistakes_are_one_line(capsys, run, tmp_path):
    text = write_words(tmp_path / "text", n=100)
    train = ["train", "word2vec", "--run", tmp_path / "run", *options()]
    assert "there is no such file" in fails(capsys, *train, "--data", tmp_path / "nowhere")
    (tmp_path / "one.txt").write_text("word " * 2000)
    assert "At least 2 words are needed" in fails(capsys, *train, "--data", tmp_path / "one.txt")
    (tmp_path / "long.txt").write_text("x" * 10_000_000)
    assert "without white space" in fails(capsys, *train, "--data", tmp_path / "long.txt")
    assert "`held_out` must leave" in fails(capsys, *train, "--data", text, "--held_out", 0.01)
    for option, value in (("devices", 2), ("precision", "bf16-mixed"), ("accelerator", "gpu")):
        assert f"`trainer.{option}` must" in fails(capsys, *train, "--data", text, f"--trainer.{option}", value)
    assert "a word must follow each sign" in fails(capsys, "search", run, "cat1 -")


def test_after_a_mistake_the_next_attempt_reads_its_text_anew(tmp_path):
    text = write_words(tmp_path / "text", n=100)
    with pytest.raises(InputError, match="held_out"):
        tellapart.train("word2vec", data=text, run=tmp_path / "run", **WORD_OPTIONS | {"held_out": 0.01})
    rarer = tellapart.train(
        "word2vec", data=text, run=tmp_path / "run", **WORD_OPTIONS | {"min_count": 25, "held_out": 0.3}
    )
    assert 2 <= len(rarer.model.vocabulary) < 24


def test_a_text_with_a_word_thousands_of_times_and_empty_lines_trains(tmp_path):
    text = write_words(tmp_path / "text", n=200)
    text.write_text("\n\n" + text.read_text() + 10_000 * "cat1 " + "\n\n \n")
    trained = tellapart.train("word2vec", data=text, run=tmp_path / "run", **WORD_OPTIONS)
    assert torch.isfinite(trained.model.table()).all()


def test_a_line_of_more_than_ten_thousand_words_is_read_to_its_end(tmp_path):
    text = write_words(tmp_path / "text", n=4000)
    text.write_text(text.read_text().replace("\n", " ") + "last next last next last next")
    given = WORD_OPTIONS | {"held_out": 0.01, "epochs": 1}
    trained = tellapart.train("word2vec", data=text, run=tmp_path / "run", **given)
    assert {"last", "next"} <= set(trained.model.vocabulary.words)
    first = tellapart.load(tmp_path / "run").config
    untrained = type(trained.model)(first, trained.model.vocabulary)
    moved = (trained.model.table() - untrained.table()).norm(dim=1)
    assert moved[trained.model.vocabulary.index("last")] > 0


def test_phrases_gzip_folders_and_capitals_are_read(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    lines = write_words(tmp_path / "text", n=300).read_text()
    (folder / "a.txt.gz").write_bytes(gzip.compress(lines.upper().encode()))
    (folder / "b.txt").write_text(40 * "New York new york, cat1\n")
    given = WORD_OPTIONS | {"lower": True, "phrases": 1, "phrase_threshold": 5.0}
    trained = tellapart.train("word2vec", data=folder, run=tmp_path / "run", **given)
    assert {"new_york", "cat1"} <= set(trained.model.vocabulary.words)
    assert trained.search("New_York", 1)[0].name != "new_york"


def test_batches_do_not_decide_what_is_learned(tmp_path):
    text = write_words(tmp_path / "text")
    one, other = (
        tellapart.train(
            "word2vec", data=text, run=tmp_path / f"{n}", **WORD_OPTIONS | {"batch_size": n, "sample": 0.05}
        )
        for n in (400, 4000)
    )
    cosine = torch.nn.functional.cosine_similarity(one.model.table(), other.model.table())
    assert cosine.min() > 0.9  # not the same bits: windows end where batches do, and the learning rate has more steps


def test_killed_and_resumed_with_several_threads_it_ends_as_if_never_killed(tmp_path):
    text = write_words(tmp_path / "text")
    words = ["--data", str(text), *options(epochs=8, batch_size=300), "--trainer.checkpoint_every", "20"]
    whole, killed = whole_and_killed(tmp_path, "word2vec", words, step=45)
    assert_same_end(killed, whole)


def test_the_report_writes_words_on_its_map(run, visit):
    page = visit(run / "report.html")
    page.wait_for_selector("#map .textpoint")
    assert page.trouble == []
    written = [text for text in page.locator("#map .textpoint").all_text_contents() if text.strip()]
    assert set(written) <= set(tellapart.load(run).model.vocabulary.words)
    assert written
    assert "Map of the 24 most frequent words" in page.content()


def test_batches_and_held_out_passages_are_the_text_with_its_line_ends(tmp_path):
    (tmp_path / "text.txt").write_text("".join("a b c " * (1 + i % 40) + "\n" for i in range(60)))
    corpus = gather(tmp_path / "text.txt", tmp_path / "corpus")
    held_out = HeldOut(0.3, seed=1)
    is_out, expected = held_out.is_out(np.arange(len(corpus.ids))), []
    for i, word in enumerate(corpus.ids.tolist()):
        if i and i in corpus.starts:
            expected.append(-1)
        expected.append(-1 if is_out[i] else word)
    bounds = ((0, 500), (500, 1234), (1234, len(is_out)))
    passages = [Text(corpus, held_out).passage(torch.arange(a, b)) for a, b in bounds]
    assert [p.place for p in passages] == list(itertools.accumulate([0, *(len(p.ids) for p in passages[:-1])]))
    assert np.concatenate([p.ids for p in passages]).tolist() == [*expected, -1]
    assert [p.n_words for p in passages] == [int((~is_out[a:b]).sum()) for a, b in bounds]
    alone = held_out.alone(corpus)
    assert alone[alone >= 0].tolist() == corpus.ids[is_out].tolist()
    lines = [line.split() for line in " ".join(map(str, alone.tolist())).split("-1") if line.strip()]
    assert max(map(len, lines)) <= 100
    assert len(lines) > is_out.sum() // 100  # lines end within passages
