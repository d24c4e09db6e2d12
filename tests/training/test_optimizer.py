"""The optimizer that takes sparse gradients, beside those of torch."""

import copy

import pytest
import torch

from tellapart.training.optimizer import LazyAdamW


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
