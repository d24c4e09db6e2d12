"""Systems that hold rows out measure their own objective on them while they train; the others say that they do not."""

import pytest

import tellapart
from tellapart import InputError
from tests.command_line import read_log
from tests.harness import SYSTEMS
from tests.training.test_resume import without_times

MEASURED = {
    *("clip", "simclr", "moco", "bilingual", "bilingual, transformer", "attention", "genomics", "microstructure"),
    *("harmony", "audiovisual", "dpo", "graph"),
}
# What the best weights are of, as the report says, if it is not the accuracy.
BEST_OF = {"harmony": "objective", "graph": "loss"}


def train(name, run_of, folder, **trainer):
    entry, data = SYSTEMS[name], tellapart.load(run_of(name)).config.data
    with entry.small():
        return tellapart.train(name.partition(",")[0], data=data, run=folder, trainer=trainer, **entry.options)


@pytest.mark.parametrize("name", sorted(MEASURED))
def test_it_measures_its_loss_on_held_out_rows_and_trains_as_without(name, run_of, tmp_path):
    plain = read_log(run_of(name))
    last = plain[-1]
    assert last["held_out_loss"] > 0
    assert ("held_out_accuracy" in last) == (name != "graph")
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


@pytest.mark.parametrize("name", sorted(set(SYSTEMS) - MEASURED))
def test_one_that_measures_nothing_while_it_trains_says_so(name, run_of, tmp_path):
    assert all("held_out_loss" not in entry for entry in read_log(run_of(name)))
    with pytest.raises(InputError, match=r"`trainer\.validate_every` must be 0: this system does not compute its loss"):
        train(name, run_of, tmp_path / "run", validate_every=2)
