"""Variants of who the counterpart is: SupCon, MIL-NCE, ranked positives, label smoothing."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart import dense, info_nce, listed, nt_xent, paired, same
from tellapart.errors import NotFiniteError
from tellapart.variants import label_smoothing, mil_nce, ranking, sup_con
from tests import oracle
from tests import oracle_variants as papers
from tests.engines import ENGINES, playing
from tests.harness import SCORES
from tests.variants.problems import assert_agree, problems

ANY_SEED = st.integers(0, 2**32 - 1)
EYE = torch.eye(3)


@given(
    *(ANY_SEED, st.integers(2, 8), st.integers(1, 6), st.floats(0.05, 10), st.sampled_from(("out", "in"))),
    *(st.sampled_from(sorted(SCORES)), st.sampled_from(ENGINES)),
)
def test_sup_con_agrees_with_khosla_equations_2_and_3(seed, n, d, tau, how, score, engine):
    rng = np.random.default_rng(seed)
    x, labels = rng.normal(size=(n, d)), rng.integers(0, 3, n)
    labels[1] = labels[0]
    table = oracle.logits(x, x, np.zeros((n, n)), temperature=tau, score=score)
    options = {"temperature": tau, "multi_positive": how, "score": score}
    with playing(engine) as name:
        each = sup_con(torch.tensor(x), labels, reduction="none", engine=name, **options)
        mean = sup_con(torch.tensor(x), torch.tensor(labels), engine=name, **options)
    assert_agree((each, mean), papers.sup_con(table, labels.tolist(), how), np.abs(table).max())


@pytest.mark.parametrize("how", ["out", "in"])
def test_sup_con_of_two_views_with_their_example_as_label_is_nt_xent(how):
    a, b = torch.randn(2, 5, 3, dtype=torch.float64)
    got = sup_con(torch.cat([a, b]), torch.arange(5).repeat(2), temperature=0.3, multi_positive=how)
    torch.testing.assert_close(got, nt_xent(a, b, temperature=0.3))


def test_sup_con_leaves_out_who_is_alone_with_its_label():
    x = torch.randn(5, 3, dtype=torch.float64)
    losses = sup_con(x, ["a", "a", "alone", "b", "b"], reduction="none")
    assert losses[2] == 0
    torch.testing.assert_close(sup_con(x, ["a", "a", "alone", "b", "b"]), losses.sum() / 4)


def test_sup_con_in_is_at_most_sup_con_out():
    """Khosla et al. 2020, §3.2.1: Jensen's inequality for the concave logarithm."""
    x, labels = torch.randn(12, 4), torch.arange(12) % 3
    each = [sup_con(x, labels, multi_positive=how, reduction="none") for how in ("in", "out")]
    assert (each[0] < each[1]).all()


def test_sup_con_with_nothing_but_different_labels_says_so():
    with pytest.raises(ValueError, match=r"`positives` must relate at least one query to a key. Got no related pair"):
        sup_con(EYE, ["a", "b", "c"])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_sup_con_names_its_own_arguments(value):
    with pytest.raises(ValueError, match=r"`labels` must hold one id for each of the 3 embeddings. Got 2"):
        sup_con(EYE, ["a", "b"])
    with pytest.raises(TypeError, match="`embeddings` must be a floating-point tensor"):
        sup_con(EYE.long(), ["a", "b", "a"])
    broken = EYE.clone()
    broken[1, 0] = value
    with pytest.raises(NotFiniteError, match=rf"`embeddings` must be finite. Got {value} in row 1"):
        sup_con(broken, ["a", "b", "a"])


@given(problems(), st.booleans(), st.sampled_from(ENGINES))
def test_mil_nce_agrees_with_miech_equation_1(problem, symmetric, engine):
    symmetric &= len(problem.queries) > 1
    expected = papers.mil_nce(problem.table, problem.weights, problem.excluded, symmetric)
    got = problem.call(mil_nce, engine, exclude=problem.exclude(), symmetric=symmetric)
    assert_agree(got, expected, problem.largest)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
def test_mil_nce_of_perfect_embeddings_is_zero_and_not_log_2(symmetric, engine):
    """Peers' failure 12: the positives twice in the denominator."""
    x = torch.eye(4)
    with playing(engine) as name:
        got = mil_nce(
            x, x.repeat(3, 1), positives=same(range(4), [*range(4)] * 3), symmetric=symmetric, temperature=0.01,
            engine=name,
        )  # fmt: skip
    assert 0 <= got < 1e-30


def test_mil_nce_with_one_positive_each_is_info_nce():
    q, k = torch.randn(4, 3, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    torch.testing.assert_close(mil_nce(q, k), info_nce(q, k))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", [lambda x: same(x, x), lambda x: dense(x[:, None] == x)])
def test_symmetric_mil_nce_sees_a_key_whose_others_are_far_below_another_keys(engine, kind):
    """The keys' partition functions differ by 900 nats: one shift for all of them would lose the smaller."""
    ids = torch.tensor([0, 1])
    q, k = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 900.0], [-900.0, 0.0]])
    table = oracle.logits(q.numpy(), k.numpy(), np.eye(2), temperature=1.0, score="dot")
    expected = papers.mil_nce(table, np.eye(2), np.zeros((2, 2), dtype=bool), symmetric=True)
    with playing(engine) as name:
        got = mil_nce(
            q, k, positives=kind(ids), symmetric=True, score="dot", temperature=1.0, reduction="none", engine=name
        )
    assert got.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("kind", [listed, lambda index: dense(torch.nn.functional.one_hot(index, 4) > 0)])
def test_symmetric_mil_nce_has_the_gradient_of_its_formula(kind):
    q, k = (torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (3, 4))
    index = torch.tensor([2, 0, 3])
    s = torch.nn.functional.normalize(q) @ torch.nn.functional.normalize(k).T / 0.5
    own = s[torch.arange(3), index]
    others = torch.cat([s, s[:, index].T], dim=1).exp().sum(1) - 2 * own.exp()
    ((own.exp() + others).log() - own).mean().backward()
    expected = [x.grad for x in (q, k)]
    q.grad = k.grad = None
    mil_nce(q, k, positives=kind(index), symmetric=True, temperature=0.5).backward()
    torch.testing.assert_close([q.grad, k.grad], expected)


def test_mil_nce_refuses_a_query_without_a_negative():
    with pytest.raises(ValueError, match=r"must leave every query a negative. Got none for query 1"):
        mil_nce(EYE, EYE, positives=same([0, 1, 0], [1, 1, 1]))
    with pytest.raises(ValueError, match=r"must leave every key a negative. Got none for key 1"):
        mil_nce(EYE, EYE, positives=same([0, 0, 0], [1, 0, 1]), symmetric=True)


@given(
    *(ANY_SEED, st.integers(1, 6), st.integers(1, 8), st.integers(1, 6), st.integers(1, 3)),
    *(st.lists(st.floats(0.05, 10), min_size=3, max_size=3), st.sampled_from(sorted(SCORES)), st.sampled_from(ENGINES)),
)
def test_ranking_agrees_with_hoffmann_over_levels_whatever_the_weights(seed, n, m, d, n_levels, taus, score, engine):
    rng = np.random.default_rng(seed)
    q, k = rng.normal(size=(n, d)), rng.normal(size=(m, d))
    level = rng.integers(-1, n_levels, size=(n, m))
    level[0, : min(m, n_levels)] = range(min(m, n_levels))
    matrices = [(level == r).astype(float) for r in np.unique(level[level >= 0])]
    excluded = (rng.random((n, m)) < 0.3) & (level == -1)
    taus = taus[: len(matrices)]
    tables = [oracle.logits(q, k, np.zeros((n, m)), temperature=tau, score=score) for tau in taus]
    weighted = rng.random((n, m)) + 0.1 if seed % 2 else np.ones((n, m), dtype=bool)
    levels = [dense(torch.tensor(matrix.astype(bool) * weighted)) for matrix in matrices]
    options = {"levels": levels, "temperatures": taus, "exclude": dense(torch.tensor(excluded)), "score": score}
    with playing(engine) as name:
        got = [
            ranking(torch.tensor(q), torch.tensor(k), reduction=how, engine=name, **options) for how in ("none", "mean")
        ]
    assert_agree(got, papers.ranking(tables, matrices, excluded), np.abs(tables).max())


def test_ranking_with_one_level_of_one_positive_is_info_nce():
    q, k = torch.randn(4, 3, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    torch.testing.assert_close(ranking(q, k, levels=[paired()], temperatures=[0.2]), info_nce(q, k, temperature=0.2))


def test_a_level_without_a_pair_in_the_batch_adds_nothing():
    nobody = same([1, 2, 3], [4, 5, 6])
    found = ranking(EYE, EYE, levels=[nobody, paired()], temperatures=[0.1, 0.2])
    torch.testing.assert_close(found, ranking(EYE, EYE, levels=[paired()], temperatures=[0.2]))


def test_ranking_puts_levels_in_order():
    """Descending its gradient brings the second level below the first and above the others."""
    query = torch.tensor([[1.0, 0.0, 0.0]])
    keys = torch.zeros(3, 3, requires_grad=True)
    levels = [dense(torch.tensor([[True, False, False]])), dense(torch.tensor([[False, True, False]]))]
    optimiser = torch.optim.SGD([keys], lr=0.1)
    for _ in range(50):
        optimiser.zero_grad()
        ranking(query, keys, levels=levels, temperatures=[0.5, 1.0], score="dot").backward()
        optimiser.step()
    assert keys[0, 0] > keys[1, 0] > keys[2, 0]


@pytest.mark.parametrize(
    ("levels", "temperatures", "message"),
    [
        ([], [], "`temperatures` must hold one τ per level, 1. Got 0"),
        ([paired()], [0.1, 0.2], "`temperatures` must hold one τ per level, 1. Got 2"),
        ([paired(), same([1, 1, 2])], [0.1], "`temperatures` must hold one τ per level, 2. Got 1"),
        ([paired()], [0.0], "`temperature` must be positive and finite. Got 0.0"),
        ([same([1, 2, 3], [4, 5, 6])], [0.1], "`levels` must relate at least one query to a key"),
        ([same([1, 2])], [0.1], "`positives` must relate as many queries as there are, 3. Got 2"),
    ],
)
def test_ranking_names_levels_and_temperatures_that_do_not_fit(levels, temperatures, message):
    with pytest.raises(ValueError, match=message):
        ranking(EYE, EYE, levels=levels, temperatures=temperatures)


@given(problems(excluding=False), st.floats(0, 0.99), st.sampled_from(ENGINES))
def test_label_smoothing_agrees_with_szegedy_section_7(problem, smoothing, engine):
    expected = papers.label_smoothing(problem.table, problem.weights, smoothing)
    got = problem.call(label_smoothing, engine, smoothing=smoothing)
    assert_agree(got, expected, problem.largest)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_label_smoothing_is_that_of_cross_entropy(smoothing):
    q, k = torch.randn(4, 3, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    logits = torch.nn.functional.normalize(q) @ torch.nn.functional.normalize(k).T / 0.2
    expected = torch.nn.functional.cross_entropy(logits, torch.arange(4), label_smoothing=smoothing)
    torch.testing.assert_close(label_smoothing(q, k, smoothing=smoothing, temperature=0.2), expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_label_smoothing_of_zero_is_info_nce_with_several_positives_or_none(engine):
    q, k = torch.randn(4, 3, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    options = {"positives": same([0, 1, 2, 9], [0, 0, 1, 1, 2, 3]), "negatives": torch.randn(2, 3).double()}
    with playing(engine) as name:
        got = label_smoothing(q, k, smoothing=0.0, engine=name, **options)
    torch.testing.assert_close(got, info_nce(q, k, **options))


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, math.nan])
def test_label_smoothing_refuses_a_share_outside_0_to_1(smoothing):
    with pytest.raises(ValueError, match=f"`smoothing` must be at least 0 and below 1. Got {smoothing}"):
        label_smoothing(EYE, EYE, smoothing=smoothing)


def test_label_smoothing_refuses_exclude():
    with pytest.raises(ValueError, match=r"`exclude` must be None where the target is spread over all keys"):
        label_smoothing(EYE, EYE, smoothing=0.1, exclude=paired())


@pytest.mark.parametrize("variant", [mil_nce, lambda *a, **options: label_smoothing(*a, smoothing=0.1, **options)])
def test_variants_of_positives_refuse_what_info_nce_refuses(variant):
    with pytest.raises(TypeError, match=r"`positives` must be a relation, such as .* Got Tensor"):
        variant(EYE, EYE, positives=EYE)
    with pytest.raises(ValueError, match=r"`keys` must hold a positive for each of the 3 queries. Got 2 rows"):
        variant(EYE, EYE[:2])
    with pytest.raises(ValueError, match=r"`temperature` must be positive and finite. Got -1"):
        variant(EYE, EYE, temperature=-1.0)
    with pytest.raises(ValueError, match=r"`reduction` must be one of"):
        variant(EYE, EYE, reduction="avg")
    with pytest.raises(ValueError, match=r"`engine` must be one of"):
        variant(EYE, EYE, engine="fast")


def test_mil_nce_refuses_an_exclude_that_is_no_relation():
    with pytest.raises(TypeError, match=r"`exclude` must be a relation"):
        mil_nce(EYE, EYE, exclude=EYE > 0)
