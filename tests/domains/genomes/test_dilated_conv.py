"""The encoders of DNA against their formulas in loops, and what they promise: strands, padding, long sequences."""

import random

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tellapart.domains.genomes import DilatedConv, kmer_profile
from tellapart.domains.genomes import dilated_conv as dna
from tellapart.domains.genomes.bases import encode, padded, reverse_complement
from tests.domains.genomes.test_bases import COMPLEMENTS, MEANINGS

TEXTS = st.lists(st.text("ACGTNRY", min_size=1, max_size=70), min_size=1, max_size=5)


def as_reads(texts):
    return padded([encode(text) for text in texts])


def network(dilations=(1, 2), both_strands=True, width=5):
    torch.manual_seed(0)
    return DilatedConv(width, dilations, both_strands=both_strands).double()


def by_loops(network, text):
    """The docstring's formulas, base by base."""
    one_hot = np.array([[(base in MEANINGS[letter]) / len(MEANINGS[letter]) for base in "ACGT"] for letter in text])
    weights = [(layer.weight[:, :, 0].detach().numpy(), layer.bias.detach().numpy()) for layer in
               (network.first, *network.rest)]  # fmt: skip

    def convolved(x, weight, bias, dilation):
        half = weight.shape[2] // 2
        out = np.tile(bias, (len(x), 1))
        for i in range(len(x)):
            for tap in range(weight.shape[2]):
                j = i + dilation * (tap - half)
                if 0 <= j < len(x):
                    out[i] += weight[:, :, tap] @ x[j]
        return np.maximum(out, 0)

    h = convolved(one_hot, *weights[0], 1)
    h = np.array([h[i : i + 3].sum(axis=0) / 3 for i in range(0, len(h), 3)])
    for (weight, bias), layer in zip(weights[1:], network.rest, strict=True):
        h = h + convolved(h, weight, bias, layer.dilation[1])
    return h.sum(axis=0) * 3 / len(text)


@settings(max_examples=30)
@given(TEXTS, st.sampled_from([(), (1,), (1, 2, 4)]))
@example(["ACGTNACGTACA", "TTTACGTYACGA"], (1, 2))  # nothing to pad
def test_features_are_the_formulas_whatever_else_is_in_the_batch(texts, dilations):
    """Reads shorter than the receptive field and ambiguous bases among them."""
    model = network(dilations, both_strands=False)
    with torch.no_grad():
        found = model(as_reads(texts)).numpy()
    np.testing.assert_allclose(found, [by_loops(model, text) for text in texts], rtol=1e-9, atol=1e-12)


@settings(max_examples=30)
@given(TEXTS)
def test_both_strands_have_the_same_features_and_those_are_the_sum(texts):
    model, one = network(), network(both_strands=False)
    reads = as_reads(texts)
    with torch.no_grad():
        found = model(reads)
        torch.testing.assert_close(found, model(reverse_complement(reads)), rtol=0, atol=0)
        turned = ["".join(COMPLEMENTS[letter] for letter in reversed(text)) for text in texts]
        torch.testing.assert_close(found, one(reads) + one(as_reads(turned)))


@pytest.mark.parametrize("length", [89, 90, 91, 200, 333])
@pytest.mark.parametrize("dilations", [(), (1,), (1, 2, 4)])
def test_a_long_sequence_in_pieces_has_the_features_of_the_whole(monkeypatch, length, dilations):
    model = network(dilations)
    reads = as_reads(["".join(random.Random(i).choices("ACGTN", k=length - 7 * i)) for i in range(3)])
    with torch.no_grad():
        whole = model(reads)
        monkeypatch.setattr(dna, "_PIECE", 30)
        torch.testing.assert_close(model(reads), whole)


def test_what_a_place_depends_on_is_no_more_than_the_halo():
    """The halo is what pieces are computed with on either side: enough, and not by far too much."""
    for dilations in [(), (1,), (1, 2, 4)]:
        model = network(dilations, both_strands=False)
        reads = as_reads(["A" * 150])
        with torch.no_grad():
            before = model._places(reads)[0, :, 0]
            reads[0, 75] = 8
            changed = (model._places(reads)[0, :, 0] - before).abs().amax(dim=0).nonzero().flatten()
        reach = 3 * int((changed - 25).abs().max())
        assert reach <= model.halo <= reach + 3


@pytest.mark.parametrize("precision", [torch.float64, torch.bfloat16])
def test_it_computes_in_whatever_precision_it_is(precision):
    model = network().to(precision)
    model(as_reads(["ACGTACGT", "AC"])).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@settings(max_examples=40)
@given(TEXTS, st.integers(1, 5))
def test_kmer_profiles_are_counts_of_words_and_their_reverse_complements(texts, k):
    def turned(word):
        return "".join(COMPLEMENTS[letter] for letter in reversed(word))

    everyone = ["".join(letters) for letters in np.array(np.meshgrid(*[list("ACGT")] * k)).reshape(k, -1).T]
    words = sorted({min(word, turned(word)) for word in everyone})
    expected = np.zeros((len(texts), len(words)))
    for row, text in enumerate(texts):
        found = [text[i : i + k] for i in range(len(text) - k + 1)]
        kept = [min(word, turned(word)) for word in found if set(word) <= set("ACGT")]
        for word in kept:
            expected[row, words.index(word)] += 1 / len(kept)
    profile = kmer_profile(as_reads(texts), k)
    np.testing.assert_allclose(profile, expected, atol=1e-6)
    np.testing.assert_allclose(profile, kmer_profile(reverse_complement(as_reads(texts)), k), atol=1e-6)


def test_canonical_4_mers_are_136():
    assert kmer_profile(as_reads(["ACGTN"])).shape == (1, 136)


@pytest.mark.parametrize("k", [0, 9])
def test_another_k_is_refused(k):
    with pytest.raises(ValueError, match=f"`k` must lie between 1 and 8. Got {k}"):
        kmer_profile(as_reads(["ACGT"]), k)
