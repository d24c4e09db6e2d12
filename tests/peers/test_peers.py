"""The adapters against the libraries they replace, as installed: `make peers`.

No part of the normal tests. A peer's failure is asserted, too, so that a release that repairs it shows here.
"""

from copy import deepcopy

import datasets
import info_nce
import pytest
import sentence_transformers as sbert
import torch
from pytorch_metric_learning import distances, miners, reducers, regularizers
from pytorch_metric_learning import losses as metric_learning
from pytorch_metric_learning.utils.distributed import DistributedLossWrapper
from sentence_transformers import util
from sentence_transformers.sentence_transformer import modules
from sentence_transformers.sentence_transformer.losses import (
    GISTEmbedLoss,
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
)
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers import models as tokenizing
from torch import nn
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from tellapart import info_nce as loss_of
from tellapart.compat import (
    InfoNCEPytorch,
    MetricLearningNTXentLoss,
    MetricLearningSupConLoss,
    SentenceTransformersCachedMNRL,
    SentenceTransformersMNRL,
)
from tellapart.compat.info_nce_pytorch import info_nce as info_nce_function
from tellapart.negatives import guided

# What others warn about is not ours to repair.
pytestmark = pytest.mark.filterwarnings("ignore")

TEXTS = {
    "anchor": ["a cat sits", "a dog runs", "the bird sings", "a red house", "a cat sleeps", "the dog sleeps"],
    "positive": ["cat on the mat", "dog on the road", "a bird", "house", "cat", "dog"],
    "negative": ["dog", "cat on the road", "the mat", "green", "bird sings", "a red road"],
}
WORDS = sorted({word for column in TEXTS.values() for text in column for word in text.split()})


def embeddings(*shapes, dtype=torch.float64):
    rng = torch.Generator().manual_seed(len(shapes))
    return [torch.randn(shape, dtype=dtype, generator=rng, requires_grad=True) for shape in shapes]


def check_same(ours, theirs, *inputs):
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    gradients = [torch.autograd.grad(x.sum(), inputs, retain_graph=True) for x in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-7, atol=1e-9)


PAIRS = [
    (MetricLearningNTXentLoss, metric_learning.NTXentLoss),
    (MetricLearningSupConLoss, metric_learning.SupConLoss),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize("options", [{}, {"temperature": 0.4}])
def test_metric_learning(ours, theirs, options):
    x, ref = embeddings((12, 5), (9, 5))
    labels, ref_labels = torch.arange(12) % 5, torch.arange(9) % 4
    check_same(ours(**options)(x, labels), theirs(**options)(x, labels), x)
    given = {"ref_emb": ref, "ref_labels": ref_labels}
    check_same(ours(**options)(x, labels, **given), theirs(**options)(x, labels, **given), x, ref)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_metric_learning_is_zero_without_positives_and_here_a_warning_says_so(ours, theirs):
    assert theirs()(torch.eye(3), torch.arange(3)) == 0
    with pytest.warns(UserWarning, match="the loss is 0"):
        assert ours()(torch.eye(3), torch.arange(3)) == 0


METRIC_OPTIONS = [
    {"distance": distances.LpDistance()},
    {"distance": distances.LpDistance(power=2)},
    {"distance": distances.SNRDistance()},
    {"distance": distances.DotProductSimilarity(normalize_embeddings=False), "temperature": 1.0},
    {"reducer": reducers.MeanReducer()},
    {"reducer": reducers.AvgNonZeroReducer()},
    {"reducer": reducers.ThresholdReducer(low=0.5)},
    {"embedding_regularizer": regularizers.LpRegularizer(), "embedding_reg_weight": 0.3},
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize("options", METRIC_OPTIONS)
def test_metric_learning_takes_distances_reducers_and_regularizers(ours, theirs, options):
    x, ref = embeddings((12, 5), (9, 5))
    labels, ref_labels = torch.arange(12) % 5, torch.arange(9) % 4
    check_same(ours(**options)(x, labels), theirs(**options)(x, labels), x)
    given = (x, labels, None, ref, ref_labels)
    check_same(ours(**options)(*given), theirs(**options)(*given), x, ref)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize("miner", [miners.MultiSimilarityMiner(0.5), miners.TripletMarginMiner(0.5)])
def test_metric_learning_takes_what_miners_find(ours, theirs, miner):
    (x,) = embeddings((12, 5))
    labels = torch.arange(12) % 5
    found = miner(x, labels)
    check_same(ours()(x, labels, found), theirs()(x, labels, found), x)
    check_same(ours()(x, None, found), theirs()(x, None, found), x)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_metric_learning_wraps_these_losses(ours, theirs):
    (x, y), labels = embeddings((12, 5), (12, 5)), torch.arange(12) % 5
    for symmetric in (True, False):
        wrapped = [metric_learning.SelfSupervisedLoss(kind(), symmetric=symmetric)(x, y) for kind in (ours, theirs)]
        check_same(*wrapped, x, y)
    wrapped = [DistributedLossWrapper(kind())(x, labels) for kind in (ours, theirs)]
    check_same(*wrapped, x)
    memories = [metric_learning.CrossBatchMemory(kind(), 5, 32).double() for kind in (ours, theirs)]
    for seed in range(5):
        (z,) = embeddings(*[(12, 5)] * (seed + 1))[-1:]
        check_same(*(memory(z, labels) for memory in memories), z)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_metric_learning_loses_the_pairs_of_second_views_that_share_the_labels_tensor(ours, theirs):
    x, ref = embeddings((4, 3), (4, 3))
    labels = torch.arange(4)
    assert theirs()(x, labels, ref_emb=ref, ref_labels=labels) == 0
    with_a_copy = theirs()(x, labels, ref_emb=ref, ref_labels=labels.clone())
    check_same(ours()(x, labels, ref_emb=ref, ref_labels=labels), with_a_copy, x, ref)


def test_metric_learning_one_pair_of_each_kind_is_zero():
    arguments = torch.eye(2)[:1], torch.tensor([0])
    given = {"ref_emb": torch.eye(2), "ref_labels": torch.tensor([0, 1])}
    assert metric_learning.NTXentLoss(1.0)(*arguments, **given) == 0
    assert MetricLearningNTXentLoss(1.0)(*arguments, **given) > 0.31


def test_metric_learning_ends_at_87_and_without_a_gradient():
    anchors, labels = torch.tensor([[1.0, 0.0]] * 2), torch.tensor([0, 0])
    found = []
    for kind in (metric_learning.NTXentLoss, MetricLearningNTXentLoss):
        positive = torch.tensor(-0.5, requires_grad=True)
        ref = torch.stack([torch.stack([s, (1 - s * s).sqrt()]) for s in (positive, torch.tensor(0.9))])
        loss = kind(temperature=0.01)(anchors, labels, ref_emb=ref, ref_labels=torch.tensor([0, 1]))
        loss.backward()
        found.append((loss.item(), positive.grad.item()))
    assert found[0] == pytest.approx((87.33655, 0), abs=1e-4)
    assert found[1] == pytest.approx((140, -100), rel=1e-5)


def test_metric_learning_supcon_leaves_out_solved_anchors():
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    ref = torch.tensor([[1.0, 0.0], [0.5, -(0.75**0.5)], [0.0, 1.0], [0.0, 1.0]])
    arguments = x, torch.tensor([0, 1])
    given = {"ref_emb": ref, "ref_labels": torch.tensor([0, 2, 1, 3])}
    assert metric_learning.SupConLoss(0.01)(*arguments, **given).item() == pytest.approx(0.693147, rel=1e-5)
    assert MetricLearningSupConLoss(0.01)(*arguments, **given).item() == pytest.approx(0.346574, rel=1e-5)


def test_metric_learning_without_negatives():
    (x,) = embeddings((3, 2))
    labels = torch.zeros(3, dtype=torch.long)
    assert metric_learning.NTXentLoss()(x, labels) == MetricLearningNTXentLoss()(x, labels) == 0
    assert metric_learning.SupConLoss()(x, labels) == 0
    assert MetricLearningSupConLoss()(x, labels) > 0.69


@pytest.mark.parametrize("mode", ["unpaired", "paired", None])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("options", [{}, {"temperature": 0.4}])
def test_info_nce_pytorch(mode, reduction, options):
    inputs = embeddings((6, 4), (6, 4), (6, 3, 4) if mode == "paired" else (5, 4))[: 3 if mode else 2]
    options |= {"reduction": reduction} | ({"negative_mode": mode} if mode else {})
    check_same(InfoNCEPytorch(**options)(*inputs), info_nce.InfoNCE(**options)(*inputs), *inputs)


@pytest.fixture
def model(tmp_path):
    """A sentence transformer of two small random layers."""
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", *WORDS])}
    tokenizer = Tokenizer(tokenizing.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=16
    ).save_pretrained(tmp_path / "bert")
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=16,
        )
    ).save_pretrained(tmp_path / "bert")
    word = modules.Transformer(str(tmp_path / "bert"))
    return sbert.SentenceTransformer(modules=[word, modules.Pooling(word.get_embedding_dimension())], device="cpu")


def test_info_nce_pytorch_has_a_function_too():
    inputs = embeddings((6, 4), (6, 4), (5, 4))
    check_same(info_nce_function(*inputs, 0.2, "sum"), info_nce.info_nce(*inputs, 0.2, "sum"), *inputs)


ALL = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")


@pytest.mark.parametrize("columns", [2, 3])
@pytest.mark.parametrize("mini_batch", [None, {"mini_batch_size": 4}, {"mini_batch_num_tokens": 9}])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": 5.0},
        {"scale": 1.0, "similarity_fct": util.dot_score},
        {"similarity_fct": util.euclidean_sim},
        {"directions": ALL},
        {"directions": ALL[::2], "partition_mode": "per_direction"},
        {"hardness_mode": "in_batch_negatives", "hardness_strength": 3.0},
        {"hardness_mode": "hard_negatives", "hardness_strength": 3.0},
        {"hardness_mode": "all_negatives", "hardness_strength": 3.0, "gather_across_devices": True},
    ],
)
def test_multiple_negatives_ranking(model, columns, mini_batch, options):
    model.eval()
    weights = [p for p in model.parameters() if p.requires_grad]
    found = []
    ours = SentenceTransformersMNRL if mini_batch is None else SentenceTransformersCachedMNRL
    for kind, more in ((ours, mini_batch or {}), (MultipleNegativesRankingLoss, {})):
        features = [model.preprocess(texts) for texts in list(TEXTS.values())[:columns]]
        loss = kind(model, **options, **more)(features, None)
        found.append((loss, torch.autograd.grad(loss, weights, allow_unused=True)))
    torch.testing.assert_close(*found, rtol=1e-3, atol=5e-5)  # float32, and texts in other batches


@pytest.mark.parametrize("duplicates", ["negatives", "positives"])
def test_matryoshka_loss_takes_the_ranking_loss_and_its_cached_form(model, duplicates):
    model.eval()
    weights = [p for p in model.parameters() if p.requires_grad]

    def loss_and_gradients(kind, **more):
        features = [model.preprocess(texts) for texts in TEXTS.values()]
        loss = MatryoshkaLoss(model, kind(model, **more), [16, 4, 8], [1.0, 2.0, 0.5])(features, None)
        return loss.detach(), torch.autograd.grad(loss, weights, allow_unused=True)

    ours = loss_and_gradients(SentenceTransformersMNRL, duplicates=duplicates)
    cached = loss_and_gradients(SentenceTransformersCachedMNRL, duplicates=duplicates, mini_batch_size=4)
    torch.testing.assert_close(cached, ours, rtol=1e-3, atol=5e-5)
    if duplicates == "negatives":
        torch.testing.assert_close(ours, loss_and_gradients(MultipleNegativesRankingLoss), rtol=1e-3, atol=5e-5)


@pytest.mark.parametrize(
    "margin", [{"margin": 0.001}, {"margin": 0.1}, {"margin": -0.01}, {"margin": 0.2, "kind": "relative"}]
)
def test_a_guide_leaves_out_what_gist_embed_loss_leaves_out(model, margin):
    """Which also tells anchors, and positives, from each other unless told not to, and keeps a copy of the positive."""
    guide, weights = deepcopy(model).eval(), [p for p in model.eval().parameters() if p.requires_grad]
    with torch.no_grad():
        for p in guide.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    features = [model.preprocess(texts) for texts in TEXTS.values()]
    alone = {"contrast_anchors": False, "contrast_positives": False}
    named = {"margin": margin.get("margin", 0.0), "margin_strategy": margin.get("kind", "absolute")}
    theirs = GISTEmbedLoss(model, guide, temperature=0.05, **alone, **named)([dict(x) for x in features], None)

    anchors, positives, negatives = (model(dict(x))["sentence_embedding"] for x in features)
    by_guide = [guide(dict(x))["sentence_embedding"] for x in features]
    filters = {
        "exclude": guided(*by_guide[:2], **margin),
        "exclude_negatives": guided(*by_guide[:2], negatives=by_guide[2], **margin),
    }
    n = len(anchors)
    assert filters["exclude"].counts(n, n)[0].sum() + filters["exclude_negatives"].counts(n, n)[0].sum() > 0
    ours = loss_of(anchors, positives, negatives=negatives, temperature=0.05, **filters)
    gradients = [torch.autograd.grad(loss, weights, allow_unused=True) for loss in (ours, theirs)]
    torch.testing.assert_close((ours, gradients[0]), (theirs, gradients[1]), rtol=1e-3, atol=5e-5)


def test_multiple_negatives_ranking_pushes_duplicates_apart(model):
    model.eval()
    features = [model.preprocess(texts) for texts in (["a cat", "the cat"], ["cat sits", "cat sits"])]
    theirs, as_there = (
        kind(model)(features, None) for kind in (MultipleNegativesRankingLoss, SentenceTransformersMNRL)
    )
    torch.testing.assert_close(theirs, as_there)
    positive = SentenceTransformersMNRL(model, duplicates="positives")(features, None)
    gradients = torch.autograd.grad(positive, list(model.parameters()), allow_unused=True)
    # Two equal candidates, both positives: the loss cannot fall further.
    assert all(g is None or g.abs().max() < 1e-5 for g in gradients)


@pytest.mark.parametrize("duplicates", ["negatives", "positives"])
def test_the_trainer_trains_with_it(model, tmp_path, duplicates):
    before = [p.detach().clone() for p in model.parameters()]
    data = datasets.Dataset.from_dict(TEXTS)
    arguments = sbert.SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path / "run"),
        max_steps=3,
        per_device_train_batch_size=4,
        per_device_eval_batch_size=4,
        learning_rate=1e-2,
        logging_steps=1,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    loss = SentenceTransformersMNRL(model, duplicates=duplicates)
    trainer = sbert.SentenceTransformerTrainer(model, arguments, train_dataset=data, eval_dataset=data, loss=loss)
    result = trainer.train()
    assert result.global_step == 3
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(logged) == 3
    assert all(0 < value < 100 for value in logged)
    assert 0 < trainer.evaluate()["eval_loss"] < 100
    assert any((p != q).any() for p, q in zip(model.parameters(), before, strict=True))
    assert all(p.isfinite().all() for p in model.parameters())
    assert isinstance(loss.model, nn.Module)
    model.save_pretrained(str(tmp_path / "saved"))
    assert "SentenceTransformersMNRL" in (tmp_path / "saved" / "README.md").read_text(encoding="utf-8")
