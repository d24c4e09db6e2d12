"""T7: the best score is a log density ratio, up to c(x); a critic that learns from pairs finds it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart import dense, info_nce
from tellapart.theory import random_table
from tellapart.theory.curves import PROBLEMS, learned_against_true
from tests.theory.families import expected_loss, generators, temperatures


@given(st.integers(1, 3), st.integers(2, 3), st.integers(1, 3), generators, temperatures)
def test_t7_the_log_ratio_plus_any_c_of_x_is_the_best_score_whatever_the_number_of_negatives(n, m, k, generator, tau):
    """Over all batches of a small table: no gradient there, the same loss for every c, and more loss elsewhere."""
    table = random_table(n, m, generator)
    c, other = (torch.randn(n, size, generator=generator, dtype=torch.float64) for size in (1, m))
    best = ((table.log_ratios + c) * tau).requires_grad_()
    loss = expected_loss(table, best, k, tau)
    (gradient,) = torch.autograd.grad(loss, best)
    assert (tau * gradient).abs().max() < 1e-12
    torch.testing.assert_close(loss, expected_loss(table, tau * table.log_ratios, k, tau))
    assert loss <= expected_loss(table, (table.log_ratios + other) * tau, k, tau) + 1e-12


@given(st.integers(1, 6), st.integers(2, 6), generators)
def test_t7_against_all_of_q_the_least_loss_is_what_x_leaves_open_of_y(n, m, generator):
    """With every y as a candidate, weighed by q, the loss at the log ratio is the entropy H(y|x), and its least."""
    table = random_table(n, m, generator)
    conditional = table.joint / table.joint.sum(1, keepdim=True)
    scores = (table.log_ratios + torch.linspace(-5, 5, n)[:, None]).requires_grad_()
    keys, options = torch.eye(m, dtype=torch.float64), {"score": "dot", "temperature": 1.0, "reduction": "none"}
    losses = info_nce(scores, keys, positives=dense(conditional), key_bias=table.log_q, **options)
    torch.testing.assert_close(losses, torch.special.entr(conditional).sum(1))
    (gradient,) = torch.autograd.grad(losses.sum(), scores)
    assert gradient.abs().max() < 1e-12


@pytest.mark.parametrize(("problem", "steps"), [*zip(PROBLEMS, (200, 300, 800), strict=True)])
def test_t7_a_critic_learns_the_log_ratio_from_pairs_alone(problem, steps):
    """Correlation with the closed form of at least 0.98 among unseen pairs, c(x) taken away."""
    curve = learned_against_true(problem, steps=steps)
    assert curve.numbers["correlation"] >= 0.98
    pairs, strangers, diagonal = curve.lines
    assert len(pairs.x) == len(strangers.y) == 1000
    assert diagonal.x == diagonal.y


def test_t7_training_leaves_the_random_numbers_of_others_alone():
    before = torch.get_rng_state()
    again = [learned_against_true(PROBLEMS[0], steps=2, n_points=5).lines for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), before)
    assert again[0] == again[1]
