"""What is measured on held-out rows: the objective by its formula, without a trace in training; the best weights."""

import logging
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tellapart import InputError
from tellapart.runs import Run
from tellapart.training import HeldOut, TrainerOptions, begin, best_of, told, validation
from tellapart.training.held_out import is_better
from tests.forked import Forked, on_devices
from tests.killed import Killed, finish, killed_before
from tests.training.learning import BATCH, NOISE, TEMPERATURE, UNSEEN, Net, learn
from tests.training.test_resume import without_times
from tests.training.toys import ByHand, InTurn, train

N_STEPS = 15
# So large a step size that the loss on held-out rows rises before the end.
TOO_FAST = {"rate": 1.0, "epochs": 8, "best_by": "loss"}


def trained_part(log):
    return [{name: value for name, value in entry.items() if not name.startswith("held_out")} for entry in log]


def measured(log):
    return [entry for entry in log if "held_out_loss" in entry]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain") / "run"
    learn(folder)
    return folder


def test_it_is_measured_every_so_many_steps_and_at_the_last(plain, tmp_path):
    learn(tmp_path / "run", validate_every=4)
    assert [entry["step"] for entry in measured(without_times(tmp_path / "run"))] == [4, 8, 12, N_STEPS]
    assert [entry["step"] for entry in measured(without_times(plain))] == [N_STEPS]


def test_the_training_is_the_same_bit_for_bit_with_it_and_without(plain, tmp_path, monkeypatch):
    monkeypatch.setattr(validation, "is_better", lambda *_: True)  # the best weights are the last
    learn(tmp_path / "run", validate_every=1)
    assert (tmp_path / "run" / "weights.safetensors").read_bytes() == (plain / "weights.safetensors").read_bytes()
    assert trained_part(without_times(tmp_path / "run")) == trained_part(without_times(plain))


def by_formula(weights):
    """Loss and accuracy of held-out rows: the first 8 and the last 8 of 12, with the noise of the seed."""
    model = Net()
    model.load_state_dict(weights)
    model.eval()
    order = torch.from_numpy(np.random.default_rng(3).permutation(len(UNSEEN)))
    losses, hits = [], []
    for number, rows in enumerate((order[:BATCH], order[-BATCH:])):
        sequence = np.random.SeedSequence([3, 2**32 + number, 0])
        generator = torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
        batch = UNSEEN[rows]
        with torch.no_grad():
            scores = model(batch + NOISE * torch.randn(batch.shape, generator=generator)) @ model(batch).T / TEMPERATURE
        losses.append(torch.nn.functional.cross_entropy(scores, torch.arange(BATCH)))
        hits.append((scores.argmax(dim=1) == torch.arange(BATCH)).double().mean())
    return torch.stack(losses).mean().item(), torch.stack(hits).mean().item()


def test_the_best_weights_are_kept_and_have_the_best_loss_by_the_formula(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    learn(tmp_path / "run", validate_every=1, **TOO_FAST)
    log = without_times(tmp_path / "run")
    best = best_of(log, "loss")
    assert best["loss"] == min(entry["held_out_loss"] for entry in log)
    assert best["step"] < len(log)
    assert best["n_candidates"] == BATCH
    loss, accuracy = by_formula(load_file(tmp_path / "run" / "weights.safetensors"))
    assert best["loss"] == pytest.approx(loss, rel=1e-5)
    assert best["accuracy"] == pytest.approx(accuracy)
    assert f"Best held-out loss {loss:.3f} at step {best['step']}; its weights are kept." in caplog.text


def test_patience_ends_the_training_after_so_many_measures_that_are_no_better(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    learn(tmp_path / "whole", validate_every=1, **TOO_FAST)
    learn(tmp_path / "run", validate_every=1, patience=3, **TOO_FAST)
    log, whole = without_times(tmp_path / "run"), without_times(tmp_path / "whole")
    losses = [entry["held_out_loss"] for entry in whole]
    last = next(n for n in range(4, len(losses)) if min(losses[: n - 3]) <= min(losses[n - 3 : n]))
    assert len(log) == last < len(whole)
    assert log == whole[:last]
    assert Run(tmp_path / "run").is_trained()
    said = f"Stopped after step {len(log)}: 3 measures on held-out rows were no better. Best held-out loss "
    assert said in caplog.text


@pytest.mark.parametrize("before_the_end", [0, 1, 2])
def test_killed_and_continued_it_keeps_the_same_weights_and_stops_at_the_same_step(tmp_path, before_the_end):
    """At which step patience ends so wild a training depends on the processor's rounding; never before the fourth."""
    options = {"validate_every": 1, "patience": 3, **TOO_FAST}
    learn(tmp_path / "whole", **options)
    with killed_before(len(Run(tmp_path / "whole").log()) - before_the_end), pytest.raises(Killed):
        learn(tmp_path / "run", **options)
    learn(tmp_path / "run", **options)
    assert without_times(tmp_path / "run") == without_times(tmp_path / "whole")
    assert_same_weights(tmp_path)


def test_killed_after_its_last_step_it_trains_no_further(tmp_path, monkeypatch):
    """Patience had ended it: the state is saved, and the best weights are not yet."""
    options = {"validate_every": 1, "patience": 3, **TOO_FAST}
    learn(tmp_path / "whole", **options)

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save_weights", killed)
        with pytest.raises(Killed):
            learn(tmp_path / "run", **options)
    learn(tmp_path / "run", **options)
    assert without_times(tmp_path / "run") == without_times(tmp_path / "whole")
    assert_same_weights(tmp_path)


def assert_same_weights(folder):
    one, other = ((folder / name / "weights.safetensors").read_bytes() for name in ("run", "whole"))
    assert one == other


def test_two_devices_measure_what_one_does(tmp_path):
    for devices in (1, 2):
        run = tmp_path / str(devices)
        words = [str(run), str(devices)]
        code, _, err = finish(Forked("tests.training.learning", words, before=on_devices(run, devices)))
        assert code == 0, err
    one, two = (measured(without_times(tmp_path / str(devices))) for devices in (1, 2))
    assert [entry["step"] for entry in one] == [entry["step"] for entry in two] == [2, 4, 6]
    for name in ("held_out_loss", "held_out_accuracy", "held_out_n_candidates"):
        assert [entry[name] for entry in one] == pytest.approx([entry[name] for entry in two], rel=1e-4)


@pytest.mark.parametrize("kind", [InTurn, ByHand])
def test_a_step_without_held_out_rows_refuses_to_be_measured(tmp_path, kind):
    with pytest.raises(
        InputError, match=r"`trainer\.validate_every` must be 0: this system does not compute its loss on"
    ):
        train(kind(), tmp_path / "run", validate_every=2)


def test_patience_needs_measures():
    with pytest.raises(InputError, match=r"`trainer\.patience` must be 0 without trainer\.validate_every"):
        TrainerOptions(patience=2)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("validate_every", -1), ("patience", -1), ("warm_up", 1.5), ("warm_up", -0.1), ("clip_gradient", -1.0)),
        *(("checkpoint_minutes", 0.0), ("checkpoint_minutes", math.nan), ("clip_gradient", math.nan)),
    ],
)
def test_options_out_of_range_are_refused_by_name(option, value):
    with pytest.raises(InputError, match=f"`trainer.{option}` must"):
        TrainerOptions(**{option: value})


def test_a_run_of_an_older_version_goes_on_with_the_defaults_and_with_nothing_else(tmp_path):
    from tellapart.training import TrainingOptions

    run, config = Run(tmp_path / "run"), TrainingOptions(data="")
    begin(run, "toy", config, TrainerOptions())
    options = run.options()
    for name in ("validate_every", "patience", "schedule"):
        del options["trainer"][name]
    run.begin("toy", options)
    run.log_file.touch()
    begin(run, "toy", config, TrainerOptions())
    with pytest.raises(InputError, match=r"trainer was .*'validate_every': 0.*, now .*'validate_every': 5"):
        begin(run, "toy", config, TrainerOptions(validate_every=5))


@pytest.mark.parametrize(("n", "size"), [(10, 4), (3, 8), (5000, 512), (2049, 2048), (9000, 3000)])
def test_each_row_is_measured_up_to_a_bound_in_batches_of_one_size_without_repeats_within(n, size):
    batches = HeldOut(n, list, dict).batches(size, seed=0)
    assert {len(rows) for rows in batches} == {min(n, size)}
    assert all(len(rows.unique()) == len(rows) for rows in batches)
    assert len(torch.cat(batches).unique()) >= min(n, 2048)
    again = HeldOut(n, list, dict).batches(size, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(batches, again, strict=True))


@pytest.mark.parametrize("by", ["accuracy", "loss"])
def test_a_measure_among_fewer_candidates_or_of_nan_is_never_better(by):
    best = {"loss": 2.0, "accuracy": 0.5, "n_candidates": 10.0}
    assert not is_better(best | {"loss": 0.1, "accuracy": 1.0, "n_candidates": 5.0}, best, by)
    assert is_better(best | {"loss": 9.0, "accuracy": 0.0, "n_candidates": 11.0}, best, by)
    assert not is_better(best | {"loss": math.nan, "accuracy": 1.0}, best, by)
    assert not is_better({"loss": math.nan}, None, by)
    assert is_better(best | {"loss": 1.9}, best, by)  # of the same accuracy
    assert not is_better(best, best, by)


def test_by_accuracy_the_weights_that_find_most_are_kept_though_others_have_less_loss(tmp_path):
    learn(tmp_path / "run", validate_every=1, **TOO_FAST | {"best_by": "accuracy"})
    log = without_times(tmp_path / "run")
    highest = max(entry["held_out_accuracy"] for entry in log)
    kept = min((e for e in log if e["held_out_accuracy"] == highest), key=lambda entry: entry["held_out_loss"])
    loss, accuracy = by_formula(load_file(tmp_path / "run" / "weights.safetensors"))
    assert (accuracy, loss) == pytest.approx((kept["held_out_accuracy"], kept["held_out_loss"]), rel=1e-5)
    assert loss > min(entry["held_out_loss"] for entry in log)


def test_a_checkpoint_is_written_when_the_last_is_long_ago(tmp_path):
    options = {"checkpoint_every": 1000, "checkpoint_minutes": 1e-9}
    with killed_before(6), pytest.raises(Killed):
        learn(tmp_path / "run", **options)
    kept = torch.load(tmp_path / "run" / "checkpoint.ckpt", weights_only=True)
    assert kept["steps_done"] == 5
    with killed_before(6), pytest.raises(Killed):
        learn(tmp_path / "other", checkpoint_every=1000)
    assert not (tmp_path / "other" / "checkpoint.ckpt").exists()


def test_what_a_measure_takes_is_told_apart_from_the_step(tmp_path):
    learn(tmp_path / "run", validate_every=5)
    log = Run(tmp_path / "run").log()
    assert [entry["step"] for entry in log if "seconds_validation" in entry] == [5, 10, 15]


@pytest.mark.parametrize(("n", "size"), [(10, 4), (3, 8), (5000, 512), (2049, 2048)])
def test_in_blocks_rows_of_a_batch_are_neighbours_and_reach_from_the_first_to_the_last(n, size):
    held_out = HeldOut(n, list, dict, in_blocks=True)
    batches = held_out.batches(size, seed=0)
    assert all(torch.equal(rows, rows[0] + torch.arange(min(n, size))) for rows in batches)
    assert batches[0][0] == 0
    assert batches[-1][-1] == n - 1 or len(batches) == 1
    if n <= 2048:
        assert len(torch.cat(batches).unique()) == n


def test_a_measure_may_take_smaller_batches_than_the_training():
    assert {len(rows) for rows in HeldOut(100, list, dict, at_once=16).batches(64, seed=0)} == {16}
    assert {len(rows) for rows in HeldOut(100, list, dict, at_once=16).batches(8, seed=0)} == {8}


def test_where_an_objective_is_measured_it_alone_says_what_is_best():
    best = {"loss": 2.0, "accuracy": 0.5, "objective": 1.0, "step": 7}
    for by in ("accuracy", "loss"):
        assert is_better(best | {"loss": 9.0, "accuracy": 0.1, "objective": 0.9}, best, by)
        assert not is_better(best | {"loss": 0.1, "accuracy": 0.9, "objective": 1.1}, best, by)
        assert not is_better(best | {"objective": math.nan}, None, by)
        assert told(best, by) == "Best held-out objective 1.000 at step 7; its weights are kept."
