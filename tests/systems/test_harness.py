"""Every system, trained by the command line and from Python on tiny data: what is asked of all of them, once."""

import dataclasses
import math
import shutil

import numpy as np
import pytest
import torch

import tellapart
from tellapart import InputError
from tellapart.runs import Run
from tellapart.systems import ABILITIES, NAMES, load
from tests.command_line import read_log, read_results
from tests.harness import SYSTEMS
from tests.killed import Killed, killed_before
from tests.training.test_resume import without_times

each = pytest.mark.parametrize("name", list(SYSTEMS))
# Of the options that every system has.
WRONG = (
    ("epochs", 0),
    ("batch_size", 1),
    ("held_out", 0.0),
    ("held_out", 1.0),
    ("seed", -1),
    ("learning_rate", 0.0),
    ("learning_rate", math.nan),
    ("weight_decay", -1.0),
    ("weight_decay", math.nan),
)


def of(name):
    """The system of an entry."""
    return load(name.partition(",")[0])


def half_a_mask():
    """An object in the right half, of the proportions of `moving_frames`."""
    mask = np.zeros((64, 80), np.uint8)
    mask[:, 40:] = 1
    return mask


def test_no_system_is_left_out():
    assert {name.partition(",")[0] for name in SYSTEMS} == set(NAMES)


@pytest.mark.parametrize(
    ("name", "option", "value"), [(name, *wrong) for name in SYSTEMS for wrong in (*WRONG, *SYSTEMS[name].wrong)]
)
def test_an_option_out_of_range_is_refused_by_name(name, option, value):
    config = of(name).Config(**{"data": "nowhere"} | SYSTEMS[name].options)
    with pytest.raises(InputError, match=f"`{option}` must"):
        dataclasses.replace(config, **{option: value})


@each
def test_its_run_holds_what_every_run_of_such_a_system_holds(name, run_of):
    run, system = run_of(name), of(name)
    expected = {"config.yaml", "log.jsonl", "report.html", "run.json", "weights.safetensors"}
    expected |= {"results.json"} if system.evaluate else set()
    expected |= {"gallery.parquet"} if system.search else set()
    expected |= set(SYSTEMS[name].keeps)
    assert {path.name for path in run.iterdir()} - {"lock", "tokenizer.json"} == expected
    log = read_log(run)
    assert [entry["step"] for entry in log] == list(range(1, len(log) + 1))
    assert all(entry["seconds"] > 0 for entry in log)
    options = Run(run).options()
    assert {option: options[option] for option in SYSTEMS[name].options} == SYSTEMS[name].options


@each
def test_loaded_it_can_do_what_its_system_says_and_nothing_else(name, run_of, tmp_path):
    found, system = tellapart.load(run_of(name)), of(name)
    assert found.abilities == system.abilities()
    uses = {
        "evaluate": found.evaluate,
        "embed": lambda: found.embed(found.config.data),
        "search": lambda: found.search(SYSTEMS[name].query, 3),
        "cluster": lambda: found.cluster(found.config.data, 3),
        "match": lambda: found.match(f"{found.config.data}:0", f"{found.config.data}:3"),
        "propagate": lambda: found.propagate(found.config.data, half_a_mask()),
        "sample": lambda: found.sample(2, prompt=SYSTEMS[name].prompt),
        "score": lambda: found.score(found.config.data),
        "export": lambda: found.export(tmp_path / SYSTEMS[name].exported),
    }
    assert set(uses) == set(ABILITIES)
    for ability in set(ABILITIES) - set(found.abilities):
        with pytest.raises(InputError, match=f"cannot {ability}"):
            uses[ability]()
    with SYSTEMS[name].small():
        before = read_results(run_of(name)) if system.evaluate else None
        made = {ability: uses[ability]() for ability in found.abilities}
    assert before is None or made["evaluate"].as_dict() == read_results(run_of(name)) == before
    right = {
        "embed": each_has_a_name_and_length_1,
        "search": lambda hits: len(hits) == 3 and [hit.score for hit in hits] == sorted(h.score for h in hits)[::-1],
        "cluster": lambda clusters: sum(row[1] for row in clusters.table().rows) >= 3,
        "match": lambda matched: len(matched.table().rows) > 0,
        "propagate": lambda carried: len(carried.table().rows) == 2,
        "sample": lambda samples: len(samples) == 2,
        "score": lambda table: len(table.rows) > 0,
        "export": lambda said: said and (tmp_path / SYSTEMS[name].exported).exists(),
    }
    assert all(right[ability](made[ability]) for ability in found.abilities if ability != "evaluate")


def each_has_a_name_and_length_1(embeddings):
    torch.testing.assert_close(embeddings.vectors.norm(dim=1), torch.ones(len(embeddings)))
    return len(embeddings.names) == len(embeddings.kinds) == len(embeddings.vectors) > 0


@each
def test_the_seed_decides_the_first_weights(name, run_of):
    trained, make = tellapart.load(run_of(name)), of(name).make_model
    one, again, other = (
        make(dataclasses.replace(trained.config, seed=seed), Run.open(trained.folder)).state_dict()
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(one[key], again[key]) for key in one)
    alike = all(torch.equal(one[key], other[key]) for key in one)
    assert alike == SYSTEMS[name].begins_with_given_weights


@each
def test_trained_on_killed_and_resumed_it_ends_as_one_that_was_not(name, run_of, tmp_path):
    """Before the first checkpoint of the added epochs: what is done again begins with the finished run's weights."""
    system, ends = name.partition(",")[0], {}
    if system == "federated":
        pytest.skip("its finished runs are final: tests/training/test_train_on.py")
    for end in ("whole", "killed"):
        ends[end] = shutil.copytree(run_of(name), tmp_path / end)
    more, before = tellapart.load(ends["whole"]).config.epochs + 2, len(read_log(ends["whole"]))
    with SYSTEMS[name].small():
        tellapart.train(system, run=ends["whole"], resume=True, epochs=more)
        added = len(read_log(ends["whole"])) - before
        with killed_before(before + added // 2 + 1), pytest.raises(Killed):
            tellapart.train(system, run=ends["killed"], resume=True, epochs=more)
        tellapart.train(system, run=ends["killed"], resume=True)
    assert added > 0
    assert without_times(ends["killed"]) == without_times(ends["whole"])
    for file in ("weights.safetensors", "results.json", "gallery.parquet"):
        if (ends["whole"] / file).exists():
            assert (ends["killed"] / file).read_bytes() == (ends["whole"] / file).read_bytes(), file


@each
def test_trained_from_python_killed_and_resumed_it_ends_as_by_the_command_line(name, run_of, tmp_path):
    """What came after the last checkpoint is lost, and done again."""
    whole, entry, system = run_of(name), SYSTEMS[name], name.partition(",")[0]
    given = entry.options | {"data": tellapart.load(whole).config.data, "run": tmp_path / "run"}
    with entry.small():
        with killed_before(len(read_log(whole)) // 2 + 1), pytest.raises(Killed):
            tellapart.train(system, trainer={"checkpoint_every": 5}, **given)
        assert not (tmp_path / "run" / "weights.safetensors").exists()
        with pytest.raises(InputError, match="tellapart train"):
            tellapart.load(tmp_path / "run").report()
        tellapart.train(system, resume=True, **given)
    assert without_times(tmp_path / "run") == without_times(whole)
    for file in ("weights.safetensors", "results.json", "gallery.parquet"):
        if (whole / file).exists():
            assert (tmp_path / "run" / file).read_bytes() == (whole / file).read_bytes(), file
