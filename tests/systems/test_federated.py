"""federated: one client is SimCLR, a killed run resumes, folders are clients, and mistakes are named."""

import sys

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

import tellapart
from tellapart import InputError
from tellapart.cli import main
from tests.command_line import fails
from tests.killed import whole_and_killed
from tests.tiny.pictures import FEDERATED_OPTIONS, PICTURE_OPTIONS, patterns, write_patterns
from tests.training.test_resume import assert_same_end


def words(**options):
    return [f"--{name}={value}" for name, value in options.items()]


def folder_of_clients(folder, with_classes=True):
    pictures, labels = patterns(60)
    for row, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        place = folder / f"lab {row % 2}" / (f"class {label}" if with_classes else "")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"{row}.png")
    return folder


@pytest.mark.parametrize(("statistics", "precision"), [("averaged", "32-true"), ("local", "bf16-mixed")])
def test_one_client_in_one_round_is_simclr_bit_for_bit(tmp_path, statistics, precision):
    pytest.importorskip("flwr")
    options = PICTURE_OPTIONS | {"data": str(write_patterns(tmp_path / "data"))}
    trainer = {"precision": precision}
    centralised = tellapart.train("simclr", run=tmp_path / "simclr", trainer=trainer, **options)
    one = {"clients": 1, "local_epochs": options["epochs"], "statistics": statistics}
    federated = tellapart.train("federated", run=tmp_path / "federated", trainer=trainer, **options, **one)
    ours, theirs = (load_file(run.folder / "weights.safetensors") for run in (federated, centralised))
    assert len(federated.log) == 1
    for name, value in theirs.items():
        assert value.equal(ours[name]), name
    cells = [run.results.cells()[-1] for run in (federated, centralised)]
    assert cells[0][:-1] == cells[1]


SLOW = {"statistics": "recalibrated", "key_momentum": 0.5, "bank_of": "prototypes", "bank_alike": 0.9}


@pytest.mark.parametrize("options", [{"statistics": "local", "dim": 0}, {"bank_every": 3} | SLOW])
def test_a_killed_run_that_is_resumed_ends_in_the_same_weights_bank_and_statistics(tmp_path, options):
    pytest.importorskip("flwr")
    given = FEDERATED_OPTIONS | {"data": write_patterns(tmp_path), "trainer.checkpoint_every": 2} | options
    whole, killed = whole_and_killed(tmp_path, "federated", words(**given), step=3)
    assert_same_end(killed, whole)


def test_folders_are_clients_and_the_folders_in_them_labels(tmp_path):
    pytest.importorskip("flwr")
    data = folder_of_clients(tmp_path / "data")
    options = PICTURE_OPTIONS | {"data": str(data), "split": "folders", "clients": 2, "epochs": 2, "bank": 16}
    run = tellapart.train("federated", run=tmp_path / "run", **options)
    assert run.results.header[1] == "15-NN"
    assert "2 clients have 19 to 26 pictures." in run.results.notes
    assert all(entry["clients"] == 2 for entry in _entries(run))
    assert run.evaluate(write_patterns(tmp_path / "others")).header[-1] != "membership AUC"


def _entries(run):
    return run.log if isinstance(run.log, list) else run.log.to_dict("records")


def test_the_table_has_the_auc_of_the_attack_or_a_dash_without_a_bank(run_of, tmp_path):
    run = tellapart.load(run_of("federated"))
    header, rows = run.results.header, run.results.rows
    assert header[-1] == "membership AUC"
    assert [row[-1] for row in rows[:-1]] == [0.5, "–", "–"]
    assert 0 <= rows[-1][-1] <= 1
    assert any(note.startswith("Membership: AUC") for note in run.results.notes)
    off = PICTURE_OPTIONS | {"data": run.config.data, "clients": 2, "bank": 0, "epochs": 1}
    without = tellapart.train("federated", run=tmp_path / "off", **off).results
    assert without.rows[-1][-1] == "–"
    assert not any("Membership" in note for note in without.notes)


def test_pictures_that_cannot_be_divided_are_refused_in_one_line(capsys, tmp_path):
    pytest.importorskip("flwr")
    unlabelled = write_patterns(tmp_path / "a", labelled=False)
    given = words(**PICTURE_OPTIONS, run=tmp_path / "run", data=unlabelled)
    assert "has no labels to split by. Use --split even" in fails(capsys, "train", "federated", *given)
    assert "no folder a client" in fails(capsys, "train", "federated", *given, "--split=folders")
    data = folder_of_clients(tmp_path / "b", with_classes=False)
    given = words(**PICTURE_OPTIONS, run=tmp_path / "run", data=data, split="folders")
    assert "`clients` must be 2, the number of folders" in fails(capsys, "train", "federated", *given)
    assert "`trainer.precision` must be one of 32-true, bf16-mixed" in fails(
        capsys, "train", "federated", *given, "--trainer.precision=16-mixed"
    )


def test_a_training_that_diverges_at_every_client_stops_with_a_line_for_each(capsys, tmp_path, monkeypatch):
    pytest.importorskip("flwr")
    monkeypatch.setattr("tellapart.systems.federated.compare", lambda views, *_: views[0].sum() * float("nan"))
    given = FEDERATED_OPTIONS | {"run": tmp_path / "run", "data": write_patterns(tmp_path / "data")}
    assert main(["train", "federated", *words(**given)]) == 2
    err = capsys.readouterr().err
    assert err.count("Lower the learning rate") == 3
    assert "round 1: no client's weights could be used. The lines above say why." in err


def test_without_flower_a_line_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "flwr", None)
    given = PICTURE_OPTIONS | {"run": tmp_path / "run", "data": str(write_patterns(tmp_path / "data"))}
    with pytest.raises(InputError, match=r"the package flwr is missing\. pip install 'tellapart\[federated\]'"):
        tellapart.train("federated", **given)


def test_two_devices_are_refused_for_rounds_have_no_shared_gradients(tmp_path):
    pytest.importorskip("flwr")
    given = FEDERATED_OPTIONS | {"run": tmp_path / "run", "data": str(write_patterns(tmp_path / "data"))}
    with pytest.raises(InputError, match=r"`trainer\.devices` must be 1"):
        tellapart.train("federated", trainer={"devices": 2, "accelerator": "cpu"}, **given)


def test_clients_of_one_class_learn_labels_that_no_client_can_tell_apart(tmp_path):
    """The average knows more than chance of three classes, of which each client has one."""
    pytest.importorskip("flwr")
    options = FEDERATED_OPTIONS | {"split": "classes", "classes_per_client": 1, "statistics": "recalibrated"}
    run = tellapart.train("federated", run=tmp_path / "run", data=str(write_patterns(tmp_path / "data")), **options)
    figures = {row[0]: row[1] for row in run.results.rows}
    assert figures["trained"] > figures["chance"] + 0.2
    assert np.isfinite([entry["loss"] for entry in _entries(run)]).all()
