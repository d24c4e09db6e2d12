"""Relations against matrices built by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from tellapart import dense, edges, everyone, gaussian, info_nce, listed, nt_xent, other_views, paired, same, within
from tellapart.relations import is_boolean, lowered
from tellapart.relations.pairs import numbers
from tests.harness import RELATIONS, M, N, relations


@given(relations(), st.integers(0, N - 1), st.integers(1, N), st.integers(0, M - 1), st.integers(1, M))
def test_any_tile_of_any_composition_equals_that_part_of_the_matrix(pair, top, height, left, width):
    relation, matrix = pair
    rows, cols = slice(top, min(N, top + height)), slice(left, min(M, left + width))
    relation.check("positives", N, M)
    np.testing.assert_allclose(relation.tile(rows, cols).double().numpy(), matrix[rows, cols])


def evaluated(form, rows, cols):
    """A lowered relation, as a kernel would evaluate it, by NumPy's rules for weights."""
    if isinstance(form, lowered.Both):
        return evaluated(form.left, rows, cols) * evaluated(form.right, rows, cols)
    if isinstance(form, lowered.Either):
        return np.maximum(evaluated(form.left, rows, cols), evaluated(form.right, rows, cols))
    if isinstance(form, lowered.Not):
        return (evaluated(form.part, rows, cols) == 0).astype(float)
    if isinstance(form, lowered.Beside):
        left = evaluated(form.left, rows, cols.clamp(max=form.m - 1))
        return np.where(cols < form.m, left, evaluated(form.right, rows, (cols - form.m).clamp(min=0)))
    return form.at(rows, cols).double().numpy()


@given(relations())
def test_a_lowered_relation_says_the_same_as_the_matrix_or_names_what_it_lacks(pair):
    relation, matrix = pair
    form = relation.lowered()
    if lacking := lowered.reasons(form):
        assert all(any(words in reason for words in ("matrix", "no lowered form", "other side")) for reason in lacking)
    else:
        found = evaluated(form, torch.arange(N)[:, None], torch.arange(M))
        np.testing.assert_allclose(np.broadcast_to(found, (N, M)), matrix)


UNLOWERED = {"dense", "weights", "beside", "weights beside ids"}  # the last two have a matrix on one side


@pytest.mark.parametrize("kind", sorted(set(RELATIONS) - UNLOWERED))
def test_every_kind_but_matrices_has_a_lowered_form(kind):
    assert lowered.reasons(RELATIONS[kind](np.random.default_rng(0))[0].lowered()) == []


@given(relations())
def test_places_pairs_counts_sums_and_transposition_tell_the_same_as_the_matrix(pair):
    relation, matrix = pair
    rows, cols = torch.arange(N)[:, None], torch.arange(M)
    np.testing.assert_allclose(relation.at(rows, cols).double().numpy(), matrix)
    for found, expected in ((relation, matrix), (relation.transposed(), matrix.T)):
        n, m = expected.shape
        counts = [x.tolist() for x in found.counts(n, m)]
        assert counts == [(expected > 0).sum(1).tolist(), (expected > 0).sum(0).tolist()]
        keys = torch.randn(m, 3, dtype=torch.float64, requires_grad=True)
        np.testing.assert_allclose(found.gather_sum(keys, n).detach(), expected @ keys.detach().numpy(), atol=1e-12)
        np.testing.assert_allclose(found.tile(slice(0, n), slice(0, m)).double(), expected)
        assert torch.autograd.gradcheck(found.gather_sum, (keys, n))
        listed_ = found.pairs(n, m)
        assert found.diagonal in (False, (expected == np.eye(n, m)).all())
        if listed_ is not None:
            again = np.zeros((n, m))
            weights = torch.ones(len(listed_.rows)) if listed_.weights is None else listed_.weights
            np.add.at(again, (listed_.rows.numpy(), listed_.cols.numpy()), weights.numpy())
            np.testing.assert_allclose(again, expected)
            assert (listed_.rows.diff() >= 0).all()
            assert listed_.one_each in (False, listed_.rows.tolist() == list(range(n)))


@given(relations(), relations())
def test_a_relation_that_says_it_is_symmetric_is(one, other):
    for relation in (one[0], one[0] & other[0], other_views(2), same([1, 2, 1, 1]) & ~paired()):
        if relation.symmetric:
            n = 4
            tile = relation.tile(slice(0, n), slice(0, n))
            assert (tile == tile.T).all()
    assert (same([1, 2, 1]) & ~paired()).symmetric
    assert not listed(torch.tensor([1, 0])).symmetric


@given(relations(), relations())
def test_a_relation_that_says_it_avoids_another_shares_no_pair_with_it(one, other):
    a, b = one[0], other[0]
    for left, right in ((a, b), (a & ~b, b), (~b & a, b), ((a & ~paired()) & b, paired())):
        if left.avoids(right):
            assert not ((left.tile(slice(0, N), slice(0, M)) > 0) & (right.tile(slice(0, N), slice(0, M)) > 0)).any()
    certain = (a & ~b).avoids(b), (~b & a).avoids(b), ((a & ~paired()) & b).avoids(paired())
    assert all(certain)
    assert not everyone().avoids(b)


@pytest.mark.parametrize("views", [2, 3, 5])
def test_other_views_are_those_of_the_same_example_but_itself(views):
    relation = other_views(4)
    ids = np.tile(np.arange(4), views)
    expected = (ids[:, None] == ids) & ~np.eye(4 * views, dtype=bool)
    n = 4 * views
    relation.check("positives", n, n)
    assert (relation.tile(slice(0, n), slice(0, n)).numpy() == expected).all()
    pairs = relation.pairs(n, n)
    assert sorted(zip(pairs.rows.tolist(), pairs.cols.tolist(), strict=True)) == [
        tuple(x) for x in np.argwhere(expected)
    ]
    assert pairs.one_each == (views == 2)


def test_many_pairs_are_not_listed_but_counted_and_summed():
    """Ten labels of 4,000 rows: 1.6 million pairs, of which no list and no matrix is made."""
    labels = torch.arange(4000) % 10
    relation = same(labels) & ~paired()
    assert relation.pairs(4000, 4000) is None
    assert relation.counts(4000, 4000)[0].tolist() == [399] * 4000
    keys = torch.randn(4000, 2, dtype=torch.float64)
    expected = torch.stack([keys[labels == x].sum(0) for x in range(10)])[labels] - keys
    torch.testing.assert_close(relation.gather_sum(keys, 4000), expected)


@pytest.mark.parametrize("shift", [0.0, 1.7e9])
def test_within_decides_at_its_edge_as_the_difference_does(shift):
    times = torch.arange(64, dtype=torch.float64) * 0.1 + shift
    relation = within(times, times, 0.3)
    pairs = relation.pairs(64, 64)
    tile = relation.tile(slice(0, 64), slice(0, 64))
    assert sorted(zip(pairs.rows.tolist(), pairs.cols.tolist(), strict=True)) == [
        tuple(x) for x in tile.nonzero().tolist()
    ]


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_near_points_are_those_that_a_mask_of_all_pairs_has(axes, scale, shift):
    """Some at the edge: on a grid many points are exactly one or two steps apart."""
    random = np.random.default_rng(axes)
    side = {1: 900, 2: 30, 3: 10}[axes]
    points = [torch.tensor((random.integers(0, side, (n, axes)) + shift) * scale) for n in (200, 700)]
    radius = 2 * scale
    relation = within(*points, radius)
    mask = torch.linalg.vector_norm(points[0][:, None] - points[1], dim=-1) <= radius
    assert torch.equal(relation.tile(slice(0, 200), slice(0, 700)), mask)
    pairs = relation.pairs(200, 700)
    found = torch.zeros_like(mask)
    found[pairs.rows, pairs.cols] = True
    assert torch.equal(found, mask)
    assert len(pairs.rows) == mask.sum() > 200


@pytest.mark.parametrize(
    "points", [torch.zeros(0, 2), torch.zeros(60, 2), torch.full((60, 3), 1e300, dtype=torch.float64)]
)
def test_points_that_all_lie_at_one_place_or_are_none_are_related_all_the_same(points):
    n = len(points)
    relation = within(points, None, 0.0)
    assert relation.tile(slice(0, n), slice(0, n)).all()
    assert relation.counts(n, n)[0].tolist() == [n] * n


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 3.0), st.integers(1, 4))
def test_listed_or_not_near_points_are_the_same(seed, radius, axes):
    random = np.random.default_rng(seed)
    points = [torch.tensor(random.normal(size=(n, axes)) * random.choice([0.01, 1, 100])) for n in (40, 60)]
    relation = within(*points, radius)
    tile = relation.tile(slice(0, 40), slice(0, 60))
    assert relation.counts(40, 60)[0].tolist() == tile.sum(1).tolist()
    assert torch.equal(relation.transposed().tile(slice(0, 60), slice(0, 40)), tile.T)


def test_a_loss_that_excludes_near_points_lists_them_and_equals_that_of_a_given_mask():
    """Exclusions of points cost no more than listed pairs: no tile of the relation is read."""
    random = torch.Generator().manual_seed(0)
    q, k = (torch.randn(n, 8, generator=random, dtype=torch.float64) for n in (300, 4000))
    places, cells = (torch.rand(n, 2, generator=random) * 64 for n in (300, 4000))
    positives = edges(torch.stack([torch.arange(300), torch.cdist(places, cells).argmin(1)]))
    near = within(places, cells, 3.0)
    mask = torch.linalg.vector_norm(places[:, None] - cells, dim=-1) <= 3.0

    def refuse(*_):
        raise AssertionError("a tile was read")

    near.tile = refuse
    found = info_nce(q, k, positives=positives, exclude=near & ~positives, multi_positive="in")
    expected = info_nce(q, k, positives=positives, exclude=dense(mask) & ~positives, multi_positive="in")
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: within(torch.zeros(2), torch.zeros(2), -1), "`radius` must be finite and at least 0. Got -1"),
        (lambda: gaussian(torch.zeros(2), torch.zeros(2), 0), "`sigma` must be positive and finite. Got 0"),
        (
            lambda: within(torch.zeros(2, 2, 1), None, 1),
            r"`query_times` must have 1 dimension, or 2 for points. Got shape \(2, 2, 1\)",
        ),
        (lambda: gaussian(torch.zeros(2, 2), None, 1), r"`query_times` must have 1 dimension. Got shape \(2, 2\)"),
        (
            lambda: within(torch.zeros(2, 2), torch.zeros(5, 3), 1),
            r"`key_times` must have as many axes as the queries', shape \(m, 2\). Got shape \(5, 3\)",
        ),
        (
            lambda: within(torch.zeros(2), torch.zeros(5, 3), 1),
            r"`key_times` must have as many axes as the queries', shape \(m,\). Got shape \(5, 3\)",
        ),
        (lambda: within(torch.tensor([0, torch.nan]), None, 1), "`query_times` must be finite. Got nan in row 1"),
        (lambda: edges(torch.zeros(3, 2, dtype=torch.long)), r"`edge_index` must have shape \(2, edges\)"),
        (lambda: edges(torch.tensor([[0], [-1]])), "`edge_index` must not be negative. Got -1"),
        (lambda: edges(torch.tensor([[0], [1]]), torch.ones(2)), r"`weight` must have one entry per edge, \(1,\)"),
        (lambda: edges(torch.tensor([[0], [1]]), -torch.ones(1)), "`weight` must hold finite weights ≥ 0. Got -1.0"),
        (
            lambda: edges(torch.tensor([[0], [7]])).check("positives", 5, 5),
            "`positives` must list keys between 0 and 4. Got 7",
        ),
        (lambda: other_views(4).check("positives", 6, 6), "`positives` must relate views of 4 examples"),
        (lambda: within(torch.zeros(2), None, 1).check("exclude", 2, 3), "`exclude` must relate as many keys"),
    ],
)
def test_a_mistake_in_a_relation_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_times_that_are_no_numbers_are_refused():
    with pytest.raises(TypeError, match="`query_times` must hold real numbers"):
        within(torch.tensor([True]), None, 1)
    with pytest.raises(TypeError, match="`edge_index` must hold integers"):
        edges(torch.tensor([[0.5], [1.0]]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_narrow_integers_are_ids_as_good_as_wide_ones(dtype):
    ids = torch.tensor([1, 200, 44] if dtype == torch.uint8 else [1, 200, 300]).to(dtype)
    pairs = same(ids, torch.tensor([300, 44, 200])).pairs(3, 3)
    expected = {torch.uint8: [(1, 2), (2, 1)]}.get(dtype, [(1, 2), (2, 0)])
    assert list(zip(pairs.rows.tolist(), pairs.cols.tolist(), strict=True)) == expected
    far = edges(torch.tensor([[100, 101], [100, 101]]).to(dtype))
    assert far.pairs(102, 102).cols.tolist() == [100, 101]
    index = torch.tensor([2, 0, 1]).to(dtype)
    for engine in ("dense", "tiled"):
        found = info_nce(torch.eye(3), torch.eye(3), positives=listed(index), engine=engine)
        torch.testing.assert_close(found, info_nce(torch.eye(3), torch.eye(3), positives=listed(index.long())))


def test_ids_that_could_have_a_gradient_are_refused():
    with pytest.raises(TypeError, match="`query_ids` must hold integers"):
        same(torch.ones(3, requires_grad=True))
    with pytest.raises(ValueError, match="`n_examples` must be at least 1"):
        other_views(0)


def test_an_edgeless_relation_relates_nobody():
    nothing = edges(torch.zeros(2, 0, dtype=torch.long))
    assert not nothing.tile(slice(0, 2), slice(0, 2)).any()
    assert nothing.counts(2, 2)[0].tolist() == [0, 0]


def test_same_takes_texts_arrays_and_tensors_and_one_list_for_both_sides():
    square = (slice(0, 3), slice(0, 3))
    expected = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    for ids in (["a", "b", "a"], ("猫", "いぬ", "猫"), np.array([4, 9, 4]), torch.tensor([4, 9, 4])):
        assert same(ids).tile(*square).int().tolist() == expected
    for ids in (np.array(["x", "y", "x"]), list(torch.tensor([4, 9, 4])), [4, 9, 4]):
        assert same(ids).tile(*square).int().tolist() == expected
    assert same(torch.tensor([4, 9, 4]), [4, 9, 4]).tile(*square).int().tolist() == expected


def test_weights_carry_no_gradient():
    given = torch.rand(2, requires_grad=True)
    index = torch.tensor([[0, 1], [1, 0]])
    for relation in (dense(given.diag()), edges(index, given), gaussian(given, given, 1.0), within(given, given, 1.0)):
        assert not relation.tile(slice(0, 2), slice(0, 2)).requires_grad


@pytest.mark.parametrize(("parameter", "make"), [("radius", within), ("sigma", gaussian)])
def test_a_width_in_time_is_a_number_also_in_a_tensor_but_is_not_learned(parameter, make):
    times, both = torch.arange(3.0), (slice(0, 3), slice(0, 3))
    assert torch.equal(make(times, None, torch.tensor(1.0)).tile(*both), make(times, None, 1.0).tile(*both))
    learned = rf"`{parameter}` must be a constant: pass `{parameter}.item\(\)`.* Got a tensor that requires grad\."
    with pytest.raises(ValueError, match=learned):
        make(times, None, torch.tensor(1.0, requires_grad=True))
    with pytest.raises(ValueError, match=rf"`{parameter}` must be one number for all pairs. Got shape \(3,\)"):
        make(times, None, torch.ones(3))


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: same(torch.tensor([0.5])), TypeError, "`query_ids` must hold integers or hashable ids"),
        (lambda: listed(torch.tensor([0.5])), TypeError, "`index` must hold integers"),
        (lambda: listed(torch.tensor([True])), TypeError, r"`index` must hold integers; dense\(\) takes a mask"),
        (lambda: same(np.array([0.5])), TypeError, "`query_ids` must hold integers or hashable ids"),
        (lambda: same(torch.tensor([[1]])), ValueError, "`query_ids` must have 1 dimension"),
        (lambda: dense(torch.ones(3)), ValueError, "`matrix` must have 2 dimensions"),
        (lambda: dense(torch.tensor([[-1.0]])), ValueError, "`matrix` must hold finite weights ≥ 0. Got -1.0"),
        (lambda: dense(torch.tensor([[float("nan")]])), ValueError, "`matrix` must hold finite weights"),
        (lambda: same([1, 2]).check("positives", 2, 3), ValueError, "as many keys as there are, 3. Got 2"),
        (lambda: (~dense(torch.ones(2, 2))).check("exclude", 3, 2), ValueError, "`exclude` must relate as many"),
        (lambda: (paired() & same([1])).check("positives", 2, 2), ValueError, "as many queries as there are, 2"),
    ],
)
def test_a_relation_that_cannot_be_is_refused(build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_numbers_that_are_kept_are_ordinary_after_any_mode_and_never_written_to():
    kept = numbers(6, torch.device("cpu"), turned=2)
    assert kept is numbers(6, torch.device("cpu"), turned=2)
    before = kept.clone()
    with torch.inference_mode():
        assert numbers(6, torch.device("cpu"), turned=2) is not kept
        nt_xent(torch.eye(5), torch.eye(5))
    with FakeTensorMode():
        nt_xent(torch.ones(5, 2), torch.ones(5, 2))
    views = torch.eye(5, requires_grad=True)
    for engine in ("dense", "tiled"):
        nt_xent(views, views.flip(1), engine=engine).backward()
        info_nce(views, views.flip(1), symmetric=True, engine=engine).backward()
    assert numbers(10, torch.device("cpu"), turned=5)._version == 0
    assert torch.equal(kept, before)
    assert torch.equal(before, torch.tensor([4, 5, 0, 1, 2, 3]))


@pytest.mark.parametrize("whole", [lambda a, b: a & ~b, lambda a, b: a | b, lambda a, b: (a & b).transposed()])
def test_relations_of_ids_elsewhere_and_of_places_are_joined_without_a_look_at_entries(whole):
    """Ids lie where the embeddings do, and places nowhere: on a GPU the two met in a tile on two devices."""
    ids = torch.arange(4, device="meta")
    assert is_boolean(whole(same(ids, ids), paired()))
