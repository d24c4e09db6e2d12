"""The adapters against their peers' formulas, written out over whole matrices in float64.

`tests/peers` holds them against the peers themselves (`make peers`).
"""

import inspect
from contextlib import contextmanager
from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from tellapart import compat
from tellapart._engine import crossover
from tellapart.compat import (
    InfoNCEPytorch,
    LightlyNTXentLoss,
    MetricLearningNTXentLoss,
    MetricLearningSupConLoss,
    OpenClipLoss,
    SentenceTransformersCachedMNRL,
    SentenceTransformersMNRL,
)
from tellapart.relations import pairs
from tests.engines import playing

INPUTS = {"seed": st.integers(0, 2**32 - 1), "n": st.integers(2, 7), "d": st.integers(2, 5)}
TEMPERATURES = st.floats(0.05, 5)


@contextmanager
def computed(how):
    """Inside, "auto" is the dense engine, the tiled one, or that with relations read in tiles instead of listed."""
    with playing("tiled"), patch.object(crossover, "ON_CPU", 10**6 if how == "dense" else -1):
        if how == "tiled":
            yield
        else:
            with patch.object(pairs, "PAIRS_PER_ROW", 0):
                yield


WAYS = st.sampled_from(("dense", "tiled", "tiled, unlisted"))


def embeddings(seed, *shapes):
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, dtype=torch.float64, generator=rng, requires_grad=True) for shape in shapes]


def check_same(ours: Tensor, plain: Tensor, *inputs: Tensor):
    """Same value, and the same gradient in every input."""
    torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-9)
    weights = torch.arange(1.0, 1 + ours.numel(), dtype=torch.float64).reshape(ours.shape)
    found, expected = (torch.autograd.grad((x * weights).sum(), inputs, retain_graph=True) for x in (ours, plain))
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-8)


def cosines(queries: Tensor, keys: Tensor) -> Tensor:
    return normalize(queries, dim=-1) @ normalize(keys, dim=-1).mT


def without_itself(matrix: Tensor) -> Tensor:
    return matrix.masked_fill(torch.eye(len(matrix), dtype=torch.bool), -torch.inf)


def metric_learning_ntxent(x, labels, keys, key_labels, tau):
    """Pair by pair: the positive's exponential over itself and those of the anchor's negatives."""
    logits = cosines(x, keys) / tau
    losses = []
    for a in range(len(x)):
        negatives = logits[a][key_labels != labels[a]]
        for p in range(len(keys)):
            if key_labels[p] == labels[a] and not (keys is x and p == a):
                losses.append(torch.cat([logits[a, p, None], negatives]).logsumexp(0) - logits[a, p])
    return torch.stack(losses).mean() if losses else None


def sup_con(x, labels, keys, key_labels, tau):
    logits = cosines(x, keys) / tau
    positive = labels[:, None] == key_labels
    if keys is x:
        logits, positive = without_itself(logits), positive & ~torch.eye(len(x), dtype=torch.bool)
    log_shares = (logits - logits.logsumexp(1, keepdim=True)).masked_fill(~positive, 0)
    active = positive.any(1)
    return (-log_shares.sum(1)[active] / positive.sum(1)[active]).mean() if active.any() else None


@given(**INPUTS, tau=TEMPERATURES, how=WAYS)
def test_lightly_ntxent_agrees_with_its_formula(seed, n, d, tau, how):
    out0, out1 = embeddings(seed, (n, d), (n, d))
    everyone = torch.cat([out0, out1])
    logits = without_itself(cosines(everyone, everyone) / tau)
    plain = cross_entropy(logits, torch.arange(2 * n).roll(n))
    with computed(how):
        check_same(LightlyNTXentLoss(tau)(out0, out1), plain, out0, out1)


@given(
    **INPUTS,
    tau=TEMPERATURES,
    how=WAYS,
    m=st.integers(1, 6),
    n_labels=st.integers(1, 4),
    kind=st.sampled_from((MetricLearningNTXentLoss, MetricLearningSupConLoss)),
)
def test_metric_learning_losses_agree_with_their_formulas(seed, n, d, tau, how, m, n_labels, kind):
    x, ref = embeddings(seed, (n, d), (m, d))
    rng = torch.Generator().manual_seed(seed)
    labels, ref_labels = (torch.randint(n_labels, (size,), generator=rng) for size in (n, m))
    formula = metric_learning_ntxent if kind is MetricLearningNTXentLoss else sup_con
    for keys, key_labels, given_ in ((x, labels, {}), (ref, ref_labels, {"ref_emb": ref, "ref_labels": ref_labels})):
        plain = formula(x, labels, keys, key_labels, tau)
        with computed(how):
            if plain is None:
                with pytest.warns(UserWarning, match="the loss is 0"):
                    assert kind(tau)(x, labels, **given_) == 0
            else:
                ours = kind(tau)(x, labels, **given_)
                check_same(ours + 0 * ref.sum(), plain + 0 * ref.sum(), x, ref)


@given(
    **INPUTS,
    tau=TEMPERATURES,
    how=WAYS,
    k=st.integers(1, 6),
    mode=st.sampled_from((None, "unpaired", "paired")),
    reduction=st.sampled_from(("mean", "sum", "none")),
)
def test_info_nce_pytorch_agrees_with_its_formula(seed, n, d, tau, how, k, mode, reduction):
    query, positive, negatives = embeddings(seed, (n, d), (n, d), (n, k, d) if mode == "paired" else (k, d))
    own = (normalize(query) * normalize(positive)).sum(1, keepdim=True)
    others = cosines(query, negatives) if mode != "paired" else cosines(query[:, None], negatives)[:, 0]
    logits, target = torch.cat([own, others], dim=1), torch.zeros(n, dtype=torch.long)
    if mode is None:
        logits, target = cosines(query, positive), torch.arange(n)
    plain = cross_entropy(logits / tau, target, reduction=reduction)
    with computed(how):
        loss = InfoNCEPytorch(tau, reduction, mode or "paired")
        ours = loss(query, positive) if mode is None else loss(query, positive, negatives)
        check_same(ours, plain, query, positive, *([] if mode is None else [negatives]))


@given(**INPUTS, scale=st.floats(0.1, 20), how=WAYS, shape=st.sampled_from(((), (1,))))
def test_open_clip_agrees_with_its_formula_and_learns_its_scale(seed, n, d, scale, how, shape):
    images, texts = embeddings(seed, (n, d), (n, d))
    logit_scale = torch.full(shape, scale, dtype=torch.float64, requires_grad=True)
    logits = logit_scale * images @ texts.T + 3.0
    plain = (cross_entropy(logits, torch.arange(n)) + cross_entropy(logits.T, torch.arange(n))) / 2
    with computed(how):
        ours = OpenClipLoss()(images, texts, logit_scale, logit_bias=torch.tensor(3.0), output_dict=True)
        check_same(ours["contrastive_loss"], plain, images, texts, logit_scale)
        torch.testing.assert_close(OpenClipLoss()(images, texts, scale), plain)


class Lookup(nn.Module):
    """A sentence encoder: the mean of its tokens' vectors."""

    def __init__(self, size=12, dim=4):
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.table = nn.Parameter(torch.randn(size, dim, dtype=torch.float64, generator=rng))

    def forward(self, features):
        mask = features["attention_mask"][..., None].to(self.table)
        return {"sentence_embedding": (self.table[features["input_ids"]] * mask).sum(1) / mask.sum(1)}


def column(*texts):
    """Tokenised texts, padded to the longest."""
    width = max(map(len, texts))
    return {
        "input_ids": torch.tensor([[*text, *[0] * (width - len(text))] for text in texts]),
        "attention_mask": torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts]),
    }


def cos_sim(a, b):
    return cosines(a, b)


def dot_score(a, b):
    return a @ b.T


@given(
    *(st.integers(2, 6), st.integers(0, 3), st.floats(0.5, 20), st.sampled_from((cos_sim, dot_score))),
    *(WAYS, st.integers(0, 2**32 - 1)),
)
def test_multiple_negatives_ranking_agrees_with_its_formula(n, n_hard, scale, similarity, how, seed):
    model, rng = Lookup(), torch.Generator().manual_seed(seed)
    columns = [column(*torch.randint(1, 12, (n, 3), generator=rng).tolist()) for _ in range(2 + n_hard)]
    anchors, *candidates = [model(x)["sentence_embedding"] for x in columns]
    plain = cross_entropy(scale * similarity(anchors, torch.cat(candidates)), torch.arange(n))
    with computed(how):
        for given_ in (similarity, similarity.__name__):
            ours = SentenceTransformersMNRL(model, scale, given_)(iter(columns), None)
            check_same(ours, plain, model.table)


def signature(function):
    return inspect.signature(function).parameters.values()


RANKING = {
    "scale": 20.0,
    "similarity_fct": "cos_sim",
    "gather_across_devices": False,
    "directions": ("query_to_doc",),
    "partition_mode": "joint",
    "hardness_mode": None,
    "hardness_strength": 0.0,
    "duplicates": "negatives",
}


def test_the_defaults_are_the_peers():
    defaults = {
        name: {p.name: p.default for p in signature(getattr(compat, name)) if p.default is not p.empty}
        for name in compat.__all__
    }
    assert defaults == {
        "InfoNCEPytorch": {"temperature": 0.1, "reduction": "mean", "negative_mode": "unpaired"},
        "LightlyNTXentLoss": {"temperature": 0.5, "memory_bank_size": 0, "gather_distributed": False},
        "MetricLearningNTXentLoss": {"temperature": 0.07},
        "MetricLearningSupConLoss": {"temperature": 0.1},
        "OpenClipLoss": {
            "local_loss": False,
            "gather_with_grad": False,
            "cache_labels": False,
            "rank": 0,
            "world_size": 1,
            "use_horovod": False,
        },
        "SentenceTransformersCachedMNRL": RANKING
        | {"mini_batch_size": 32, "mini_batch_num_tokens": None, "show_progress_bar": False},
        "SentenceTransformersMNRL": RANKING,
    }


# Where the peer is wrong.


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("how", ["dense", "tiled", "tiled, unlisted"])
def test_metric_learning_log_of_num_over_den_plus_tiny(how, dtype):
    """PEERS 1: at τ = 0.01, positive −0.5 and negative 0.9 the peer says 87.3, gradient 0; float16 stops at 9.70."""
    positive = torch.tensor(-0.5, dtype=torch.float64, requires_grad=True)
    near = torch.tensor(0.9, dtype=torch.float64)
    anchors = torch.tensor([[1.0, 0.0]] * 2, dtype=torch.float64)
    ref = torch.stack([torch.stack([x, (1 - x * x).sqrt()]) for x in (positive, near)])
    with computed(how):
        loss = MetricLearningNTXentLoss(temperature=0.01)(
            anchors.to(dtype), torch.tensor([0, 0]), ref_emb=ref.to(dtype), ref_labels=torch.tensor([0, 1])
        )
    loss.backward()
    rounding = torch.finfo(dtype).eps
    assert loss.item() == pytest.approx(140, rel=4 * rounding + 1e-6)
    assert positive.grad.item() == pytest.approx(-100, rel=4 * rounding + 1e-6)


@pytest.mark.parametrize("loss", [MetricLearningNTXentLoss(), MetricLearningSupConLoss()])
@pytest.mark.parametrize("labels", [[0, 1, 2], ["a", "b", "c"]])
def test_without_positives_the_loss_is_0_as_in_the_peer_and_a_warning_says_so(loss, labels):
    x = torch.eye(3, requires_grad=True)
    for found in (
        lambda: loss(x, labels),
        lambda: loss(x[:1], labels[:1]),
        lambda: loss(x[:1], labels[:1], ref_emb=x[1:], ref_labels=labels[1:]),
    ):
        with pytest.warns(UserWarning, match="No two labels of this batch are the same"):
            value = found()
        value.backward()
        assert (value.item(), x.grad.abs().sum().item()) == (0, 0)


def test_metric_learning_one_pair_of_each_kind_is_no_silent_zero():
    """The peer returns 0 if there is at most one positive and one negative pair."""
    loss = MetricLearningNTXentLoss(1.0)(torch.eye(2)[:1], [0], ref_emb=torch.eye(2), ref_labels=[0, 1])
    assert loss.item() == pytest.approx(0.313262, rel=1e-5)  # log(1 + e⁻¹)


@pytest.mark.parametrize("kind", [MetricLearningNTXentLoss, MetricLearningSupConLoss])
def test_metric_learning_second_views_with_the_very_labels_of_the_first_keep_their_pairs(kind):
    """The peer takes pair (i, i) for an embedding with itself if the labels are one tensor, and finds no pair."""
    x, ref = embeddings(0, (4, 3), (4, 3))
    labels = torch.arange(4)
    one, other = (kind()(x, labels, ref_emb=ref, ref_labels=ids) for ids in (labels, labels.clone()))
    assert one == other > 0


@pytest.mark.parametrize("kind", [MetricLearningNTXentLoss, MetricLearningSupConLoss])
def test_metric_learning_references_that_are_the_embeddings_do_not_find_themselves(kind):
    (x,) = embeddings(0, (4, 3))
    labels = torch.tensor([0, 0, 1, 1])
    assert kind()(x, labels, ref_emb=x, ref_labels=labels) == kind()(x, labels)


def test_metric_learning_without_negatives_there_is_nothing_to_tell_apart():
    """Both losses of the peer are then 0. So is that of a positive among no negatives, but SupCon still spreads."""
    (x,) = embeddings(0, (3, 2))
    loss = MetricLearningNTXentLoss()(x, [7, 7, 7])
    loss.backward()
    assert (loss.item(), x.grad.abs().sum().item()) == (0, 0)
    assert MetricLearningSupConLoss()(x, [7, 7, 7]) >= torch.tensor(2.0).log()


def test_metric_learning_supcon_counts_a_solved_anchor():
    """The peer's mean leaves out losses that are 0, here one of two."""
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    keys = torch.tensor([[1.0, 0.0], [0.5, -(0.75**0.5)], [0.0, 1.0], [0.0, 1.0]])
    loss = MetricLearningSupConLoss(0.01)(x, [0, 1], ref_emb=keys, ref_labels=[0, 2, 1, 3])
    assert loss.item() == pytest.approx(0.346574, rel=1e-5)  # (0 + log 2) / 2


def test_metric_learning_ntxent_of_4096_pairs_asks_for_no_550_gigabytes():
    x = torch.randn(8192, 8, generator=torch.Generator().manual_seed(0))
    losses = [MetricLearningNTXentLoss(0.5)(x, torch.arange(k).repeat(8192 // k)) for k in (4096, 8)]
    assert all(0 < loss < 10 for loss in losses)


def test_info_nce_pytorch_given_negatives_are_all_there_are():
    """No query meets another's positive, not even where that is the query itself."""
    far = torch.tensor([[0.0, 0.0, 1.0]])
    query, positive = torch.eye(3)[:2], torch.eye(3)[[1, 0]]
    torch.testing.assert_close(InfoNCEPytorch(0.01)(query, positive, far), torch.tensor(2.0).log())


def test_a_duplicated_positive_need_not_be_a_negative():
    """PEERS 18: two anchors with one positive push it away, for a loss of at least log 2, as in the peer."""
    model = Lookup()
    columns = [column([1], [2], [3]), column([4, 5], [4, 5], [6])]
    anchors, keys = (model(x)["sentence_embedding"].detach() for x in columns)
    as_negatives = SentenceTransformersMNRL(model)(columns)
    torch.testing.assert_close(as_negatives, cross_entropy(20 * cosines(anchors, keys), torch.arange(3)))
    logits = 20 * cosines(anchors, keys)
    log_shares = logits - logits.logsumexp(1, keepdim=True)
    expected = -(log_shares[0, :2].mean() + log_shares[1, :2].mean() + log_shares[2, 2]) / 3
    as_positives = SentenceTransformersMNRL(model, duplicates="positives")(columns)
    torch.testing.assert_close(as_positives, expected)


def test_duplicates_are_found_across_columns_and_padding_and_by_their_anchor():
    from tellapart.compat.texts import duplicates

    columns = [
        column([1], [1], [2, 9, 9]),
        column([4], [5], [6]),
        column([7], [4], [8, 8]),  # The second row's hard negative is the first row's positive, in a wider column.
    ]
    assert duplicates(columns).tile(slice(0, 3), slice(0, 6)).int().tolist() == [
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
    ]


def test_without_duplicates_both_choices_are_the_same():
    model = Lookup()
    columns = [column([1], [2]), column([3], [4]), column([5], [6, 7])]
    one, other = (SentenceTransformersMNRL(model, duplicates=x)(columns) for x in ("negatives", "positives"))
    torch.testing.assert_close(one, other)


def test_half_precision_scale_is_not_rounded_twice():
    images, texts = (x.detach().bfloat16() for x in embeddings(0, (4, 3), (4, 3)))
    scale = torch.tensor(14.25, dtype=torch.bfloat16)
    expected = OpenClipLoss()(images.double(), texts.double(), 14.25)
    assert OpenClipLoss()(images, texts, scale).item() == pytest.approx(expected.item(), rel=1e-5)


# What they refuse.

X = torch.eye(3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        *((lambda kind=kind: kind(temperature=0.0), "temperature") for kind in (LightlyNTXentLoss, InfoNCEPytorch)),
        (lambda: MetricLearningNTXentLoss(-1.0), "temperature"),
        (lambda: MetricLearningSupConLoss(float("nan")), "temperature"),
        (lambda: LightlyNTXentLoss()(X, X[:2]), "same shape"),
        (lambda: MetricLearningNTXentLoss()(X, [0, 0]), "`labels` must relate as many queries"),
        (lambda: MetricLearningSupConLoss()(X, [0, 0]), "relate as many queries"),
        (lambda: MetricLearningNTXentLoss()(X, [0, 0, 1], ref_emb=X.clone()), "together with `ref_labels`"),
        (lambda: MetricLearningSupConLoss()(X, [0, 0, 1], ref_labels=[0, 0, 1]), "Got `ref_labels` alone"),
        *((lambda y=y: MetricLearningNTXentLoss()(X * float("nan"), y), "finite") for y in ([0, 0, 1], [0, 0, 0])),
        (lambda: InfoNCEPytorch(reduction="median"), "reduction"),
        (lambda: InfoNCEPytorch(negative_mode="hard"), "negative_mode"),
        (lambda: InfoNCEPytorch()(X[:2], X), "`positive_key` must have the shape of `query`"),
        (lambda: InfoNCEPytorch()(X, X, X[None]), "`negative_keys` must have 2 dimensions"),
        (lambda: InfoNCEPytorch(negative_mode="paired")(X, X, X), "`negative_keys` must have 3 dimensions"),
        (lambda: InfoNCEPytorch(negative_mode="paired")(X, X, X[None]), "one set for each"),
        (lambda: InfoNCEPytorch()(X, X, X[:, :2]), "columns"),
        (lambda: OpenClipLoss()(X, X[:2], 1.0), "`text_features` must have the shape"),
        (lambda: OpenClipLoss()(X, X, 0.0), "`logit_scale` must be positive"),
        (lambda: OpenClipLoss()(X, X, torch.tensor(-1.0)), "positive"),
        (lambda: SentenceTransformersMNRL(Lookup(), scale=0), "`scale` must be positive"),
        (lambda: SentenceTransformersMNRL(Lookup(), similarity_fct="angle"), "similarity_fct"),
        (lambda: SentenceTransformersMNRL(Lookup(), directions=("doc_to_query",)), "hold 'query_to_doc'"),
        (lambda: SentenceTransformersMNRL(Lookup(), directions=("query_to_doc", "up")), "`directions` must be one of"),
        (
            lambda: SentenceTransformersMNRL(
                Lookup(), directions=("query_to_doc", "doc_to_doc"), partition_mode="per_direction"
            ),
            "`partition_mode` must be 'joint'",
        ),
        (lambda: SentenceTransformersMNRL(Lookup(), hardness_mode="soft"), "hardness_mode"),
        (lambda: SentenceTransformersMNRL(Lookup(), hardness_strength=-1.0), "hardness_strength"),
        (
            lambda: SentenceTransformersMNRL(
                Lookup(), duplicates="positives", hardness_mode="all_negatives", hardness_strength=1.0
            ),
            "`duplicates` must be 'negatives'",
        ),
        (lambda: SentenceTransformersCachedMNRL(Lookup(), mini_batch_size=0), "mini_batch_size"),
        (lambda: SentenceTransformersCachedMNRL(Lookup(), mini_batch_num_tokens=0), "mini_batch_num_tokens"),
        (
            lambda: SentenceTransformersCachedMNRL(Lookup(), mini_batch_num_tokens=8)([{"input_ids": X}] * 2),
            "hold `attention_mask`",
        ),
        (lambda: LightlyNTXentLoss(memory_bank_size=4096), r"`memory_bank_size` must be 0 or \(size, dim\)"),
        (lambda: LightlyNTXentLoss(memory_bank_size=(4, 3))(X, X[:2]), "`out1` must have the shape"),
        (lambda: OpenClipLoss(use_horovod=True), "use_horovod"),
        (lambda: OpenClipLoss(world_size=2)(X, X, 1.0), "`world_size` must be the number of processes"),
        (lambda: MetricLearningNTXentLoss()(X), "`labels` must be given"),
        (lambda: SentenceTransformersMNRL(Lookup(), duplicates="both"), "duplicates"),
        (lambda: SentenceTransformersMNRL(Lookup())([column([1])]), "anchors and positives"),
        (
            lambda: SentenceTransformersMNRL(Lookup(), duplicates="positives")([{"pixel_values": X}] * 2),
            "hold `input_ids` and `attention_mask`",
        ),
    ],
)
def test_bad_input_is_an_error_that_names_it(call, message):
    with pytest.raises(ValueError, match=message):
        call()
