"""harmony's own decisions: which labels are known, what each loss sees, what evaluation says and refuses."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import tellapart
from tellapart import InputError
from tellapart.cli import main
from tellapart.domains.pictures import Batch, FewLabels, ImageShape, load_pictures
from tellapart.runs import Run
from tellapart.systems.harmony import Config, Harmony, contrastive, supervised
from tellapart.training import TwoLossStep
from tests import oracle
from tests.command_line import fails, read_log, read_results, say
from tests.killed import train_on_two, whole_and_killed
from tests.tiny.pictures import HARMONY_OPTIONS, draw, harmony_arguments, patterns, write_patterns
from tests.training.test_resume import assert_same_end

FORM = ImageShape(16, 3)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return load_pictures(str(write_patterns(tmp_path_factory.mktemp("patterns"), 12)))


@pytest.fixture(scope="module")
def learned(run_of):
    return run_of("harmony")


def config(**options):
    return Config(**HARMONY_OPTIONS | options)


def begun(folder, data, **options):
    """A run folder and options of data in it."""
    run, made = Run(folder / "run"), config(data=str(data), **options)
    run.begin("harmony", {})
    return made, run


def test_its_contrastive_objective_is_the_oracles_with_the_other_view_as_positive(pictures):
    model = Harmony(config(temperature=0.3), FORM, 3).eval()
    with torch.no_grad():
        torch.manual_seed(1)
        z = model.network(torch.cat(model.make_views(pictures.pictures, 2))).double().numpy()
        torch.manual_seed(1)
        got = contrastive(model, Batch(pictures, pictures)).loss().item()
    itself = np.eye(24, dtype=bool)
    weights = ((np.arange(24)[:, None] % 12 == np.arange(24) % 12) & ~itself).astype(float)
    assert got == pytest.approx(oracle.info_nce(z, z, weights, itself, temperature=0.3), rel=1e-5)


def test_each_loss_sees_its_own_part_of_the_batch_and_moves_its_own_head_and_the_encoder(pictures):
    model = Harmony(config(), FORM, 3)
    few, nothing = pictures.rows(torch.arange(5)), pictures.rows(torch.arange(0))
    for loss, batch, moved, still in (
        (supervised, Batch(nothing, few), model.classifier, model.network.head),
        (lambda *x: contrastive(*x).loss(), Batch(few, nothing), model.network.head, model.classifier),
    ):
        model.zero_grad()
        loss(model, batch).backward()
        assert all(p.grad is not None for module in (model.network.encoder, moved) for p in module.parameters())
        assert all(p.grad is None for p in still.parameters())


def test_without_a_head_the_contrastive_loss_compares_what_the_classifier_sees(pictures):
    model = Harmony(config(dim=0), FORM, 3).eval()
    shown = pictures.pictures.float() / 255
    with torch.no_grad():
        torch.testing.assert_close(model.classifier(model.network(shown)), model.classify(shown))
    contrastive(model, Batch(pictures, pictures)).loss().backward()
    moved = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert moved == {f"network.encoder.{name}" for name, _ in model.network.encoder.named_parameters()}


def test_turned_views_are_for_the_contrastive_loss_alone():
    """A picture whose upper half is white: a quarter turn that is not undone would make a side of it white."""
    model = Harmony(config(turn=1.0, crop=1.0, flip=0.0, jitter=0.0), FORM, 3)
    shown = torch.zeros(8, 3, 16, 16, dtype=torch.uint8)
    shown[:, :, :8] = 255
    upright, turned = model.make_upright_views(shown, 1)[0], model.make_views(shown, 1)[0]
    assert all(view[:, 4].mean() > 0.9 and view[:, 12].mean() < 0.1 for view in upright)
    assert not any(view[:, 4].mean() > 0.9 and view[:, 12].mean() < 0.1 for view in turned)


def test_so_many_labels_of_each_class_are_known_and_are_those_of_the_seed(tmp_path):
    made, run = begun(tmp_path, write_patterns(tmp_path, 60), labels_per_class=4)
    data = FewLabels.load(made, 4, run)
    assert data.classes == ["0", "1", "2"]
    assert data.labelled.labels.bincount().tolist() == [4, 4, 4]
    known = set(data.labelled.names)
    assert known <= set(data.data.training.names)
    assert known == set(FewLabels.load(made, 4, run).labelled.names)
    batch = data.beside(data.data.training.rows(torch.arange(7)), 5)
    assert (len(batch.pictures), len(batch.labelled)) == (7, 5)
    assert set(batch.labelled.names) < known
    assert set(data.beside(batch.pictures, 99).labelled.names) == known


def test_labels_need_not_count_from_0_and_a_class_with_few_pictures_is_noted(tmp_path):
    shown, labels = patterns(60)
    labels = np.where(labels == 2, -7, 10 * labels)
    rare = np.flatnonzero(labels == -7)[3:]
    kept = np.setdiff1d(np.arange(60), rare)
    np.savez(tmp_path / "x.npz", x_train=shown[kept], y_train=labels[kept], x_test=shown[:30], y_test=labels[:30])
    made, run = begun(tmp_path, tmp_path / "x.npz", labels_per_class=8)
    data = FewLabels.load(made, 8, run)
    assert data.classes == ["-7", "0", "10"]
    assert data.labelled.labels.bincount().tolist() == [3, 8, 8]
    model = Harmony(made, FORM, 3).eval()
    assert any("Fewer are there of -7 (3)." in note for note in data.measure(model, model).notes)
    truth = [data.classes.index(str(label)) for label in labels[:30]]
    assert data.test.labels.tolist() == truth


def test_the_table_has_the_accuracy_of_the_classifier_a_probe_and_both_losses(capsys, learned):
    code, out, _ = say(capsys, "evaluate", learned)
    assert code == 0
    assert "Labels of 40 held-out pictures, after training with 24 labels" in out
    table = tellapart.load(learned).results
    rows = {name: values for name, *values in table.rows}
    assert table.header[1:] == ["accuracy", "linear probe", "cross-entropy", "NT-Xent"]
    assert rows["chance"][2:] == pytest.approx([math.log(3), math.log(2 * 20 - 1)])
    assert rows["trained"][0] > rows["chance"][0] + 0.2
    assert rows["trained"][1] > rows["chance"][1] + 0.2
    assert rows["trained"][2] < rows["untrained"][2]
    assert rows["trained"][3] < rows["untrained"][3]


def test_what_evaluation_says_of_the_classifier_is_what_the_model_says(learned):
    run = tellapart.load(learned)
    data = FewLabels.load(run.config, 8, Run.open(learned))
    with torch.no_grad():
        logits = run.model.classify(data.test.pictures)
    accuracy = (logits.argmax(dim=1) == data.test.labels).double().mean().item()
    assert accuracy == run.results.rows[3][1]
    assert torch.nn.functional.cross_entropy(logits.double(), data.test.labels).item() == run.results.rows[3][3]


def test_other_data_are_told_by_the_names_of_their_labels(capsys, tmp_path):
    folders = {"first": ("bar", "circle", "dot"), "other": ("circle", "dot"), "new": ("bar", "square")}
    for folder, classes in folders.items():
        for shape in classes:
            (tmp_path / folder / shape).mkdir(parents=True)
            for colour in ("red", "green", "blue", "orange", "purple", "black"):
                draw(colour, shape).save(tmp_path / folder / shape / f"{colour}.png")
    words = harmony_arguments(data=tmp_path / "first", epochs=1, batch_size=8, held_out=0.5, labels_per_class=2)
    assert say(capsys, "train", "harmony", "--run", tmp_path / "run", *words)[0] == 0
    before = (tmp_path / "run" / "results.json").read_bytes()
    code, _, err = say(capsys, "evaluate", tmp_path / "run", "--data", tmp_path / "other")
    assert code == 0, err
    made, run = tellapart.load(tmp_path / "run").config, Run.open(tmp_path / "run")
    assert set(FewLabels.load(made, 2, run, str(tmp_path / "other")).test.labels.tolist()) <= {1, 2}
    assert (tmp_path / "run" / "results.json").read_bytes() == before
    said = fails(capsys, "evaluate", tmp_path / "run", "--data", tmp_path / "new")
    assert "training has no pictures of the label square" in said


def test_with_weight_0_or_one_loss_after_the_other_the_log_has_what_was_minimised(capsys, tmp_path):
    data = write_patterns(tmp_path, n=80)
    for name, options in (("alone", {"weight": 0}), ("first", {"contrastive_first": 0.5})):
        words = harmony_arguments(data=data, epochs=2, **options)
        code, _, err = say(capsys, "train", "harmony", "--run", tmp_path / name, *words)
        assert code == 0, err
    alone, first = (read_log(tmp_path / name) for name in ("alone", "first"))
    assert not any("loss" in entry for entry in alone)
    assert all("loss_supervised" in entry for entry in alone)
    assert ["loss" in entry for entry in first] == [True, True, True, False, False, False]
    assert "loss_supervised" in first[-1]


@pytest.mark.parametrize(("option", "value"), [("trainer.precision", "bf16-mixed"), ("chunk", 9), ("dim", 0)])
def test_other_precisions_chunks_and_heads_train_and_are_measured(capsys, tmp_path, option, value):
    words = harmony_arguments(data=write_patterns(tmp_path, n=48), epochs=1, **{option: value})
    code, trained_out, err = say(capsys, "train", "harmony", "--run", tmp_path / "run", *words)
    assert code == 0, err
    assert trained_out.startswith(say(capsys, "evaluate", tmp_path / "run")[1])
    assert all("gradient_cosine" in entry for entry in read_log(tmp_path / "run"))


def test_killed_and_resumed_it_ends_in_the_same_weights(tmp_path):
    words = harmony_arguments(data=write_patterns(tmp_path), **{"epochs": 6, "trainer.checkpoint_every": 7})
    whole, killed = whole_and_killed(tmp_path, "harmony", words, step=20)
    assert_same_end(killed, whole)
    assert "classifier.weight" in load_file(killed / "weights.safetensors")


def test_two_devices_train_together_and_the_first_measures_alone(tmp_path):
    options = {"trainer.devices": 2, "epochs": 2, "batch_size": 12}
    train_on_two(tmp_path / "run", "harmony", harmony_arguments(data=write_patterns(tmp_path), **options))
    assert {entry["n_candidates"] for entry in read_log(tmp_path / "run")} == {47}
    assert tellapart.load(tmp_path / "run").evaluate().as_dict() == read_results(tmp_path / "run")


def test_mistakes_end_with_code_2_and_one_line(capsys, tmp_path):
    data, unlabelled = write_patterns(tmp_path, n=40), write_patterns(tmp_path / "u", n=40, labelled=False)
    shown, labels = patterns(40)
    np.savez(tmp_path / "new.npz", x_train=shown, y_train=labels % 2, x_test=shown, y_test=labels)
    for options, message in (
        ({"data": unlabelled}, "needs pictures of two or more labels. Put the pictures of each class into a subfolder"),
        ({"data": tmp_path / "new.npz"}, "training has no pictures of the label 2"),
        ({"rule": "mean"}, "rule"),
        ({"labels_per_class": 0}, "`labels_per_class` must be at least 1. Got 0."),
        ({"weight": 0, "contrastive_first": 0.5}, "`contrastive_first` must be 0 if the weight is 0. Got 0.5."),
    ):
        words = harmony_arguments(**{"data": data} | options)
        assert message in fails(capsys, "train", "harmony", "--run", tmp_path / "run", *words), options
    assert main(["train", "harmony", "--run", str(tmp_path / "run"), *harmony_arguments(data=data, epochs=1)]) == 0
    capsys.readouterr()
    said = fails(capsys, "train", "harmony", "--run", tmp_path / "run", "--resume", "--rule=gate")
    assert "cannot resume with other options (rule was pcgrad, now gate)" in said
    with pytest.raises(InputError, match="harmony cannot sample"):
        tellapart.load(tmp_path / "run").sample()
    assert read_results(tmp_path / "run")["header"][1] == "accuracy"


def test_the_best_weights_are_those_of_the_least_loss_of_classes(tmp_path):
    made, run = begun(tmp_path, write_patterns(tmp_path, 60))
    data = FewLabels.load(made, 4, run)
    model = Harmony(made, FORM, 3).eval()
    step = TwoLossStep(model, supervised, "supervised", contrastive, 1.0, "sum", made, prepare=lambda _, batch: batch)
    held_out = step.held_out(len(data.test), data.unseen)
    batch = data.unseen(torch.tensor([3, 1, 7]))
    assert batch.labelled.names == batch.pictures.names == [data.test.names[i] for i in (3, 1, 7)]
    with torch.no_grad():
        torch.manual_seed(0)
        found = held_out.measure(batch)
        torch.manual_seed(0)
        assert found["loss"] == contrastive(model, batch).loss()
        assert found["objective"] == supervised(model, batch)
