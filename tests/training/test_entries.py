"""The log of a training on a device: values are read after several steps, and say what they say on a processor."""

import json

import pytest
import torch

from tellapart import InputError
from tellapart.training import entries, keeper, loop
from tests.training.learning import learn
from tests.waiting import NoWaiting, as_on_a_gpu


def logged(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: x for name, x in line.items() if not name.startswith("seconds")} for line in lines]


def no_step_waits(monkeypatch):
    """Run each step that does not have to read its values in a mode that forbids it; say which these were."""
    steps, own = [], loop._Learner.training_step

    def training_step(self, batch):
        if self.is_due:
            return own(self, batch)
        steps.append(self.step)
        with NoWaiting():
            return own(self, batch)

    def advance(self, which, of=loop._Learner._advance):
        with torch.utils._python_dispatch._disable_current_modes():  # AdamW counts its steps on the processor
            of(self, which)

    monkeypatch.setattr(loop._Learner, "training_step", training_step)
    monkeypatch.setattr(loop._Learner, "_advance", advance)
    return steps


def test_a_step_waits_for_no_reading_and_the_log_is_the_same(tmp_path, monkeypatch):
    trainer = {"checkpoint_every": 100, "logger": "csv"}
    as_on_a_gpu(monkeypatch, reading=True)
    with monkeypatch.context() as on_a_processor:
        on_a_processor.setattr(entries, "at_hand", lambda _: True)
        learn(tmp_path / "plain", **trainer)
    steps, sizes, read = no_step_waits(monkeypatch), [], entries.read
    monkeypatch.setattr(keeper, "read", lambda found: (sizes.append(len(found)), read(found)))
    monkeypatch.setattr(keeper, "READ_EVERY", 4)
    learn(tmp_path / "device", **trainer)
    assert steps == list(range(2, 15))
    assert sizes == [4, 4, 4, 3]
    assert logged(tmp_path / "device") == logged(tmp_path / "plain")
    tables = [(tmp_path / name / "csv" / "metrics.csv").read_text() for name in ("plain", "device")]
    assert len(tables[0].splitlines()) == len(tables[1].splitlines())


def test_what_was_not_read_is_read_before_a_checkpoint_and_a_loss_of_nan_names_its_step(tmp_path, monkeypatch):
    as_on_a_gpu(monkeypatch, reading=True)
    made = loop.entry_of

    def broken(values, device):
        found = made(values, device)
        numbers.append(len(numbers) + 1)
        return entries.Entry(found.names, found.values_there * (torch.nan if len(numbers) == 6 else 1))

    numbers = []
    monkeypatch.setattr(loop, "entry_of", broken)
    with pytest.raises(InputError, match="step 6: the loss became nan"):
        learn(tmp_path / "run", checkpoint_every=4)
    assert [line["step"] for line in logged(tmp_path / "run")] == [1, 2, 3, 4, 5]
    assert (tmp_path / "run" / "checkpoint.ckpt").is_file()
