"""Forces and shares against plain autograd and a plain softmax."""

import pytest
import torch

from tellapart import Bilinear, dense, everyone, info_nce, paired, same
from tellapart.diagnostics import forces, shares
from tests.engines import ENGINES, playing

N, M, D = 6, 7, 3


def problem(kind):
    """Queries, keys and options of a loss, float64."""
    torch.manual_seed(3)
    queries, keys = torch.randn(N, D, dtype=torch.float64), torch.randn(M, D, dtype=torch.float64)
    tau = torch.rand(N, dtype=torch.float64) + 0.2
    options = {
        "plain": {},
        "dot": {"score": "dot", "temperature": 0.7},
        "sqeuclidean": {"score": "sqeuclidean", "temperature": 0.5, "key_bias": torch.randn(M)},
        "bilinear": {"score": Bilinear(D, D), "temperature": 0.5},
        "each its own temperature": {"temperature": tau, "key_bias": torch.randn(M)},
        "queue": {"negatives": torch.randn(4, D, dtype=torch.float64), "key_bias": torch.randn(M + 4)},
        "mined": {"negatives": torch.randn(N, 4, D, dtype=torch.float64), "temperature": 0.3},
        "margin": {"margin": 0.3, "temperature": 0.3},
        "several": {"positives": same([0, 0, 1, 2, 2, 3], [0, 0, 1, 1, 2, 3, 5]), "exclude": dense(torch.eye(N, M))},
        "inside": {"positives": same([0, 0, 1, 2, 2, 9], [0, 0, 1, 1, 2, 3, 5]), "multi_positive": "in"},
    }[kind]
    return queries, keys, options


KINDS = (
    *("plain", "dot", "sqeuclidean", "bilinear", "each its own temperature", "queue", "mined", "margin"),
    *("several", "inside"),
)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", KINDS)
def test_push_less_pull_is_the_gradient_of_each_querys_loss(kind, engine):
    queries, keys, options = problem(kind)
    with playing(engine) as name:
        found = forces(queries, keys, engine=name, **options)
    moved = queries.clone().requires_grad_()
    (expected,) = torch.autograd.grad(info_nce(moved, keys, reduction="sum", engine="dense", **options), moved)
    torch.testing.assert_close(found.gradient, expected, atol=1e-10, rtol=1e-8)
    assert not found.pull.requires_grad


def test_queries_that_are_keys_are_moved_in_their_part_as_queries_alone():
    x = torch.randn(8, 3, dtype=torch.float64)
    options = {"positives": same([0, 0, 1, 1, 2, 2, 3, 3]) & ~paired(), "exclude": paired(), "temperature": 0.4}
    moved = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(info_nce(moved, x.clone(), reduction="sum", **options), moved)
    torch.testing.assert_close(forces(x, x, **options).gradient, expected)


def test_forces_leave_no_gradient_behind_and_work_where_none_is_recorded():
    queries, keys, options = problem("bilinear")
    with torch.no_grad():
        found = forces(queries.requires_grad_(), keys.requires_grad_(), **options)
    assert found.gradient.any()
    assert queries.grad is None
    assert keys.grad is None
    assert options["score"].weight.grad is None


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("several", "inside", "margin")])
def test_shares_add_up_to_one_and_make_up_the_push(kind):
    """`push_i = Σ_j p_ij ∂S_ij/∂q_i`, each of the latter as the pull of a positive j."""
    queries, keys, options = problem(kind)
    p = shares(queries, keys, **options)
    torch.testing.assert_close(p.sum(1), torch.ones(N, dtype=p.dtype))
    everything = keys if "negatives" not in options or kind == "mined" else torch.cat([keys, options["negatives"]])
    plain = {name: value for name, value in options.items() if name not in ("negatives", "key_bias")}
    pushed = 0
    for j in range(p.shape[1]):
        one = everything[j : j + 1].expand(N, D) if j < len(everything) else options["negatives"][:, j - M]
        pulled = forces(queries, one, **plain).pull
        pushed = pushed + p[:, j : j + 1] * pulled
    torch.testing.assert_close(forces(queries, keys, **options).push, pushed)


def test_shares_of_a_margin_and_of_who_is_excluded():
    queries, keys, _ = problem("plain")
    found = shares(queries, keys, score="dot", temperature=0.5, margin=0.2, exclude=same(range(N), [1, *range(1, M)]))
    logits = (queries @ keys.T - 0.2 * torch.eye(N, M)) / 0.5
    gone = torch.eye(N, M).bool()
    gone[0, 0], gone[1, 0] = False, True
    torch.testing.assert_close(found, logits.masked_fill(gone, -torch.inf).softmax(1))
    assert not shares(queries, keys, exclude=everyone()).any()
