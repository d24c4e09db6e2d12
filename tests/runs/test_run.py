"""Run folders when several processes train together: the first alone reads and writes what is said of the run."""

import pytest
import torch

from tellapart.errors import InputError
from tellapart.runs import FinishedRun, Run


@pytest.fixture
def another_process(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")


@pytest.mark.usefixtures("another_process")
def test_another_process_does_not_need_a_folder_that_the_first_has_yet_to_make(tmp_path):
    run = Run(tmp_path / "run")
    run.check_data("abc")
    run.note(side=28)
    run.save_tokeniser("{}")
    assert not run.folder.exists()


def test_another_process_does_not_undo_what_the_first_noted(tmp_path, monkeypatch):
    run = Run(tmp_path / "run")
    run.begin("simclr", {})
    monkeypatch.setenv("LOCAL_RANK", "1")
    run.check_data("abc")
    monkeypatch.setenv("LOCAL_RANK", "0")
    run.check_data("abcd")
    run.note(side=28)
    assert run.noted("side") == 28


def test_a_run_begins_without_the_tokeniser_of_an_attempt_that_failed(tmp_path):
    run = Run(tmp_path / "run")
    run.begin("bilingual", {})
    run.save_tokeniser("{}")
    run.check_free()
    run.begin("bilingual", {})
    assert not run.tokeniser.exists()


def test_a_finished_run_has_its_model_before_and_after_training_and_makes_each_once(tmp_path):
    run, made = Run(tmp_path / "run"), []
    run.begin("simclr", {})

    def make(config, of):
        assert (config, of) == ("options", run)
        torch.manual_seed(0)
        made.append(torch.nn.Sequential(torch.nn.Linear(2, 2)))
        return made[-1]

    finished = FinishedRun(run, "options", make)
    with pytest.raises(InputError, match="not trained"):
        _ = finished.model
    assert not made
    trained = make("options", run)
    torch.nn.init.ones_(trained[0].weight)
    run.save_weights(trained)
    assert torch.equal(finished.untrained[0].weight, make("options", run)[0].weight)
    assert torch.equal(finished.model[0].weight, trained[0].weight)
    assert finished.model is finished.model
    assert not finished.untrained.training
    assert not finished.model.training
    assert len(made) == 4


def test_the_first_refuses_data_that_changed(tmp_path):
    run = Run(tmp_path / "run")
    run.begin("simclr", {})
    run.check_data("abc")
    run.check_data("abc")
    with pytest.raises(InputError, match="the data changed since the run began"):
        run.check_data("abd")
