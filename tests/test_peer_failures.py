"""What went wrong elsewhere: each failure of the field's libraries that we reproduced, held off here."""

import math

import numpy as np
import pytest
import torch

from tellapart import InfoNCE, LearnedTemperature, info_nce, listed, nt_xent, other_views, paired, same
from tellapart.domains.graphs import drop_features
from tellapart.negatives import KeyQueue
from tellapart.variants import debiased, hard_negatives, mil_nce
from tests import oracle
from tests.engines import ENGINES, playing

pytestmark = pytest.mark.parametrize("engine", ENGINES)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_1_a_tiny_constant_inside_the_log_caps_neither_loss_nor_gradient(engine, dtype):
    """`log(num/den + tiny)` gives 87.3 and no gradient in float32, 9.70 in float16."""
    query = torch.ones(1, 1, dtype=dtype)
    keys = torch.tensor([[-0.5], [0.9]], dtype=dtype, requires_grad=True)
    with playing(engine) as name:
        loss = info_nce(query, keys, positives=listed(torch.tensor([0])), temperature=0.01, score="dot", engine=name)
    loss.backward()
    rounding = torch.finfo(dtype).eps
    assert loss.item() == pytest.approx(140, rel=rounding)
    assert keys.grad[:, 0].tolist() == pytest.approx([-100, 100], rel=rounding)


@pytest.mark.parametrize(("dtype", "tau"), [(torch.float32, 0.01), (torch.float16, 0.07), (torch.float16, 0.01)])
def test_2_raw_exponentials_do_not_overflow(engine, dtype, tau):
    """`exp(sim/τ)` without a shift is inf; ten times the same point has the loss log 10."""
    x = torch.ones(10, 4, dtype=dtype, requires_grad=True)
    with playing(engine) as name:
        loss = info_nce(x, x, temperature=tau, engine=name)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(10), rel=1e-5)
    assert x.grad.isfinite().all()


def test_3_masking_before_dividing_by_a_learned_temperature_leaves_its_gradient_finite(engine):
    """−∞/τ has the gradient NaN; ours is that of the difference quotient."""
    views = [torch.randn(4, 3, dtype=torch.float64) for _ in range(2)]
    tau = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)

    def loss(temperature):
        with playing(engine) as name:
            return nt_xent(*views, temperature=temperature, engine=name)

    assert torch.autograd.gradcheck(loss, (tau,))
    learned = LearnedTemperature(0.5)
    with playing(engine) as name:
        InfoNCE(temperature=learned, engine=name)(views[0], views[0], exclude=~paired() & same([1, 1, 2, 3])).backward()
    assert learned.log_temperature.grad.isfinite()


def test_4_targets_come_from_relations_and_not_from_a_batch_size(engine):
    """A smaller last batch, more keys than queries, and hard negatives that must not become targets."""
    with playing(engine) as name:
        loss = InfoNCE(temperature=0.5, engine=name)
        q, k, hard = torch.randn(8, 3).double(), torch.randn(8, 3).double(), torch.randn(16, 3).double()
        for n in (8, 3):
            expected = oracle.info_nce(q[:n].numpy(), k[:n].numpy(), np.eye(n), np.zeros((n, n)), temperature=0.5)
            assert loss(q[:n], k[:n]).item() == pytest.approx(expected)
        given = {"temperature": 0.5, "negatives": hard.numpy()}
        expected = oracle.info_nce(q.numpy(), k.numpy(), np.eye(8), np.zeros((8, 8)), **given)
        assert loss(q, k, negatives=hard).item() == pytest.approx(expected)
        assert loss(q, torch.cat([k, hard])).item() == pytest.approx(expected)


def test_5_a_third_view_is_a_counterpart_and_not_a_negative(engine):
    """As a negative it is pushed away from the first. The mean over several positives has its floor at
    log(V − 1), where nothing moves; where any of them will do the floor is 0."""
    example = torch.eye(4, dtype=torch.float64)
    views = [example.clone().requires_grad_() for _ in range(3)]
    with playing(engine) as name:
        loss = nt_xent(*views, temperature=0.02, engine=name)
        stacked = torch.cat(views)
        any_of_them = mil_nce(
            stacked, stacked, positives=other_views(4), exclude=paired(), temperature=0.02, engine=name
        )
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert any_of_them.item() == pytest.approx(0, abs=1e-12)
    assert max(view.grad.abs().max().item() for view in views) < 1e-12


def test_6_the_mean_is_over_all_2n_rows(engine):
    """Dividing by 2(n − 1) instead makes the loss depend on how examples are batched."""
    views = [torch.randn(5, 3) for _ in range(2)]
    with playing(engine) as name:
        total = nt_xent(*views, reduction="sum", engine=name)
        torch.testing.assert_close(nt_xent(*views, engine=name), total / 10)


def test_7_in_symmetric_moco_an_image_is_no_negative_of_itself(engine):
    """The second direction finds the same images' keys in the queue. By their ids they leave the line-up."""
    queue = KeyQueue(6, 3)
    ids = torch.tensor([10, 11, 12, 13])
    queue.push(torch.randn(4, 3), ids)
    queue.push(torch.randn(2, 3), torch.tensor([98, 99]))
    queries, keys = torch.randn(4, 3), torch.randn(4, 3)
    old, old_ids = queue.read()

    def losses(old):
        whose = torch.cat([ids, old_ids])
        with playing(engine) as name:
            given = {"exclude": same(ids, whose) & ~paired(), "temperature": 0.5, "reduction": "none", "engine": name}
            return info_nce(queries, torch.cat([keys, old]), positives=paired(), **given)

    moved = torch.where((old_ids == 10)[:, None], torch.randn(6, 3), old)
    before, after = losses(old), losses(moved)
    torch.testing.assert_close(after[0], before[0])
    assert not torch.allclose(after[1:], before[1:])


def test_8_a_batch_that_wraps_loses_no_key_and_the_queue_is_saved(engine):  # noqa: ARG001
    """Of a queue of 10 and batches of 4, the third loses its tail elsewhere."""
    queue = KeyQueue(10, 1)
    for start in (0, 4, 8):
        queue.push(torch.arange(start, start + 4.0)[:, None], torch.arange(start, start + 4))
    assert sorted(queue.read()[1].tolist()) == list(range(2, 12))
    assert {"keys", "ids", "pushed"} <= set(queue.state_dict())


def test_10_the_graph_keeps_no_chunk_of_scores(engine):
    """Elsewhere "chunked" losses save every chunk. Here the budget decides; the dense engine saves them all."""
    saved = {}  # by place: tiles that are kept lie in one room

    def pack(tensor):
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes() // tensor.element_size()
        return tensor

    n = 128
    q, k = torch.randn(n, 2, requires_grad=True), torch.randn(n, 2, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x), playing(engine) as name:
        info_nce(q, k, symmetric=True, engine=name).backward()
    scores = sum(size for size in saved.values() if size != 2 * n)
    least = {"dense": n * n, "tiled": n * n}.get(engine, 0)
    most = {"tiled, keeping one tile": 32 * n, "tiled, keeping none": 32 * n}.get(engine, 10 * n * n)
    assert least <= scores <= most


def test_11_without_any_positive_it_is_an_error_and_neither_nan_nor_zero(engine):
    with playing(engine) as name, pytest.raises(ValueError, match="`positives` must relate at least one query"):
        info_nce(torch.eye(3), torch.eye(3), positives=same([1, 2, 3], [4, 5, 6]), engine=name)


def test_12_mil_nce_counts_each_positive_once(engine):
    """Counted twice in the denominator, perfect embeddings have the loss log 2."""
    x = torch.eye(3, dtype=torch.float64)
    with playing(engine) as name:
        loss = mil_nce(x, x.repeat(2, 1), positives=same([0, 1, 2], [0, 1, 2] * 2), temperature=0.01, engine=name)
    assert loss.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("variant", [debiased, hard_negatives])
def test_13_negatives_are_weighed_by_row_and_pushed_away(engine, variant):
    """Elsewhere: summed over the wrong axis, with the wrong sign, over everybody's negatives."""
    q = torch.randn(4, 3, dtype=torch.float64)
    k = torch.randn(4, 3, dtype=torch.float64)
    negatives = torch.randn(4, 5, 3, dtype=torch.float64)
    given = {"exclude": ~paired(), "prior": 0.02, "reduction": "none"}
    with playing(engine) as name:
        losses = variant(q, k, negatives=negatives, engine=name, **given)
        other = negatives.clone()
        other[1:] = torch.randn(3, 5, 3)
        moved = variant(q, k, negatives=other, engine=name, **given)
        nearer = negatives.clone()
        nearer[:, 0] = q
        harder = variant(q, k, negatives=nearer, engine=name, **given)
    torch.testing.assert_close(moved[0], losses[0])
    assert not torch.isclose(moved[1:], losses[1:]).any()
    assert (harder > losses).all()


def test_14_the_rate_of_dropped_features_is_the_rate_that_is_dropped(engine):  # noqa: ARG001
    """Elsewhere the probabilities to keep and to drop are swapped. 4,000 columns, five standard errors."""
    for rate in (0.1, 0.3, 0.8):
        seen = drop_features(torch.ones(3, 4000), rate, torch.Generator().manual_seed(0))
        assert (seen == seen[0]).all()
        assert (seen == 0).double().mean().item() == pytest.approx(rate, abs=5 * math.sqrt(rate * (1 - rate) / 4000))


def test_16_each_row_and_each_column_is_shifted_by_its_own_maximum(engine):
    """A square matrix hides a shift along the wrong axis, until rows differ in size."""
    q = torch.tensor([[1000.0, 0.0], [0.0, 0.01], [-500.0, 1.0]])
    k = torch.tensor([[1.0, 0.0], [0.5, 1.0], [0.1, 30.0]])
    given = {"temperature": 1.0, "score": "dot"}
    expected = oracle.info_nce(q.numpy(), k.numpy(), np.eye(3), np.zeros((3, 3)), symmetric=True, **given)
    with playing(engine) as name:
        loss = info_nce(q, k, symmetric=True, engine=name, **given)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_17_short_vectors_in_half_precision_are_normalised_without_nan(engine, dtype):
    """An eps below the format's smallest number is 0, and 0/0 is NaN."""
    x = torch.tensor([[0.0, 0.0], [6e-8, 0.0], [1.0, 2.0]], dtype=dtype, requires_grad=True)
    with playing(engine) as name:
        loss = info_nce(x, torch.eye(3, 2, dtype=dtype), engine=name)
    loss.backward()
    assert loss.isfinite()
    assert not x.grad.isnan().any()


def test_18_duplicate_texts_are_not_pushed_apart(engine):
    """Two pictures of one caption. With orthonormal queries, ∂L/∂s_02 is an entry of the third key's gradient."""
    texts = ["a cat", "a dog", "a cat"]
    forces = {}
    for positives in (None, same(texts)):
        keys = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
        with playing(engine) as name:
            queries = torch.eye(3, dtype=torch.float64)
            info_nce(queries, keys, positives=positives, temperature=1.0, score="dot", engine=name).backward()
        forces[positives] = keys.grad[2, 0].item()
    by_place, by_id = forces.values()
    assert by_place == pytest.approx(1 / 3 / 3)  # pushed: it is a negative with a share of a third
    assert by_id == pytest.approx((1 / 3 - 1 / 2) / 3)  # pulled: it is one of two counterparts
