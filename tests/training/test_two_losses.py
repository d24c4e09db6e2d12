"""A step along two gradients: what it follows, on how many devices and in which precision, and what its log says.

As a script it trains on devices: python -m tests.training.test_two_losses FOLDER DEVICES
"""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tellapart import info_nce_terms
from tellapart.diagnostics import gradient_products
from tellapart.distributed import world
from tellapart.runs import Run
from tellapart.training import Batches, TrainerOptions, TrainingOptions, TwoLossStep, fit
from tests.forked import Forked, on_devices
from tests.killed import Killed, finish, killed_before
from tests.training.test_resume import without_times
from tests.training.toys import ROWS, Rows

OPTIONS = TrainingOptions("", learning_rate=0.05, weight_decay=0.0)
TARGETS = torch.randn(4, 1, generator=torch.Generator().manual_seed(5))


class Model(nn.Module):
    """An encoder that both losses move, and a head of each."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.regression, self.projection = nn.Linear(4, 6), nn.Linear(6, 1), nn.Linear(6, 3)


def squares(model, batch):
    rows = batch.values.to(model.encoder.weight.dtype)
    return (model.regression(model.encoder(rows)) - rows @ TARGETS.to(rows.dtype)).square().mean()


def views(model, batch):
    """Each row is to find its mirror image, which the regression must tell apart from it."""
    rows = batch.values.to(model.encoder.weight.dtype)
    sides = (model.projection(model.encoder(sign * rows)) for sign in (1, -1))
    return info_nce_terms(*sides, temperature=0.5, symmetric=True, group=world())


def step_of(rule="pcgrad", weight=0.5, model=None, **more):
    return TwoLossStep(
        model or Model(), squares, "squares", views, weight, rule, OPTIONS, lambda _, batch: batch, **more
    )


def train(step, folder, devices=1, precision="32-true", epochs=5, batch_size=8):
    run = Run(Path(folder))
    if not run.exists():
        run.begin("toy", {})
    options = TrainerOptions("cpu", devices, precision, checkpoint_every=4)
    fit(step, Batches(32, batch_size, epochs, seed=3), lambda rows: Rows(ROWS[rows]), run, options)
    return without_times(run.folder)


def weights(folder):
    return load_file(folder / "weights.safetensors")


class Summed:
    """The sum of both losses, minimised in the usual way."""

    def __init__(self):
        self.model = Model()
        self.optimizers = step_of(model=self.model).optimizers

    def __call__(self, batch, loop):
        loop.minimise(squares(self.model, batch) + 0.5 * views(self.model, batch).loss())
        return {}


def test_the_rule_sum_takes_the_steps_of_the_sum_of_the_losses(tmp_path):
    train(step_of("sum"), tmp_path / "combined")
    train(Summed(), tmp_path / "summed")
    found, wanted = weights(tmp_path / "combined"), weights(tmp_path / "summed")
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-4, atol=1e-5)


def test_rules_lead_to_different_weights(tmp_path):
    ends = {}
    for rule in ("sum", "pcgrad", "gate"):
        log = train(step_of(rule), tmp_path / rule)
        assert 0 < sum(entry["gradient_conflict"] for entry in log) < len(log)
        ends[rule] = weights(tmp_path / rule)["encoder.weight"]
    assert not torch.allclose(ends["sum"], ends["pcgrad"], atol=1e-3)
    assert not torch.allclose(ends["gate"], ends["pcgrad"], atol=1e-3)


def test_the_log_has_both_losses_and_at_every_step_what_their_gradients_have_to_do_with_each_other(tmp_path):
    log = train(step_of(), tmp_path / "run", epochs=1, batch_size=32)
    model, batch = Model(), Rows(ROWS)
    main, other = squares(model, batch), views(model, batch).loss()
    products = gradient_products(main, 0.5 * other, list(model.parameters()))
    assert log[0]["loss"] == pytest.approx(other.item(), rel=1e-4)
    assert log[0]["loss_squares"] == pytest.approx(main.item(), rel=1e-4)
    assert log[0]["gradient_cosine"] == pytest.approx(products.cosine().item(), rel=1e-3)
    assert log[0]["gradient_ratio"] == pytest.approx(products.ratio().item(), rel=1e-3)
    assert log[0]["gradient_conflict"] == float(products.ab < 0)
    assert {"n_candidates", "mi_bound", "effective_rank", "gradient_norm"} <= set(log[0])


def test_two_devices_combine_their_mean_gradients_once(tmp_path):
    """The steps are those of one device with all rows; directions combined by each device would have another mean."""
    train(step_of(), tmp_path / "1")
    run = tmp_path / "2"
    code, _, err = finish(Forked("tests.training.test_two_losses", [str(run)], before=on_devices(run, 2)))
    assert code == 0, err
    one, two = (weights(tmp_path / str(devices)) for devices in (1, 2))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-4, msg=name)
    logs = [without_times(tmp_path / str(devices)) for devices in (1, 2)]
    for name in ("loss", "loss_squares", "gradient_cosine", "gradient_ratio"):
        assert [e[name] for e in logs[0]] == pytest.approx([e[name] for e in logs[1]], rel=1e-3, abs=1e-3), name


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed", "bf16-true"])
def test_every_precision_reduces_both_losses(tmp_path, precision):
    log = train(step_of(), tmp_path / "run", precision=precision, epochs=20)
    for name in ("loss", "loss_squares"):
        assert sum(e[name] for e in log[-4:]) < 0.9 * sum(e[name] for e in log[:4]), name


def test_killed_between_two_checkpoints_and_continued_it_ends_bit_for_bit_the_same(tmp_path):
    whole = train(step_of(), tmp_path / "whole")
    with killed_before(11), pytest.raises(Killed):
        train(step_of(), tmp_path / "run")
    assert train(step_of(), tmp_path / "run") == whole
    files = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("run", "whole")]
    assert files[0] == files[1]


def test_infonce_first_minimises_one_loss_and_then_the_other(tmp_path):
    log = train(step_of(infonce_first=0.5), tmp_path / "run")
    assert ["loss" in entry for entry in log] == [True] * 10 + [False] * 10
    assert ["loss_squares" in entry for entry in log] == [False] * 10 + [True] * 10
    assert not any("gradient_cosine" in entry for entry in log)


def test_with_weight_0_the_infonce_objective_is_not_computed(tmp_path):
    def refused(*_):
        raise AssertionError

    step = TwoLossStep(Model(), squares, "squares", refused, 0.0, "pcgrad", OPTIONS, lambda _, batch: batch)
    log = train(step, tmp_path / "run")
    assert "loss" not in log[-1]
    assert log[-1]["loss_squares"] < log[0]["loss_squares"]
    kept = Model().state_dict()["projection.weight"]
    assert torch.equal(weights(tmp_path / "run")["projection.weight"], kept)


def test_a_sparse_gradient_is_refused(tmp_path):
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.EmbeddingBag(9, 2, sparse=True)

    class Sparse:
        def __init__(self):
            self.model = Table()
            self.optimizers = step_of(model=self.model).optimizers

        def __call__(self, _, loop):
            loop.gradients(self.model.table(torch.zeros(1, 1, dtype=torch.long)).sum())

    with pytest.raises(ValueError, match="`loss` must have dense gradients"):
        train(Sparse(), tmp_path / "run")


if __name__ == "__main__":
    train(step_of(), sys.argv[1], devices=2, batch_size=4)
