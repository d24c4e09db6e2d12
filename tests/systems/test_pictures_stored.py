"""Trainings from a store of pictures: every figure is that of a training in memory, and no step reads all of them."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import tellapart
from tellapart.domains.pictures import store
from tellapart.domains.pictures.stored import Stored
from tests.command_line import read_results, say, train
from tests.killed import Killed, killed_before
from tests.tiny.pictures import (
    CLIP_OPTIONS,
    FEDERATED_OPTIONS,
    HARMONY_OPTIONS,
    MOCO_OPTIONS,
    PICTURE_OPTIONS,
    patterns,
    write_pairs,
)
from tests.training.test_resume import assert_same_end

N = 120


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tellapart" / "pictures"


@pytest.fixture
def stored(monkeypatch):
    """A function; from its call on, picture files go to a store."""
    return lambda: monkeypatch.setattr(store, "IN_MEMORY", 0)


def write_files(folder, labelled=True):
    """Picture files of patterns, in folders of their labels."""
    for number, (picture, label) in enumerate(zip(*patterns(N), strict=True)):
        place = folder / str(label) if labelled else folder
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"{number:03}.png")
    return folder


def words(options, data):
    return [f"--{name}={value}" for name, value in (options | {"data": data}).items()]


CASES = {
    "simclr": (PICTURE_OPTIONS, True),
    "simclr, unlabelled": (PICTURE_OPTIONS, False),
    "moco": (MOCO_OPTIONS, True),
    "harmony": (HARMONY_OPTIONS, True),
    "federated": (FEDERATED_OPTIONS, True),
    "clip": (CLIP_OPTIONS, None),
}


@pytest.mark.parametrize("case", list(CASES))
def test_a_training_from_a_store_ends_as_one_in_memory(tmp_path, stored, cache, capsys, case):
    system, (options, labelled) = case.partition(",")[0], CASES[case]
    if system == "federated":
        pytest.importorskip("flwr")
    data = write_pairs(tmp_path / "data") if labelled is None else write_files(tmp_path / "data", labelled)
    in_memory = train(tmp_path / "memory", system, words(options | {"epochs": 2}, data))
    assert not cache.exists()
    stored()
    run = train(tmp_path / "stored", system, words(options | {"epochs": 2}, data))
    assert_same_end(run, in_memory)
    assert (run / "gallery.parquet").read_bytes() == (in_memory / "gallery.parquet").read_bytes()
    told = [json.loads((folder / "run.json").read_text())["reading"] for folder in (run, in_memory)]
    assert told[0] == told[1]
    made = sorted(cache.rglob("*"))
    results = read_results(run)
    assert say(capsys, "evaluate", run)[0] == 0
    assert read_results(run) == results
    assert sorted(cache.rglob("*")) == made
    assert say(capsys, "embed", run, data, "-o", tmp_path / "stored.npz")[0] == 0
    assert say(capsys, "embed", in_memory, data, "-o", tmp_path / "memory.npz")[0] == 0
    with np.load(tmp_path / "stored.npz") as found, np.load(tmp_path / "memory.npz") as expected:
        assert np.array_equal(found["embedding"], expected["embedding"])


def test_a_killed_training_from_a_store_goes_on_from_it(tmp_path, stored, cache):
    given = PICTURE_OPTIONS | {"data": str(write_files(tmp_path / "data")), "epochs": 3}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    tellapart.train("simclr", run=whole, trainer={"checkpoint_every": 4}, **given)
    stored()
    with killed_before(7), pytest.raises(Killed):
        tellapart.train("simclr", run=killed, trainer={"checkpoint_every": 4}, **given)
    (made,) = (folder for folder in cache.iterdir() if folder.is_dir())
    shutil.rmtree(made)  # a cache may be emptied at any time
    tellapart.train("simclr", run=killed, trainer={"checkpoint_every": 4}, resume=True, **given)
    assert_same_end(killed, whole)


def test_no_more_pictures_are_read_at_a_time_than_a_batch_or_a_chunk(tmp_path, stored, capsys, monkeypatch):
    """From the first reading to the gallery and the evaluation."""
    stored()
    sizes, reader = [], Stored._read

    def counting(self, rows):
        sizes.append(len(rows))
        return reader(self, rows)

    monkeypatch.setattr(Stored, "_read", counting)
    for module in ("dataset", "network", "raw_pixels", "stored"):  # so that a chunk is a small part of all
        monkeypatch.setattr(f"tellapart.domains.pictures.{module}._CHUNK", 16, raising=False)
    for labelled in (True, False):
        data = write_files(tmp_path / f"data-{labelled}", labelled)
        run = train(tmp_path / f"run-{labelled}", "simclr", words(PICTURE_OPTIONS | {"epochs": 1}, data))
        assert say(capsys, "evaluate", run)[0] == 0
    assert max(sizes) <= PICTURE_OPTIONS["batch_size"] < N / 4
