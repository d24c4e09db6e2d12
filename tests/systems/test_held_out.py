"""Systems measure their own objective on held-out rows while they train, and train as without."""

import pytest

import tellapart
from tellapart import InputError
from tellapart.training import validation
from tests.command_line import read_log
from tests.harness import SYSTEMS
from tests.killed import Killed, killed_before
from tests.training.test_resume import assert_same_end, without_times

FEDERATED = {"statistics": "averaged"}
# What the best weights are of, as the report says, if it is not the accuracy.
BEST_OF = {"harmony": "objective", "graph": "loss", "gan": "objective", "gan, pictures": "objective"}


def train(name, run_of, folder, others=None, resume=False, **trainer):
    entry, data = SYSTEMS[name], tellapart.load(run_of(name)).config.data
    given = entry.options | (others or {}) | {"data": data, "run": folder, "resume": resume}
    with entry.small():
        return tellapart.train(name.partition(",")[0], trainer=trainer, **given)


@pytest.mark.parametrize("name", sorted(set(SYSTEMS) - {"federated"}))
def test_it_measures_its_loss_on_held_out_rows_and_trains_as_without(name, run_of, tmp_path):
    plain = read_log(run_of(name))
    last = plain[-1]
    assert last["held_out_loss"] > 0
    assert ("held_out_accuracy" in last) == (name not in ("graph", "gan", "gan, pictures"))
    assert 0 <= last.get("held_out_accuracy", 0.0) <= 1
    assert last["held_out_n_candidates"] >= 2
    assert all("held_out_loss" not in entry for entry in plain[:-1])
    train(name, run_of, tmp_path / "run", validate_every=2)
    log = without_times(tmp_path / "run")
    assert {entry["step"] for entry in log if "held_out_loss" in entry} == {*range(2, len(log), 2), len(log)}
    assert [{k: v for k, v in entry.items() if "held_out" not in k} for entry in log] == [
        {k: v for k, v in entry.items() if "held_out" not in k} for entry in without_times(run_of(name))
    ]
    assert log[-1] == without_times(run_of(name))[-1]
    report = (tmp_path / "run" / "report.html").read_text()
    assert f"Best held-out {BEST_OF.get(name, 'accuracy')} " in report
    assert '"held out, K + 1 = ' in report


@pytest.mark.parametrize("name", ["gan", "pixels", "word2vec", "federated"])
def test_killed_and_resumed_it_keeps_the_same_best_weights(name, run_of, tmp_path):
    if name == "federated":
        pytest.importorskip("flwr")
    how = {"others": FEDERATED if name == "federated" else {}, "validate_every": 2, "checkpoint_every": 3}
    whole = train(name, run_of, tmp_path / "whole", **how)
    with killed_before(len(read_log(whole.folder)) // 2 + 2), pytest.raises(Killed):
        train(name, run_of, tmp_path / "killed", **how)
    train(name, run_of, tmp_path / "killed", resume=True, **how)
    assert_same_end(tmp_path / "killed", tmp_path / "whole")


def test_federated_measures_the_averaged_network_and_keeps_its_bank_with_it(run_of, tmp_path, monkeypatch):
    pytest.importorskip("flwr")
    plain = train("federated", run_of, tmp_path / "plain", FEDERATED)
    assert int(plain.model.bank_round) == 5  # of 6 rounds: after the last no query would see keys
    monkeypatch.setattr(validation, "is_better", lambda _, best, __: best is None)
    run = train("federated", run_of, tmp_path / "run", FEDERATED, validate_every=2)
    assert int(run.model.bank_round) == 2
    logs = [without_times(trained.folder) for trained in (run, plain)]
    assert [entry["step"] for entry in logs[0] if "held_out_loss" in entry] == [2, 4, 6]
    assert [{k: v for k, v in entry.items() if "held_out" not in k} for entry in logs[0]] == [
        {k: v for k, v in entry.items() if "held_out" not in k} for entry in logs[1]
    ]
    assert logs[0][-1] == logs[1][-1]


@pytest.mark.parametrize("statistics", ["local", "recalibrated"])
def test_a_network_without_statistics_of_its_own_between_rounds_is_not_measured(statistics, run_of, tmp_path):
    pytest.importorskip("flwr")
    with pytest.raises(InputError, match=rf"`trainer\.validate_every` must be 0 with statistics {statistics}: "):
        train("federated", run_of, tmp_path / "run", {"statistics": statistics}, validate_every=2)
    assert not (tmp_path / "run" / "config.yaml").exists()
