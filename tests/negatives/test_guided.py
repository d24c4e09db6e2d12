"""Likely false negatives left out of the loss, against loops over pairs in float64 and against whole matrices."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart import everyone, info_nce, info_nce_terms, options, other_views, paired, same, variants
from tellapart.negatives import guided
from tests import oracle
from tests.engines import ENGINES, Largest, playing


def level(cosines, positive, margin, kind):
    """From which cosine on a candidate of one query is left out."""
    best = max((c for c, is_positive in zip(cosines, positive, strict=True) if is_positive), default=math.inf)
    return best - (margin * abs(best) if kind == "relative" and best < math.inf else margin)


def left_out(g, h, positives, others, margin, kind):
    """The matrix of what is left out among `others`, pair by pair; a tie counts."""
    found = np.zeros((len(g), len(others)), dtype=bool)
    for i, query in enumerate(g):
        least = level([oracle.cosine(query, key) for key in h], positives[i], margin, kind)
        found[i] = [oracle.cosine(query, key) >= least - 1e-12 for key in others]
    return found


@st.composite
def problems(draw):
    """Vectors of the model and of a guide, with copies among the guide's; ids of which some are positives."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, m, k, d = (draw(st.integers(1, most)) for most in (6, 8, 4, 4))
    q, keys, negatives = (rng.normal(size=(size, d)) for size in (n, m, k))
    g, h, of_negatives = (rng.normal(size=(size, 2)) for size in (n, m, k))
    h[rng.integers(m)] = 3 * h[rng.integers(m)]
    of_negatives[rng.integers(k)] = h[rng.integers(m)]
    ids = rng.integers(0, 4, n), rng.integers(0, 4, m)
    ids[1][rng.integers(m)] = ids[0][0]
    if draw(st.booleans()):
        g, h, of_negatives = q, keys, negatives
    margin = draw(st.sampled_from([0.0, 0.1, -0.1, 0.5, -0.02]))
    return (q, keys, negatives), (g, h, of_negatives), ids, margin, draw(st.sampled_from(["absolute", "relative"]))


@pytest.mark.parametrize("engine", ENGINES)
@given(problems(), st.booleans(), st.booleans())
def test_value_and_gradients_are_those_of_a_loss_without_the_candidates_that_reach_the_level(
    engine, problem, with_negatives, dense_positives
):
    (q, k, negatives), (g, h, of_negatives), ids, margin, kind = problem
    positive = ids[0][:, None] == ids[1]
    relation = same(*map(torch.tensor, ids))
    if dense_positives:  # they take the other way to the levels
        relation = ~(~relation | ~everyone())
        assert relation.pairs(len(q), len(k)) is None
    excluded = left_out(g, h, positive, h, margin, kind) & ~positive
    guide, all_keys = [torch.tensor(x) for x in (g, h)], k
    how = {"positives": relation, "margin": margin, "kind": kind}
    options_ = {"positives": relation, "exclude": guided(*guide, **how), "temperature": 0.3}
    if with_negatives:
        excluded = np.hstack([excluded, left_out(g, h, positive, of_negatives, margin, kind)])
        all_keys = np.vstack([k, negatives])
        options_["exclude_negatives"] = guided(*guide, negatives=torch.tensor(of_negatives), **how)

    inputs = [torch.tensor(x, requires_grad=True) for x in ((q, k, negatives) if with_negatives else (q, k))]
    with playing(engine) as name:
        more = {"negatives": inputs[2]} if with_negatives else {}
        loss = info_nce(*inputs[:2], engine=name, **options_, **more)
        found = torch.autograd.grad(loss, inputs)

    table = oracle.logits(q, all_keys, np.pad(positive, ((0, 0), (0, len(all_keys) - len(k)))), temperature=0.3)
    expected = oracle.mean(oracle.losses(table, positive.astype(float), excluded))
    assert loss.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)

    plain = [x.detach().clone().requires_grad_() for x in inputs]
    logits = torch.cosine_similarity(plain[0][:, None], torch.cat(plain[1:])[None], dim=2) / 0.3
    log_z = logits.masked_fill(torch.tensor(excluded), -torch.inf).logsumexp(1)
    weights = torch.tensor(positive, dtype=torch.float64)
    each = log_z - (weights * logits[:, : len(k)]).sum(1) / weights.sum(1).clamp(min=1)
    asked = weights.sum(1) > 0
    for a, b in zip(found, torch.autograd.grad(each[asked].mean(), plain), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_beyond_the_crossover_the_streamed_loss_is_that_of_a_matrix_of_the_same_pairs(symmetric, reduction):
    """Qwen3-Embedding's filter, by the embeddings that are trained."""
    random, n = torch.Generator().manual_seed(0), 1100
    q = torch.randn(n, 6, generator=random, dtype=torch.float64)
    k = q + torch.randn(n, 6, generator=random, dtype=torch.float64)
    cosines = torch.cosine_similarity(q[:, None], k[None], dim=2)
    excluded = (cosines >= cosines.diagonal()[:, None] + 0.1) & ~torch.eye(n, dtype=torch.bool)
    assert 0.01 < excluded.double().mean() < 0.5
    results = []
    for relation in (guided(q, k, margin=-0.1), excluded):
        a, b = (x.clone().requires_grad_() for x in (q, k))
        if isinstance(relation, torch.Tensor):
            logits = torch.cosine_similarity(a[:, None], b[None], dim=2) / 0.1
            masked = logits.masked_fill(relation, -torch.inf)
            losses = [masked.logsumexp(1) - logits.diagonal()]
            losses += [masked.logsumexp(0) - logits.diagonal()] if symmetric else []
            loss = torch.cat(losses)
            loss = loss.mean() if reduction == "mean" else loss
        else:
            loss = info_nce(a, b, exclude=relation, temperature=0.1, symmetric=symmetric, reduction=reduction)
        weights = torch.linspace(0.5, 1.5, loss.numel(), dtype=torch.float64).view(loss.shape)
        results.append((loss.detach(), *torch.autograd.grad((loss * weights).sum(), (a, b))))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_what_reaches_the_level_of_either_query_or_key_is_left_out_by_the_union_with_the_other_side():
    random = torch.Generator().manual_seed(1)
    g, h = (torch.randn(9, 2, generator=random, dtype=torch.float64) for _ in range(2))
    both = guided(g, h) | guided(h, g).transposed()
    cosines = torch.cosine_similarity(g[:, None], h[None], dim=2)
    own = cosines.diagonal()
    expected = ((cosines >= own[:, None]) | (cosines >= own)) & ~torch.eye(9, dtype=torch.bool)
    assert torch.equal(both.tile(slice(0, 9), slice(0, 9)), expected)
    loss = info_nce(g, h, exclude=both, symmetric=True, temperature=1.0)
    masked = cosines.masked_fill(expected, -torch.inf)
    torch.testing.assert_close(loss, ((masked.logsumexp(0) + masked.logsumexp(1)) / 2 - own).mean())


@pytest.mark.parametrize("engine", ENGINES)
def test_of_several_views_the_filter_leaves_out_other_examples_and_never_a_view(engine):
    random, n = torch.Generator().manual_seed(2), 5
    x = torch.randn(2 * n, 3, generator=random, dtype=torch.float64)
    views = other_views(n)
    with playing(engine) as name:
        exclude = paired() | guided(x, x, positives=views)
        terms = info_nce_terms(x, x, positives=views, exclude=exclude, engine=name)
    cosines = torch.cosine_similarity(x[:, None], x[None], dim=2)
    other = (torch.arange(2 * n) + n) % (2 * n)
    own = cosines[torch.arange(2 * n), other]
    expected = (cosines < own[:, None]).sum(1) + 1
    assert terms.n_candidates.tolist() == expected.tolist()
    assert terms.n_positive_candidates.tolist() == [1] * (2 * n)


@pytest.mark.parametrize("engine", ENGINES)
def test_hard_negatives_of_each_query_are_filtered_one_by_one_if_passed_flat(engine):
    """Qwen3-Embedding's m_ik."""
    random, n, k = torch.Generator().manual_seed(4), 6, 3
    q, keys = (torch.randn(n, 3, generator=random, dtype=torch.float64) for _ in range(2))
    hard = torch.randn(n * k, 3, generator=random, dtype=torch.float64)
    own = ~same(torch.arange(n), torch.arange(n).repeat_interleave(k))
    exclude = {
        "exclude": guided(q, keys, margin=-0.1),
        "exclude_negatives": guided(q, keys, negatives=hard, margin=-0.1) | own,
    }
    with playing(engine) as name:
        found = info_nce(q, keys, negatives=hard, temperature=0.5, reduction="none", engine=name, **exclude)
    cosines = torch.cosine_similarity(q[:, None], torch.cat([keys[None].expand(n, n, 3), hard.view(n, k, 3)], 1), dim=2)
    left_out_ = cosines >= (cosines.diagonal()[:, None] + 0.1)
    left_out_[torch.arange(n), torch.arange(n)] = False
    assert left_out_[:, n:].any()
    expected = (cosines / 0.5).masked_fill(left_out_, -torch.inf).logsumexp(1) - cosines.diagonal() / 0.5
    torch.testing.assert_close(found, expected)


def test_a_process_without_rows_has_a_filter_of_no_rows():
    none = torch.zeros(0, 3)
    for relation in (guided(none, none), guided(none, none, negatives=torch.eye(3))):
        assert not relation.tile(slice(0, 0), slice(0, 0)).numel()
    relation = guided(none, torch.eye(3), positives=same([], [1, 2, 3]))
    assert relation.tile(slice(0, 0), slice(0, 3)).shape == (0, 3)


def test_other_members_of_the_family_take_the_filter_too():
    random = torch.Generator().manual_seed(3)
    q, k = (torch.randn(12, 3, generator=random, dtype=torch.float64) for _ in range(2))
    q[:, 0] += 3
    k[:, 0] += 3
    logits = torch.cosine_similarity(q[:, None], k[None], dim=2)
    excluded = (logits >= logits.diagonal()[:, None] + 0.01) | torch.eye(12, dtype=torch.bool)
    kept = ~excluded.all(1)
    positives = same(torch.arange(12).masked_fill(~kept, 99), torch.arange(12))
    exclude = guided(q, k, positives=positives, margin=-0.01)
    found = variants.dcl(q, k, positives=positives, exclude=exclude, temperature=1.0)
    expected = (logits.masked_fill(excluded, -torch.inf).logsumexp(1) - logits.diagonal())[kept].mean()
    torch.testing.assert_close(found, expected)


def test_the_filter_has_no_gradient_and_the_embeddings_it_is_made_of_get_only_that_of_the_loss():
    x = torch.randn(6, 3, requires_grad=True)
    relation = guided(x, x.detach(), margin=-0.1)
    assert not relation.tile(slice(0, 6), slice(0, 6)).requires_grad
    with torch.autocast("cpu", dtype=torch.bfloat16):
        again = guided(x, x.detach(), margin=-0.1)
    assert torch.equal(again.at(*torch.ones(6, 6).nonzero().T), relation.at(*torch.ones(6, 6).nonzero().T))


@pytest.mark.parametrize("kind", ["listed positives", "positives by label", "symmetric"])
def test_no_tensor_of_n_times_m_entries_exists_while_filter_and_loss_are_computed(kind):
    n = 2300
    q, k = (torch.randn(n, 16, requires_grad=True) for _ in range(2))
    positives = same(torch.arange(n) % 13) if kind == "positives by label" else None
    with Largest() as seen, options(memory_budget=0):
        exclude = guided(q, k, positives=positives, margin=-0.1)
        symmetric = kind == "symmetric"
        info_nce(q, k, positives=positives, exclude=exclude, symmetric=symmetric, engine="tiled").backward()
    assert seen.numel < n * n / 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: guided(x, x, kind="cosine"), "`kind` must be one of 'absolute', 'relative'. Got 'cosine'"),
        (lambda x: guided(x, x, negatives=torch.eye(2)), "`negatives` must have 3 columns, as the queries. Got 2"),
        (lambda x: guided(x, x[:2]), "`keys` must hold a positive for each of the 3 queries"),
        (lambda x: guided(x, x, margin=math.nan), "`margin` must be finite. Got nan"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.eye(3))
