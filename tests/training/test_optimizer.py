"""The optimizer that takes sparse gradients, beside those of torch."""

import copy
import math

import pytest
import torch

from tellapart import InputError
from tellapart.runs import Run
from tellapart.training.optimizer import LazyAdamW, clip, rate
from tellapart.training.panel import gradient_norm
from tests.killed import Killed, killed_before
from tests.training.learning import learn
from tests.training.toys import ByHand, Players, train


def gradients(steps=7):
    torch.manual_seed(0)
    return [(torch.randint(0, 12, (5,)), torch.randn(5, 3), torch.randn(4)) for _ in range(steps)]


def take(optimizer, table, dense, rows, values, slope):
    table.grad = torch.sparse_coo_tensor(rows[None], values, table.shape, check_invariants=False)
    dense.grad = slope
    optimizer.step()


def pair():
    torch.manual_seed(1)
    return [torch.nn.Parameter(torch.randn(shape, dtype=torch.float64)) for shape in ((12, 3), (4,))]


def test_sparse_gradients_are_followed_as_by_sparse_adam_and_dense_ones_as_by_adamw():
    ours, theirs = pair(), pair()
    lazy = LazyAdamW(ours, lr=0.1, weight_decay=0.2)
    split = torch.optim.SparseAdam(theirs[:1], lr=0.1), torch.optim.AdamW(theirs[1:], lr=0.1, weight_decay=0.2)
    for rows, values, slope in gradients():
        take(lazy, *ours, rows, values.double(), slope.double())
        theirs[0].grad = torch.sparse_coo_tensor(rows[None], values.double(), (12, 3), check_invariants=False)
        theirs[1].grad = slope.double()
        for optimizer in split:
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


def test_without_sparse_gradients_it_is_adamw():
    ours, theirs = pair(), pair()
    both = LazyAdamW(ours, lr=0.1, weight_decay=0.2), torch.optim.AdamW(theirs, lr=0.1, weight_decay=0.2)
    for _ in range(3):
        for parameters, optimizer in zip((ours, theirs), both, strict=True):
            optimizer.zero_grad()
            sum((p**3).sum() for p in parameters).backward()
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("after", [1, 4])
def test_its_state_can_be_saved_and_loaded_at_any_step(after):
    whole, broken = pair(), pair()
    optimizer, resumed = LazyAdamW(whole, lr=0.1), LazyAdamW(broken, lr=0.1)
    for step, gradient in enumerate(gradients()):
        take(optimizer, *whole, *(gradient[0], gradient[1].double(), gradient[2].double()))
        take(resumed, *broken, *(gradient[0], gradient[1].double(), gradient[2].double()))
        if step == after:
            state, resumed = copy.deepcopy(resumed.state_dict()), LazyAdamW(broken, lr=0.1)
            resumed.load_state_dict(state)
    assert all(torch.equal(a, b) for a, b in zip(whole, broken, strict=True))


def test_the_usual_schedule_is_the_cosine_after_a_twentieth_and_others_are_as_they_are_named():
    n = 40
    usual = [min(1.0, (step + 1) / 2) * (1 + math.cos(math.pi * step / n)) / 2 for step in range(n)]
    assert [rate(step, n) for step in range(n)] == usual
    rise = [min(1.0, (step + 1) / 10) for step in range(n)]
    assert [rate(step, n, "constant", 0.25) for step in range(n)] == rise
    falling = [r * (1 - step / n) for step, r in enumerate(rise)]
    assert [rate(step, n, "linear", 0.25) for step in range(n)] == falling
    assert rate(0, n, "constant", 0.0) == 1


@pytest.mark.parametrize(("shape", "warm_up"), [("cosine", 0.05), ("linear", 0.05), ("constant", 0.4), ("cosine", 0.0)])
def test_a_training_follows_the_schedule_that_is_asked_for(tmp_path, shape, warm_up):
    learn(tmp_path / "run", schedule=shape, warm_up=warm_up, rate=0.01)
    found = [entry["learning_rate"] for entry in Run(tmp_path / "run").log()]
    # The log tells the step size after the step.
    assert found == pytest.approx([0.01 * rate(step, len(found), shape, warm_up) for step in range(1, len(found) + 1)])


def test_the_defaults_are_asked_for_by_their_names_and_change_no_bit(tmp_path):
    learn(tmp_path / "plain")
    learn(tmp_path / "named", schedule="cosine", warm_up=0.05, clip_gradient=0.0)
    plain, named = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("plain", "named"))
    assert plain == named


def test_another_schedule_is_continued_bit_for_bit(tmp_path):
    options = {"schedule": "linear", "warm_up": 0.3, "clip_gradient": 0.5}
    learn(tmp_path / "whole", **options)
    with killed_before(7), pytest.raises(Killed):
        learn(tmp_path / "run", **options)
    learn(tmp_path / "run", **options)
    whole, run = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "run"))
    assert whole == run


def test_a_gradient_longer_than_the_limit_is_shortened_and_another_is_not():
    for sparse in (False, True):
        weight = torch.nn.Parameter(torch.zeros(4, 2))
        weight.grad = torch.tensor([[3.0, 0.0], [0.0, 0.0], [0.0, 4.0], [0.0, 0.0]])
        weight.grad = weight.grad.to_sparse(1) if sparse else weight.grad
        clip([weight], 10.0, torch.tensor(5.0))
        assert gradient_norm([weight]).item() == pytest.approx(5)
        clip([weight], 1.0, torch.tensor(5.0))
        assert weight.grad.to_dense()[[0, 2], [0, 1]].tolist() == pytest.approx([0.6, 0.8])


def test_a_training_clips_before_its_step_and_logs_the_length_before(tmp_path):
    """With plain gradient descent a step is as long as the gradient that it takes, times the step size."""
    moved, before = [], {}

    def watch(step):
        def between(_):
            now = {name: value.detach().clone() for name, value in step.model.judge.named_parameters()}
            if before:
                moved.append(math.sqrt(sum(float((now[name] - before[name]).square().sum()) for name in now)))
            before.update(now)

        return between

    step = Descent()
    run = train(step, tmp_path / "run", watch(step), clip_gradient=0.01)
    assert max(moved) <= 0.5 * 0.01 * (1 + 1e-5)
    assert run.log()[0]["gradient_norm"] > 0.01


@pytest.mark.parametrize(("option", "value"), [("schedule", "linear"), ("warm_up", 0.5), ("clip_gradient", 1.0)])
def test_a_step_without_an_optimizer_refuses_its_options(tmp_path, option, value):
    with pytest.raises(InputError, match=f"`trainer.{option}` must be .*: this system has no optimizer"):
        train(ByHand(), tmp_path / "run", **{option: value})


class Descent:
    """The judge alone, by gradient descent."""

    def __init__(self):
        self.model = Players()

    def optimizers(self, _):
        return [(torch.optim.SGD(self.model.judge.parameters(), lr=0.5), None)]

    def __call__(self, batch, loop):
        loop.minimise(loss := (self.model.judge(batch.values) - 5).square().mean())
        return {"loss": loss.detach()}
