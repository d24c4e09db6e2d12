"""A step may have several optimizers or none, and is trained, logged, stopped and continued like any other."""

import os
import signal

import pytest
import torch
from safetensors.torch import load_file

from tellapart import InputError
from tellapart.training import Interrupted
from tests.forked import Forked, on_devices
from tests.killed import Killed, finish, killed_before
from tests.training.test_resume import without_times
from tests.training.toys import ROWS, ByHand, InTurn, Players, train

STEPS = [InTurn, ByHand]
N_STEPS = 20


def stop_at(number, how):
    def before(loop):
        if loop.step == number:
            how()

    return before


def ask_to_stop():
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope="module", params=STEPS)
def whole(request, tmp_path_factory):
    """The kind of a step, and a run that was not interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(request.param(), folder)
    return request.param, folder


def assert_same_end(folder, whole):
    assert (folder / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
    assert without_times(folder) == without_times(whole)


def test_what_it_changes_is_saved(whole):
    kind, folder = whole
    before = kind().model.state_dict()
    after = load_file(folder / "weights.safetensors")
    assert set(after) == set(before)
    assert all(not torch.equal(after[name], before[name]) for name in before)


def test_the_log_says_what_it_returns_and_the_gradients_length_where_there_are_gradients(whole):
    kind, folder = whole
    log = without_times(folder)
    assert [entry["step"] for entry in log] == list(range(1, N_STEPS + 1))
    if kind is ByHand:
        assert [set(entry) for entry in log] == [{"distance", "share", "step"}] * N_STEPS
        assert log[-1]["share"] == 1
        assert log[-1]["distance"] < log[0]["distance"]
    else:
        assert all({"loss_judge", "loss_maker", "learning_rate"} <= set(entry) for entry in log)
        assert [entry["step"] for entry in log if "gradient_norm" in entry] == [1, N_STEPS]


def test_stopped_and_continued_it_ends_bit_for_bit_as_one_never_stopped(whole, tmp_path):
    kind, uninterrupted = whole
    with pytest.raises(Interrupted, match="stopped after step 7 of 20, all of it saved"):
        train(kind(), tmp_path / "run", stop_at(7, ask_to_stop))
    assert not (tmp_path / "run" / "weights.safetensors").exists()
    train(kind(), tmp_path / "run")
    assert_same_end(tmp_path / "run", uninterrupted)


def test_killed_between_two_checkpoints_and_continued_it_ends_the_same(whole, tmp_path):
    kind, uninterrupted = whole
    with killed_before(11), pytest.raises(Killed):
        train(kind(), tmp_path / "run")
    assert len(without_times(tmp_path / "run")) == 10  # of which the checkpoint holds 8
    train(kind(), tmp_path / "run")
    assert_same_end(tmp_path / "run", uninterrupted)


def test_a_run_that_is_trained_is_left_as_it_is(whole):
    kind, folder = whole
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    train(kind(), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_each_optimizer_moves_its_own_weights_by_its_own_loss(tmp_path):
    """The first step of both, by hand."""
    step = InTurn(noise=0.0)
    train(step, tmp_path / "run", epochs=1, batch_size=32)
    by_hand = Players()
    judge = torch.optim.Adam(by_hand.judge.parameters(), lr=0.01)
    made = by_hand.maker(ROWS).detach()
    ((by_hand.judge(ROWS) - 1).square().mean() + by_hand.judge(made).square().mean()).backward()
    judge.step()
    maker = torch.optim.SGD(by_hand.maker.parameters(), lr=0.1)
    (by_hand.judge(by_hand.maker(ROWS)) - 1).square().mean().backward()
    maker.step()
    for name, value in by_hand.named_parameters():
        torch.testing.assert_close(step.model.get_parameter(name), value, msg=name)


def test_two_optimizers_on_two_devices_take_the_steps_of_one_with_all_rows(tmp_path):
    for devices in (1, 2):
        run = tmp_path / str(devices)
        words = [str(run), str(devices)]
        code, _, err = finish(Forked("tests.training.toys", words, before=on_devices(run, devices)))
        assert code == 0, err
    one, two = (load_file(tmp_path / str(devices) / "weights.safetensors") for devices in (1, 2))
    for name in ("maker.weight", "maker.bias", "judge.weight", "judge.bias"):
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-5)
    logs = [without_times(tmp_path / str(devices)) for devices in (1, 2)]
    assert [e["loss_judge"] for e in logs[0]] == pytest.approx([e["loss_judge"] for e in logs[1]], rel=1e-4)


def test_several_devices_need_an_optimizer_whose_gradients_they_share(tmp_path):
    with pytest.raises(InputError, match=r"`trainer.devices` must be 1: .* no optimizer"):
        train(ByHand(), tmp_path / "run", devices=2)


def test_a_checkpoint_of_another_number_of_optimizers_is_named(tmp_path):
    class Alone(InTurn):
        def optimizers(self, n_steps):
            return super().optimizers(n_steps)[:1]

    with killed_before(6), pytest.raises(Killed):
        train(InTurn(), tmp_path / "run")
    with pytest.raises(InputError, match=r"checkpoint.ckpt: of another model"):
        train(Alone(), tmp_path / "run")


def test_a_loss_that_is_not_finite_ends_the_run_whatever_its_name(tmp_path):
    class Breaking(ByHand):
        def __call__(self, _, loop):
            return {"loss_of_mine": float("nan") if loop.step == 3 else 1.0}

    with pytest.raises(InputError, match="step 3: the loss_of_mine became nan"):
        train(Breaking(), tmp_path / "run", checkpoint_every=1)
    assert len(without_times(tmp_path / "run")) == 2


def test_the_device_decides_over_batch_norm_before_the_first_step(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("tellapart.training.loop.fused_batch_norm", lambda model, device: asked.append((model, device)))
    step = InTurn()
    train(step, tmp_path / "run", before=lambda _: asked.append("step"), epochs=1)
    assert asked[0] == (step.model, torch.device("cpu"))
    assert "step" in asked[1:]
