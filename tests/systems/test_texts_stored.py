"""Trainings from a store of texts or reads: every figure is that of one in memory, and a kill changes nothing."""

import json
import shutil

import pytest

import tellapart
from tellapart.domains import text_store, texts
from tellapart.runs import Gallery
from tests.command_line import fails, read_results, say, train
from tests.killed import Killed, killed_before
from tests.tiny.genomes import GENOME_OPTIONS, few_reads
from tests.tiny.pictures import CLIP_OPTIONS, write_pairs
from tests.tiny.sentences import SENTENCE_OPTIONS, TRANSFORMER_OPTIONS, write_translations
from tests.tiny.texts import stores, write_reads
from tests.training.test_resume import assert_same_end


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tellapart" / "texts"


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Few reads are measured and shown."""
    monkeypatch.setattr("tellapart.domains.genomes.measure._MOST_READS", 80)
    with few_reads():
        yield


@pytest.fixture
def stored(monkeypatch):
    """A function; from its call on, texts and reads go to a store."""
    return lambda: monkeypatch.setattr(text_store, "IN_MEMORY", 0)


CASES = {
    "bilingual": (SENTENCE_OPTIONS, write_translations),
    "bilingual, transformer": (TRANSFORMER_OPTIONS | {"pairs": 40}, write_translations),
    "clip": (CLIP_OPTIONS, write_pairs),
    "genomics": (GENOME_OPTIONS, lambda folder: write_reads(folder, 100)),
}


def given(case, folder):
    """The system, its options and its data."""
    options, write = CASES[case]
    options = options | {"data": str(write(folder / "data")), "epochs": 2}
    if "transformer" in case:
        options |= {"unaligned": str(write_translations(folder / "more", 60, seed=1))}
    return case.partition(",")[0], options


def told(run):
    """What it says it read, without where that lies."""
    account = json.loads((run / "run.json").read_text())["reading"]
    notes = [note for note in account["notes"] if "from a store on the disk" not in note]
    return account["read"], account["left_out"], notes


@pytest.mark.parametrize("case", list(CASES))
def test_a_training_from_a_store_ends_as_one_in_memory(tmp_path, stored, cache, capsys, case):
    system, options = given(case, tmp_path)
    words = [f"--{name}={value}" for name, value in options.items()]
    in_memory = train(tmp_path / "memory", system, words)
    assert not cache.exists()
    stored()
    run = train(tmp_path / "stored", system, words)
    assert_same_end(run, in_memory)
    assert (run / "gallery.parquet").read_bytes() == (in_memory / "gallery.parquet").read_bytes()
    assert told(run) == told(in_memory)
    assert "from a store on the disk" in json.loads((run / "run.json").read_text())["reading"]["told"]
    made = sorted(cache.rglob("*"))
    assert made
    results = read_results(run)
    assert results == read_results(in_memory)
    assert say(capsys, "evaluate", run)[0] == 0
    assert read_results(run) == results
    assert sorted(cache.rglob("*")) == made


@pytest.mark.parametrize("case", list(CASES))
def test_a_killed_training_from_a_store_goes_on_from_it(tmp_path, stored, cache, case):
    system, options = given(case, tmp_path)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    tellapart.train(system, run=whole, trainer={"checkpoint_every": 1}, **options)
    stored()
    with killed_before(4), pytest.raises(Killed):
        tellapart.train(system, run=killed, trainer={"checkpoint_every": 1}, **options)
    shutil.rmtree(stores(cache)[0])  # a cache may be emptied at any time
    tellapart.train(system, run=killed, trainer={"checkpoint_every": 1}, resume=True, **options)
    assert_same_end(killed, whole)


def test_of_pairs_in_a_store_no_more_are_measured_and_found_than_the_bounds_and_that_is_said(
    tmp_path, stored, cache, monkeypatch
):
    monkeypatch.setattr("tellapart.domains.text.dataset.MOST_ASKED", 10)
    monkeypatch.setattr("tellapart.domains.text.dataset._MOST_SHOWN", 25)
    system, options = given("bilingual", tmp_path)
    words = [f"--{name}={value}" for name, value in options.items()]
    in_memory = train(tmp_path / "memory", system, words)
    assert len(Gallery.load(in_memory / "gallery.parquet").names) == 120
    stored()
    run = train(tmp_path / "stored", system, words)
    gallery = Gallery.load(run / "gallery.parquet")
    assert (len(gallery.names), int(gallery.held_out.sum())) == (50, 25)
    assert read_results(run)["title"].startswith("R@1 among 10 held-out pairs, after training on 88 others")
    said = read_results(run)["notes"][-2:]
    assert said[0] == "Measured with 10 of 32 held-out pairs, drawn at random."
    assert said[1] == "Search looks through 50 of 120 pairs, drawn at random."
    assert cache.exists()


def test_data_that_changed_are_noticed(tmp_path, stored, cache, capsys):
    stored()
    system, options = given("bilingual", tmp_path)
    words = [f"--{name}={value}" for name, value in options.items()]
    run = train(tmp_path / "run", system, words)
    write_translations(tmp_path / "data", seed=5)
    assert "the data changed since the run began" in fails(capsys, "evaluate", run)
    assert len(stores(cache)) == 2


def test_a_step_reads_no_more_texts_than_its_batch(tmp_path, stored, cache, monkeypatch):
    """From the first step on; before, and in what is measured, they are read in chunks."""
    stored()
    monkeypatch.setattr(texts, "_CHUNK", 16)
    for name in ("encoder", "unread"):
        monkeypatch.setattr(f"tellapart.domains.text.{name}._CHUNK", 16, raising=False)
    sizes, reader = [], texts.read_packed

    def counting(file, rows):
        sizes.append(len(rows))
        return reader(file, rows)

    monkeypatch.setattr(texts, "read_packed", counting)
    system, options = given("bilingual", tmp_path)
    with killed_before(4), pytest.raises(Killed):
        tellapart.train(system, run=tmp_path / "run", **options)
    assert max(sizes) <= SENTENCE_OPTIONS["batch_size"]
    assert cache.exists()
