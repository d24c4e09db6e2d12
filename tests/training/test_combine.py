"""Rules that combine two gradients: each beside its definition done slowly, and what each promises."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart.diagnostics import inner_products
from tellapart.training import RULES, coefficients, combine

number = st.floats(-10, 10, allow_subnormal=False).map(lambda x: round(x, 3))
pairs = (
    st.integers(1, 5)
    .flatmap(lambda n: st.tuples(*[st.lists(number, min_size=n, max_size=n)] * 2))
    .map(lambda pair: tuple(torch.tensor(side, dtype=torch.float64) for side in pair))
)
each_rule = pytest.mark.parametrize("rule", RULES)


def combined(a, b, rule):
    x, y = coefficients(inner_products([a], [b]), rule)
    return x * a + y * b


def without_its_part_along(a, b):
    return a - (a @ b) / (b @ b) * b if a @ b < 0 else a


def onto_the_dual_cone(g, a, b):
    """The nearest vector at odds with neither a nor b: the best that any set of active constraints gives."""
    found = []
    for active in itertools.chain.from_iterable(itertools.combinations([a, b], k) for k in range(3)):
        nearest = g.clone()
        if active:
            plane = torch.stack(active)
            nearest = g - torch.linalg.lstsq(plane.T, g[:, None], driver="gelsd").solution[:, 0] @ plane
        if min(nearest @ a, nearest @ b) >= -1e-6:
            found.append(nearest)
    return min(found, key=lambda v: (v - g).norm().item())


SLOWLY = {
    "sum": lambda a, b: a + b,
    "gate": lambda a, b: a if a @ b < 0 else a + b,
    "pcgrad": lambda a, b: without_its_part_along(a, b) + without_its_part_along(b, a),
    "upgrad": lambda a, b: (onto_the_dual_cone(a, a, b) + onto_the_dual_cone(b, a, b)) / 2,
}


@each_rule
@given(pair=pairs)
def test_the_closed_form_is_the_rule_done_slowly(rule, pair):
    torch.testing.assert_close(combined(*pair, rule), SLOWLY[rule](*pair), rtol=1e-6, atol=1e-5)


@given(pair=pairs)
def test_twice_upgrad_is_pcgrad(pair):
    assert torch.equal(2 * combined(*pair, "upgrad"), combined(*pair, "pcgrad"))


@pytest.mark.parametrize("rule", ["pcgrad", "upgrad", "gate"])
@given(pair=pairs)
def test_the_direction_is_at_odds_with_no_gradient_that_the_rule_guards(rule, pair):
    a, b = pair
    direction = combined(a, b, rule)
    for guarded in [a] if rule == "gate" else [a, b]:
        assert direction @ guarded >= -1e-9 * (1 + guarded.norm() * (a.norm() + b.norm()))


@pytest.mark.parametrize("rule", ["sum", "pcgrad", "upgrad"])
@given(pair=pairs)
def test_only_the_gate_knows_which_loss_is_the_main_one(rule, pair):
    a, b = pair
    torch.testing.assert_close(combined(a, b, rule), combined(b, a, rule))


@each_rule
@given(pair=pairs, factor=st.floats(0.01, 100))
def test_a_factor_of_both_gradients_is_one_of_the_direction(rule, pair, factor):
    """As in 16-mixed precision, where losses are scaled."""
    a, b = pair
    torch.testing.assert_close(combined(factor * a, factor * b, rule), factor * combined(a, b, rule))


@each_rule
@given(pair=pairs, seed=st.integers(0, 99))
def test_a_rotation_of_both_gradients_is_one_of_the_direction(rule, pair, seed):
    a, b = pair
    random = torch.randn(len(a), len(a), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    turn = torch.linalg.qr(random).Q
    if abs(a @ b) > 1e-9:  # else rounding decides whether there is a conflict
        torch.testing.assert_close(combined(turn @ a, turn @ b, rule), turn @ combined(a, b, rule))


@each_rule
@given(pair=pairs)
def test_without_conflict_all_rules_are_the_sum_or_its_half(rule, pair):
    a, b = pair
    b = b if a @ b >= 0 else -b
    torch.testing.assert_close(combined(a, b, rule), (a + b) / (2 if rule == "upgrad" else 1))


def test_opposite_gradients_cancel_or_leave_the_main_one():
    a = torch.tensor([3.0, -4.0])
    assert combined(a, -0.5 * a, "pcgrad").abs().max() < 1e-6
    assert torch.equal(combined(a, -0.5 * a, "gate"), a)


@each_rule
def test_a_gradient_of_zero_leaves_the_other_as_it_is(rule):
    a, zero = torch.tensor([3.0, -4.0]), torch.zeros(2)
    share = 0.5 if rule == "upgrad" else 1
    assert torch.equal(combined(a, zero, rule), share * a)
    assert torch.equal(combined(zero, a, rule), share * a)
    assert torch.equal(combined(zero, zero, rule), zero)


@each_rule
def test_the_inner_products_are_over_shared_weights_and_all_others_keep_their_gradient(rule):
    torch.manual_seed(0)
    a, b = [torch.randn(2, 3), torch.randn(4), None, None], [torch.randn(2, 3), None, torch.randn(5), None]
    first, own, others, none = combine(a, b, inner_products(a, b), rule)
    wanted = combined(a[0].flatten(), b[0].flatten(), rule)
    torch.testing.assert_close(first.flatten(), wanted.float())
    assert own is a[1]
    assert others is b[2]
    assert none is None


def test_another_rule_is_refused_by_name():
    one = torch.ones(2)
    with pytest.raises(ValueError, match=r"`rule` must be one of sum, pcgrad, gate, upgrad\. Got 'mean'"):
        combined(one, one, "mean")
