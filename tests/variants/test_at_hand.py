"""Scores that are already at hand: against loops, against `info_nce` of the same scores, and bad input."""

import math
from itertools import combinations_with_replacement

import pytest
import torch

from tellapart import dense, info_nce, listed, same, variants

KINDS = ("first", "chosen", "soft")


def drawn(dtype=torch.float64):
    """Scores of 4 queries with 1 to 4 candidates, their mask, positives and weights."""
    rng = torch.Generator().manual_seed(0)
    scores = 2 * torch.randn(4, 4, generator=rng, dtype=torch.float64).to(dtype)
    candidates = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 1, 1], [1, 0, 0, 0]], dtype=torch.bool)
    weights = torch.rand(4, 4, generator=rng, dtype=torch.float64).to(dtype) * candidates
    return scores.requires_grad_(), candidates, torch.tensor([1, 0, 3, 0]), weights


def options_of(kind, positives, weights):
    return {"first": {}, "chosen": {"positives": positives}, "soft": {"targets": weights}}[kind]


def by_loops(scores, candidates, positives, weights, tau, margin):
    """One loss per query, in plain Python."""
    losses = []
    for i, row in enumerate(scores.tolist()):
        among = [j for j in range(len(row)) if candidates[i, j]]
        logits = {j: (row[j] - margin * (j == positives[i])) / tau for j in among}
        log_z = math.log(sum(math.exp(s) for s in logits.values()))
        total = sum(weights[i][j] for j in among)
        losses.append(log_z - sum(weights[i][j] / total * logits[j] for j in among))
    return losses


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("margin", [0.0, 0.7])
def test_it_is_the_cross_entropy_written_in_loops(kind, margin):
    scores, candidates, positives, weights = drawn()
    p = positives.tolist() if kind == "chosen" else [0] * 4
    w = weights.tolist() if kind == "soft" else [[float(j == p[i]) for j in range(4)] for i in range(4)]
    given = options_of(kind, positives, weights) | {"candidates": candidates, "temperature": 0.6, "margin": margin}
    expected = torch.tensor(by_loops(scores, candidates, p, w, 0.6, margin), dtype=torch.float64)
    torch.testing.assert_close(variants.of_scores(scores, reduction="none", **given), expected)
    torch.testing.assert_close(variants.of_scores(scores, **given), expected.mean())
    torch.testing.assert_close(variants.of_scores(scores, reduction="sum", **given), expected.sum())


@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_of_preferences_it_is_info_nce_of_one_dimensional_keys_in_value_and_gradient(beta):
    counts = torch.tensor([2, 4, 1, 3])
    prompt = torch.arange(4).repeat_interleave(counts)
    first = counts.cumsum(0) - counts
    rewards = torch.randn(10, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    mask = torch.arange(4) < counts[:, None]
    table = torch.zeros(4, 4, dtype=torch.float64).masked_scatter(mask, rewards)
    at_hand = variants.of_scores(table, candidates=mask, temperature=1 / beta)
    others = ~same(torch.arange(4), prompt)
    queries = torch.ones(4, 1, dtype=torch.float64)
    embedded = info_nce(
        queries, rewards[:, None], positives=listed(first), exclude=others, score="dot", temperature=1 / beta
    )
    torch.testing.assert_close(at_hand, embedded)
    torch.testing.assert_close(*(torch.autograd.grad(loss, rewards)[0] for loss in (at_hand, embedded)))


def test_of_soft_targets_it_is_info_nce_with_weights():
    scores, _, _, weights = drawn()
    weights = weights + 0.1
    queries = torch.eye(4, dtype=torch.float64)
    expected = info_nce(queries, scores.T, positives=dense(weights), score="dot", temperature=0.5)
    torch.testing.assert_close(variants.of_scores(scores, targets=weights, temperature=0.5), expected)


def test_with_one_negative_and_smoothing_it_is_conservative_dpo():
    gap = torch.randn(6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    scores = torch.stack([gap, torch.zeros_like(gap)], dim=1)
    targets = torch.tensor([0.9, 0.1], dtype=torch.float64).expand(6, 2)
    sigmoid = torch.nn.functional.logsigmoid
    expected = (-0.9 * sigmoid(0.3 * gap) - 0.1 * sigmoid(-0.3 * gap)).mean()
    torch.testing.assert_close(variants.of_scores(scores, targets=targets, temperature=1 / 0.3), expected)


@pytest.mark.parametrize("kind", [*KINDS, "order"])
def test_gradients_first_and_second_are_right_and_nothing_else_moves(kind):
    scores, candidates, positives, weights = drawn()
    tau = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)

    def loss(scores, tau):
        if kind == "order":
            return variants.plackett_luce(scores, candidates=candidates, temperature=tau)
        given = options_of(kind, positives, weights)
        return variants.of_scores(scores, candidates=candidates, temperature=tau, margin=0.3, **given)

    assert torch.autograd.gradcheck(loss, (scores, tau))
    assert torch.autograd.gradgradcheck(loss, (scores, tau))
    gradient = torch.autograd.grad(loss(scores, tau), scores)[0]
    assert (gradient[~candidates] == 0).all()


@pytest.mark.parametrize("kind", [*KINDS, "order"])
def test_what_is_no_candidate_may_be_nan_and_half_precision_is_computed_in_float32(kind):
    scores, candidates, positives, weights = drawn(torch.bfloat16)
    given = options_of(kind, positives, weights) if kind != "order" else {}
    loss = variants.plackett_luce if kind == "order" else variants.of_scores
    clean = loss(scores, candidates=candidates, **given)
    broken = scores.detach().masked_fill(~candidates, math.nan).requires_grad_()
    again = loss(broken, candidates=candidates, **given)
    assert clean.dtype == torch.float32
    assert again == clean
    assert torch.autograd.grad(again, broken)[0].isfinite().all()


def test_a_whole_order_is_a_ranking_with_one_candidate_at_each_level():
    scores, candidates, _, _ = drawn()
    queries = torch.eye(4, dtype=torch.float64)
    levels = [listed(torch.full((4,), j)) & dense(candidates) for j in range(4)]
    exclude = dense(~candidates)
    expected = variants.ranking(
        queries, scores.T, levels=levels, temperatures=[0.7] * 4, exclude=exclude, score="dot", reduction="none"
    )
    found = variants.plackett_luce(scores, candidates=candidates, temperature=0.7, reduction="none")
    torch.testing.assert_close(found, expected)


def test_with_two_candidates_order_and_choice_are_the_same():
    scores = torch.randn(5, 2, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(variants.plackett_luce(scores), variants.of_scores(scores))


def test_extreme_scores_give_finite_losses_and_gradients():
    scores = torch.tensor([[-1e4, 1e4, 0.0], [1e4, -1e4, 0.0]], requires_grad=True)
    for loss in (variants.of_scores(scores), variants.plackett_luce(scores)):
        assert loss.isfinite()
        assert torch.autograd.grad(loss, scores)[0].isfinite().all()


MASK = torch.tensor([[True, True], [True, False]])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"candidates": MASK.float()}, "`candidates` must be a boolean mask"),
        ({"candidates": MASK[:1]}, "`candidates` must be a boolean mask"),
        ({"candidates": MASK, "positives": torch.tensor([0, 1])}, "`positives` must be candidates .* row 1"),
        ({"positives": torch.tensor([0, 2])}, "`positives` must lie between 0 and 1"),
        ({"positives": torch.tensor([0.0, 1.0])}, "`positives` must be one column"),
        ({"targets": torch.tensor([[1.0, 0.0], [0.0, 0.0]])}, "`targets` must .* row 1"),
        ({"targets": torch.tensor([[1.0, -0.5], [1.0, 0.0]])}, "`targets` must .* row 0"),
        ({"targets": torch.ones(2, 2), "candidates": MASK}, "`targets` must .* row 1"),
        ({"temperature": 0.0}, "`temperature` must be positive"),
        ({"reduction": "max"}, "`reduction` must be one of"),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        variants.of_scores(torch.zeros(2, 2), **given)


def test_a_score_that_is_not_finite_and_a_query_without_candidates_are_refused():
    with pytest.raises(ValueError, match=r"`scores` must be finite\. Got nan in row 1"):
        variants.of_scores(torch.tensor([[0.0, 1.0], [math.nan, 0.0]]))
    with pytest.raises(ValueError, match=r"`candidates` must give each query a candidate\. Got none in row 1"):
        variants.plackett_luce(torch.zeros(2, 2), candidates=torch.tensor([[True, False], [False, False]]))


def exact_choice_loss(log_ratio, rewards, k, beta):
    """The expectation of the loss over k + 1 answers drawn alike, of which the better wins as its reward says.

    They are drawn uniformly; the optimum is the same for any draw that reaches all answers. In place of all tuples
    stand the multisets, each as often as it has orders.
    """
    m = len(rewards[0])
    multisets = torch.tensor(list(combinations_with_replacement(range(m), k + 1)))
    counts = torch.stack([(multisets == a).sum(dim=1) for a in range(m)], dim=1).double()
    log_orders = math.lgamma(k + 2) - torch.lgamma(counts + 1).sum(dim=1)
    chance = log_orders.exp() / m ** (k + 1)
    total = 0.0
    for scores, reward in zip(log_ratio, rewards, strict=True):
        wins = reward[multisets].softmax(dim=1)  # which of the answers is the chosen one
        table = scores[multisets]
        for first in range(k + 1):
            p = torch.full((len(table),), first)
            losses = variants.of_scores(table, positives=p, temperature=1 / beta, reduction="none")
            total = total + (chance * wins[:, first] * losses).sum()
    return total / len(rewards)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_optimum_is_the_reference_tilted_by_the_reward(k):
    """8 prompts × 6 answers, exact expectation: KL(π‖π*) with π* ∝ π_ref e^{r/β}."""
    rng, beta = torch.Generator().manual_seed(4), 0.5
    rewards = torch.randn(8, 6, generator=rng, dtype=torch.float64)
    reference = torch.randn(8, 6, generator=rng, dtype=torch.float64).log_softmax(dim=1)
    best = (reference + rewards / beta).log_softmax(dim=1)
    logits = reference.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [logits], max_iter=400, tolerance_grad=1e-13, tolerance_change=0, history_size=60, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = exact_choice_loss(logits.log_softmax(dim=1) - reference, rewards, k, beta)
        loss.backward()
        return loss

    optimizer.step(closure)
    found = logits.detach().log_softmax(dim=1)
    assert (found.exp() * (found - best)).sum(dim=1).max() < 1e-10
