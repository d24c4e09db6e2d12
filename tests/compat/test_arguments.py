"""The peers' further arguments, against formulas written out over whole matrices in float64."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

import tellapart
from tellapart.compat import (
    InfoNCEPytorch,
    LightlyNTXentLoss,
    MetricLearningNTXentLoss,
    MetricLearningSupConLoss,
    OpenClipLoss,
    SentenceTransformersCachedMNRL,
    SentenceTransformersMNRL,
)
from tellapart.compat.info_nce_pytorch import info_nce
from tellapart.variants import matryoshka
from tests.compat.test_compat import Lookup, check_same, column, cos_sim, cosines, dot_score, embeddings


def test_a_memory_bank_holds_the_only_negatives_and_takes_the_keys_of_training_batches():
    torch.manual_seed(0)
    loss = LightlyNTXentLoss(0.2, memory_bank_size=(6, 3)).double()
    torch.manual_seed(0)
    bank = list(normalize(torch.randn(6, 3)).double())  # as the peer begins, too
    for seed in range(4):
        out0, out1 = embeddings(seed, (4, 3), (4, 3))
        own, others = (normalize(out0) * normalize(out1)).sum(1, keepdim=True), normalize(out0) @ torch.stack(bank).T
        plain = cross_entropy(torch.cat([own, others], 1) / 0.2, torch.zeros(4, dtype=torch.long))
        with torch.no_grad():
            torch.testing.assert_close(loss(out0.detach(), out1), plain.detach())  # evaluation changes nothing
        check_same(loss(out0, out1), plain, out0, out1)
        bank = [*bank, *normalize(out1.detach())][-6:]
    kept = LightlyNTXentLoss(0.2, memory_bank_size=(6, 3)).double()
    kept.load_state_dict(loss.state_dict())
    assert kept(out0.detach(), out1) == loss(out0.detach(), out1)


def test_a_bank_that_is_gathered_in_one_process_is_a_bank():
    torch.manual_seed(0)
    one = LightlyNTXentLoss(memory_bank_size=(6, 3))
    other = LightlyNTXentLoss(memory_bank_size=(6, 3), gather_distributed=True)
    other.load_state_dict(one.state_dict())
    x, y = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3)
    assert [one(x, y), one(x, y)] == [other(x, y), other(x, y)]


def test_a_logit_bias_gets_a_gradient_of_0_for_data_parallelism():
    images, texts = embeddings(0, (3, 2), (3, 2))
    bias = torch.tensor(-10.0, requires_grad=True)
    loss = OpenClipLoss(False, True, True, 0, 1, False)(images, texts, 10.0, bias, output_dict=True)["contrastive_loss"]
    loss.backward()
    assert bias.grad == 0
    torch.testing.assert_close(loss, OpenClipLoss()(images, texts, 10.0))


@pytest.mark.parametrize("shape", [(4, 3), (0, 3)])
def test_info_nce_the_function_is_the_module(shape):
    query, positive, negatives = embeddings(0, (5, 3), (5, 3), shape)
    given = (query, positive, negatives)
    assert info_nce(*given, 0.2, "sum", "unpaired") == InfoNCEPytorch(0.2, "sum")(*given)
    own, others = (normalize(query) * normalize(positive)).sum(1, keepdim=True), cosines(query, negatives)
    plain = cross_entropy(torch.cat([own, others], 1) / 0.1, torch.zeros(5, dtype=torch.long))
    torch.testing.assert_close(info_nce(*given), plain)
    assert info_nce(query, positive) == InfoNCEPytorch()(query, positive)


PAIRS = [[0, 0, 1, 3, 3], [1, 2, 0, 4, 4], [0, 0, 1, 3], [3, 3, 4, 0]]  # pairs that count twice among them


def ntxent_of_pairs(logits, pairs):
    anchors, positives, others, negatives = pairs
    losses = []
    for a, p in zip(anchors, positives, strict=True):
        own = [n for o, n in zip(others, negatives, strict=True) if o == a]
        losses.append(torch.stack([logits[a, p], *(logits[a, n] for n in own)]).logsumexp(0) - logits[a, p])
    return torch.stack(losses)


def sup_con_of_pairs(logits, pairs):
    anchors, positives, others, negatives = pairs
    losses = []
    for a in sorted(set(anchors)):
        own = sorted({p for x, p in zip(anchors, positives, strict=True) if x == a})
        rest = sorted({n for x, n in zip(others, negatives, strict=True) if x == a})
        losses.append(logits[a, own + rest].logsumexp(0) - logits[a, own].mean())
    return torch.stack(losses)


class Euclidean(nn.Module):
    """A distance as pytorch-metric-learning has them."""

    is_inverted = False

    def forward(self, query_emb, ref_emb):
        return torch.cdist(query_emb, ref_emb)


@pytest.mark.parametrize(
    ("kind", "formula"),
    [(MetricLearningNTXentLoss, ntxent_of_pairs), (MetricLearningSupConLoss, sup_con_of_pairs)],
)
def test_a_miners_pairs_another_distance_and_a_reducer(kind, formula):
    x, ref = embeddings(0, (5, 3), (6, 3))
    pairs = tuple(map(torch.tensor, PAIRS))
    plain = formula(cosines(x, x) / 0.3, PAIRS)
    check_same(kind(0.3)(x, None, pairs), plain.mean(), x)
    triplets = torch.tensor([0, 3]), torch.tensor([1, 4]), torch.tensor([3, 0])
    as_pairs = [[0, 3], [1, 4], [0, 3], [3, 0]]
    check_same(kind(0.3)(x, torch.arange(5), triplets), formula(cosines(x, x) / 0.3, as_pairs).mean(), x)
    distant = kind(0.3, distance=Euclidean())
    check_same(distant(x, None, pairs, ref), formula(-torch.cdist(x, ref) / 0.3, PAIRS).mean(), x, ref)
    labels, ref_labels = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 1, 1, 2, 2, 3])
    alike = labels[:, None] == ref_labels
    all_pairs = [*alike.nonzero().T.tolist(), *(~alike).nonzero().T.tolist()]
    check_same(
        distant(x, labels, ref_emb=ref, ref_labels=ref_labels),
        formula(-torch.cdist(x, ref) / 0.3, all_pairs).mean(),
        x,
        ref,
    )
    seen = []

    def largest(losses, given, given_labels):
        seen.append((losses["loss"]["reduction_type"], given is x, given_labels is labels))
        return losses["loss"]["losses"].max()

    plain = formula(cosines(x, ref) / 0.3, all_pairs).max()
    check_same(kind(0.3, reducer=largest)(x, labels, None, ref, ref_labels), plain, x, ref)
    assert seen == [("pos_pair" if kind is MetricLearningNTXentLoss else "element", True, True)]


def test_float_labels_are_compared_by_value_and_nan_is_no_label():
    (x,) = embeddings(0, (4, 3))
    loss = MetricLearningNTXentLoss()
    assert loss(x, torch.tensor([0.5, 0.5, 1.0, 1.0])) == loss(x, [0, 0, 1, 1])
    nan = float("nan")
    assert loss(x, torch.tensor([0.5, 0.5, nan, nan])) == loss(x, [0, 0, 1, 2])


def test_a_regularizer_is_added_with_its_weight():
    (x,) = embeddings(0, (4, 3))
    labels, lengths = [0, 0, 1, 1], lambda e: e.norm(dim=1).mean()
    loss = MetricLearningSupConLoss(embedding_regularizer=lengths, embedding_reg_weight=0.5)(x, labels)
    check_same(loss, MetricLearningSupConLoss()(x, labels) + 0.5 * lengths(x), x)


def ranking(embedded, scale, similarity, directions, partition, mode, strength):
    """The loss of the peer's documentation, anchor by anchor."""
    queries, *columns = embedded
    docs, n = torch.cat(columns), len(queries)
    losses = []
    for i in range(n):
        s = similarity(queries[i : i + 1], docs)[0]
        own = torch.arange(len(docs)) % n == i
        hard = own & (torch.arange(len(docs)) >= n)
        raised = {None: own & ~own, "in_batch_negatives": ~own, "hard_negatives": hard, "all_negatives": ~own | hard}
        parts = [scale * s + strength * s.detach() * raised[mode]]
        others = torch.arange(n) != i
        if "query_to_query" in directions:
            parts.append(scale * similarity(queries[i : i + 1], queries[others])[0])
        if "doc_to_query" in directions:
            parts.append(scale * similarity(columns[0][i : i + 1], queries)[0])
        if "doc_to_doc" in directions:
            parts.append(scale * similarity(columns[0][i : i + 1], docs[~own])[0])
        log_z = torch.cat(parts).logsumexp(0)
        if partition == "per_direction":
            log_z = torch.stack([part.logsumexp(0) for part in parts]).mean()
        losses.append(log_z - scale * s[i])
    return torch.stack(losses).mean()


def negative_distance(a, b):
    return -torch.cdist(a, b)


Q, QQ, DQ, DD = "query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"


@pytest.mark.parametrize("n_hard", [0, 2])
@pytest.mark.parametrize("similarity", [cos_sim, dot_score, negative_distance])
@pytest.mark.parametrize(
    ("directions", "partition", "mode", "strength"),
    [
        ((Q, QQ, DQ, DD), "joint", None, 0.0),
        ((Q, DQ), "per_direction", None, 0.0),
        ((Q, DD), "joint", "all_negatives", 2.0),
        *(((Q,), "joint", mode, 3.0) for mode in ("in_batch_negatives", "hard_negatives", "all_negatives")),
    ],
)
def test_directions_and_hardness(n_hard, similarity, directions, partition, mode, strength):
    model, rng = Lookup(), torch.Generator().manual_seed(n_hard)
    columns = [column(*torch.randint(1, 12, (5, 3), generator=rng).tolist()) for _ in range(2 + n_hard)]
    options = (3.0, similarity, False, directions, partition, mode, strength)
    embedded = [model(x)["sentence_embedding"] for x in columns]
    plain = ranking(embedded, 3.0, similarity, directions, partition, mode, strength)
    check_same(SentenceTransformersMNRL(model, *options)(columns, None), plain, model.table)


@pytest.mark.parametrize("options", [{"mini_batch_size": 2}, {"mini_batch_num_tokens": 5}, {"mini_batch_size": 100}])
def test_the_cached_form_is_the_same_with_one_mini_batch_at_a_time(options):
    model, most = Lookup(), []
    columns = [column([1], [2, 3, 4, 5, 6, 7], [3, 4], [1, 9], [5]), column([4], [5], [6], [7, 8], [9])]
    model.register_forward_pre_hook(lambda _, given: most.append(int(given[0]["attention_mask"].sum())))
    plain = SentenceTransformersMNRL(model, duplicates="positives")(columns)
    most.clear()
    check_same(SentenceTransformersCachedMNRL(model, duplicates="positives", **options)(columns), plain, model.table)
    if "mini_batch_num_tokens" in options:
        assert max(most) == 6  # the one text that is longer than the budget
        assert max(x for x in most if x != 6) <= 5


@pytest.mark.parametrize("with_grad", [True, False])
def test_the_cached_form_lets_its_embeddings_be_cut_as_matryoshka_loss_cuts_them(with_grad):
    """Which wraps `calculate_loss`, and passes gradients on itself, width by width: tests/peers has the real one."""
    model, widths, shares = Lookup(), (4, 1, 2), (1.0, 0.5, 2.0)
    columns = [column([1], [2, 3, 4], [3, 4], [1, 9], [5]), column([4], [5], [6], [7, 8], [9])]
    loss = SentenceTransformersCachedMNRL(model, 3.0, mini_batch_size=2)
    whole = loss.calculate_loss

    def of_prefixes(reps, *args, **kwargs):
        total = 0.0
        for width, share in zip(widths, shares, strict=True):
            cut = [[normalize(x[..., :width], dim=-1) for x in batches] for batches in reps]
            leaves = [[x.detach().requires_grad_(with_grad) for x in batches] for batches in cut]
            total += share * whole(leaves, *args, **kwargs)
            for batches, own in zip(cut, leaves, strict=True):
                for x, leaf in zip(batches, own, strict=True):
                    x.backward(share * leaf.grad) if with_grad else None
        return total

    loss.calculate_loss = of_prefixes
    embedded = [model(x)["sentence_embedding"] for x in columns]
    plain = matryoshka(tellapart.info_nce, *embedded, widths=widths, weights=shares, temperature=1 / 3)
    if with_grad:
        check_same(loss(columns), plain, model.table)
    else:
        with torch.no_grad():
            torch.testing.assert_close(loss(columns), plain)


def test_the_cached_form_takes_batches_of_a_tokenizer():
    from transformers import BatchEncoding

    model = Lookup()
    columns = [BatchEncoding(column([1], [2, 3], [4])), BatchEncoding(column([5], [6], [7, 8]))]
    loss = SentenceTransformersCachedMNRL(model, mini_batch_size=2)
    check_same(loss(columns), SentenceTransformersMNRL(model)(columns), model.table)
    assert [len(x["input_ids"]) for x in columns] == [3, 3]


def test_duplicates_of_a_static_embedding_are_found_by_their_offsets():
    """Texts in a row, as an EmbeddingBag takes them."""
    table = nn.EmbeddingBag(9, 4).double()

    class Static(nn.Module):
        def forward(self, features):
            return {"sentence_embedding": table(features["input_ids"], features["offsets"])}

    anchors = {"input_ids": torch.tensor([1, 2, 3, 4]), "offsets": torch.tensor([0, 1, 3])}
    positives = {"input_ids": torch.tensor([5, 6, 5, 6, 7]), "offsets": torch.tensor([0, 2, 4])}
    loss = SentenceTransformersMNRL(Static(), duplicates="positives")([anchors, positives])
    logits = 20 * cosines(*(Static()(x)["sentence_embedding"] for x in (anchors, positives)))
    log_shares = logits.log_softmax(1)
    plain = -(log_shares[0, :2].mean() + log_shares[1, :2].mean() + log_shares[2, 2]) / 3
    check_same(loss, plain, table.weight)


def test_a_model_card_finds_the_options():
    config = SentenceTransformersCachedMNRL(Lookup(), similarity_fct=dot_score, mini_batch_size=7).get_config_dict()
    assert (config["similarity_fct"], config["mini_batch_size"], config["scale"]) == ("dot_score", 7, 20.0)


def test_temperatures_of_numpy_are_numbers_here_too():
    x, y = embeddings(0, (4, 3), (4, 3))
    for tau in (np.float32(0.25), np.array(0.25), np.array([0.25])):
        assert LightlyNTXentLoss(tau)(x, y) == LightlyNTXentLoss(0.25)(x, y)
        assert InfoNCEPytorch(tau)(x, y) == InfoNCEPytorch(0.25)(x, y)
        assert MetricLearningNTXentLoss(tau)(x, [0, 0, 1, 1]) == MetricLearningNTXentLoss(0.25)(x, [0, 0, 1, 1])
