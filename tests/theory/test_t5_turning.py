"""T5: a gradient turns a vector and stretches it; with cosines it only turns."""

import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from tellapart.diagnostics import forces, shares, turn_and_stretch
from tests.theory.families import line_ups, own

EPS = torch.finfo(torch.float64).eps


@given(line_ups(), st.floats(-3, 3).map(lambda exponent: 10**exponent))
def test_t5_with_cosines_nothing_stretches_and_the_turn_goes_with_one_over_the_length(family, length):
    """The loss does not depend on lengths: `v·∂L/∂v = 0`, and `∂L/∂(cv) = (1/c) ∂L/∂v`."""
    q, k, tau = family.queries, family.keys, family.temperature
    turn, stretch = turn_and_stretch(q, forces(q, k, temperature=tau).gradient)
    # What is left of pull and push along the query is their rounding.
    size = 2 / (tau * q.norm(dim=1))
    assert (stretch.abs() <= 32 * EPS * size).all()
    longer = turn_and_stretch(length * q, forces(length * q, k, temperature=tau).gradient)
    torch.testing.assert_close(length * longer.turn, turn, rtol=1e-8, atol=64 * EPS * size.max().item())


@given(line_ups())
def test_t5_with_dot_products_a_query_grows_exactly_if_its_loss_is_below_the_entropy_of_its_shares(family):
    """`‖q‖ · stretch = E_p[S] − S⁺ = L − H(p)`: a step against the gradient lengthens q where that is negative."""
    q, k, options = family.queries, family.keys, {"score": "dot", "temperature": family.temperature}
    logits = family.logits("dot")
    p, positive = logits.softmax(1), logits.diagonal()
    loss, entropy = logits.logsumexp(1) - positive, torch.special.entr(shares(q, k, **options)).sum(1)
    stretch = turn_and_stretch(q, forces(q, k, **options).gradient).stretch * q.norm(dim=1)
    close = {"rtol": 1e-8, "atol": 64 * EPS * (1 + logits.abs().max().item())}
    torch.testing.assert_close(stretch, (p * logits).sum(1) - positive, **close)
    torch.testing.assert_close(stretch, loss - entropy, **close)


@given(line_ups(), st.floats(0.05, 20))
def test_t5_with_dot_products_confident_queries_grow_and_confused_ones_shrink(family, step):
    """Confident: the positive scores highest. Confused: it scores lowest."""
    q, k, options = family.queries, family.keys, {"score": "dot", "temperature": family.temperature}
    positive, negatives = own(family.logits("dot"))
    gap_above, gap_below = positive - negatives.amax(1), negatives.amin(1) - positive
    confident, confused = (gap_above > 1e-6) & (gap_above < 20), gap_below > 1e-6
    assume(bool((confident | confused).any()))
    gradient = forces(q, k, **options).gradient
    stretch = turn_and_stretch(q, gradient).stretch
    assert (stretch[confident] < 0).all()
    assert (stretch[confused] > 0).all()
    # A step is longer still by its second order, so that the confident grow whatever its size.
    assert ((q - step * gradient).norm(dim=1) > q.norm(dim=1))[confident].all()


@given(line_ups())
def test_t5_with_dot_products_there_is_a_turning_part_too(family):
    """What acts across: `(I − q̂q̂ᵀ)(Σ_j p_ij k_j − k⁺)/τ`."""
    q, k, tau = family.queries, family.keys, family.temperature
    turn = turn_and_stretch(q, forces(q, k, score="dot", temperature=tau).gradient).turn
    pushed = (family.logits("dot").softmax(1) @ k - k[: family.n]) / tau
    direction = torch.nn.functional.normalize(q)
    expected = pushed - (pushed * direction).sum(1, keepdim=True) * direction
    torch.testing.assert_close(turn, expected, rtol=1e-8, atol=1e-12 * (1 + k.abs().max().item() / tau))
