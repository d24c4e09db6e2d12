"""Whether an embedding reveals the batch in which it was encoded."""

import pytest
import torch
from torch import nn

from tellapart.diagnostics import batch_leakage
from tellapart.distributed import SharedBatchNorm, share_batch_norm

GROUPS = torch.arange(60) % 3


def pictures(n=60):
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(0))


def test_rows_encoded_one_by_one_do_not_move_and_tell_nothing():
    # Eighths, so that sums are exact: a kernel may add a row up in another order where it stands elsewhere.
    linear = nn.Linear(6, 4)
    linear.load_state_dict({name: (8 * value).round() / 8 for name, value in linear.state_dict().items()})
    leakage = batch_leakage(linear, (8 * pictures()).round() / 8, GROUPS)
    assert leakage.moved == 0.0
    assert leakage.chance == pytest.approx(1 / 3)
    assert leakage.named < 0.6


def test_an_encoder_that_marks_its_batch_is_found_out():
    """It adds what is peculiar to the batch: every embedding names its neighbours."""
    marks = iter(torch.eye(3).repeat(5, 1))
    leakage = batch_leakage(lambda part: torch.cat([part, 9 * next(marks).expand(len(part), 3)], 1), pictures(), GROUPS)
    assert leakage.named == 1.0
    assert leakage.moved > 0.5


def test_batch_norm_moves_embeddings_in_training_and_not_in_evaluation():
    norm = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4))
    assert batch_leakage(norm, pictures(), GROUPS).moved > 0.05
    # The same but for rounding, which differs with a row's place in the batch on some processors.
    assert batch_leakage(norm.eval(), pictures(), GROUPS).moved < 1e-6


def test_it_is_a_function_of_its_seed():
    norm = nn.BatchNorm1d(6)
    assert batch_leakage(norm, pictures(), GROUPS, seed=3) == batch_leakage(norm, pictures(), GROUPS, seed=3)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (torch.zeros(60, dtype=torch.long), r"`groups` must be at least 2, of at least 2 examples each. Got \[60\]"),
        (torch.tensor([0] * 59 + [1]), r"of at least 2 examples each. Got \[59, 1\]"),
        (GROUPS[:5], r"`groups` must have one entry per example, \(60,\). Got \(5,\)"),
    ],
)
def test_groups_that_cannot_be_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        batch_leakage(nn.Identity(), pictures(), groups)


def test_alone_a_shared_batch_norm_is_the_usual_one_and_keeps_weights_and_mode():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sequential(nn.BatchNorm2d(4, affine=False)))
    x = torch.randn(5, 3, 2, 2)
    model(x)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    shared = share_batch_norm(model.eval())
    assert [type(m) for m in shared.modules()].count(SharedBatchNorm) == 2
    assert not any(m.training for m in shared.modules())
    torch.testing.assert_close(shared.state_dict(), state)


def test_a_batch_norm_of_no_batch_is_refused():
    with pytest.raises(ValueError, match="`input` must have at least 2 dimensions"):
        SharedBatchNorm(3)(torch.ones(3))
