"""Lightning's loggers get what the log has, once, also when a run is killed and continued."""

import csv
import importlib.util
import json

import pytest

from tellapart import InputError
from tellapart.runs import Run
from tellapart.training import loggers
from tests.killed import Killed, killed_before
from tests.training.learning import learn


def told_to_csv(folder):
    with (folder / "csv" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: float(value) for name, value in row.items() if value != ""} for row in rows]


def told_to_tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def interrupted(folder, logger):
    """Killed between two checkpoints: the logger was told of steps that are then done again."""
    with killed_before(7), pytest.raises(Killed):
        learn(folder, logger=logger, validate_every=5)
    learn(folder, logger=logger, validate_every=5)
    return Run(folder).log()


def test_a_table_has_the_rows_of_the_log(tmp_path):
    log = interrupted(tmp_path / "run", "csv")
    assert told_to_csv(tmp_path / "run") == log
    assert "learning_rate: 0.05" in (tmp_path / "run" / "csv" / "hparams.yaml").read_text()


def test_tensorboard_has_the_curves_of_the_log(tmp_path):
    pytest.importorskip("tensorboard")
    log = interrupted(tmp_path / "run", "tensorboard")
    told = told_to_tensorboard(tmp_path / "run")
    for name in ("loss", "held_out_loss", "accuracy", "learning_rate"):
        expected = [(entry["step"], entry[name]) for entry in log if name in entry]
        assert [step for step, _ in told[name]] == [step for step, _ in expected]
        assert [value for _, value in told[name]] == pytest.approx([value for _, value in expected])


@pytest.mark.parametrize("logger", ["wandb", "mlflow", "tensorboard"])
def test_a_missing_package_is_named_with_what_to_install_before_training(tmp_path, monkeypatch, logger):
    found = importlib.util.find_spec
    monkeypatch.setattr("tellapart.training.loggers.find_spec", lambda name: None if name == logger else found(name))
    with pytest.raises(InputError, match=f"trainer.logger: the package {logger} is missing. pip install {logger}"):
        learn(tmp_path / "run", logger=logger)
    assert not Run(tmp_path / "run").has_begun()


def test_without_a_logger_there_is_nothing_of_it(tmp_path):
    learn(tmp_path / "run")
    log = tmp_path / "run" / "log.jsonl"
    assert not {"csv", "tensorboard"} & {path.name for path in log.parent.iterdir()}
    assert json.loads(log.read_text().splitlines()[0])["step"] == 1


@pytest.mark.parametrize("server", ["", "http://there:5000"])
def test_mlflow_writes_into_a_database_in_the_run_unless_the_environment_names_a_server(tmp_path, monkeypatch, server):
    """It takes no new runs into plain files, which are what Lightning would ask it for."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setattr("lightning.pytorch.loggers.MLFlowLogger", lambda **given: given)
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    given = loggers._make("mlflow", run)
    assert given["tracking_uri"] == (server or f"sqlite:///{run.folder.resolve() / 'mlflow' / 'mlflow.db'}")
    assert given["artifact_location"].startswith((run.folder.resolve() / "mlflow").as_uri())
