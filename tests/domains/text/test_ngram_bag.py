"""Texts as bags of hashed n-grams."""

import zlib

import pytest
import torch

from tellapart.domains.text import NgramBag, hashed
from tellapart.domains.text.ngram_bag import ngrams
from tests.domains.text.conftest import TEXTS


def test_a_texts_embedding_does_not_depend_on_the_rest_of_its_batch():
    model = NgramBag(8, buckets=64, width=8, dropout=0.5).eval()
    texts = ["red fish", "", "小猫", "x", "قطة", "a much longer text than the others"]
    together = model(texts)
    assert together.isfinite().all()
    for text, row in zip(texts, together, strict=True):
        torch.testing.assert_close(model([text])[0], row)


def test_a_word_is_the_sum_of_its_ngrams_by_the_root_of_their_number_and_a_text_the_mean_of_its_words():
    model = NgramBag(8, buckets=32, width=8).double().eval()
    rows = [[zlib.crc32(piece.encode()) % 32 for piece in word] for word in ngrams("red goldfish")]
    words = torch.stack([model.ngrams.weight[word].sum(dim=0) / len(word) ** 0.5 for word in rows])
    torch.testing.assert_close(model(["red goldfish", "x"])[0], model.head(words.mean(dim=0)))


def test_words_of_different_ngrams_count_alike_at_first_however_long_they_are():
    torch.manual_seed(0)
    model = NgramBag(64, buckets=2**16, width=64, head=False)
    lengths = model(["a", "tree", "straightforward", "internationalisation"]).norm(dim=1)
    assert lengths.min() > 0.6
    assert lengths.max() < 1.5


def test_what_is_left_of_a_text_counts_for_all_of_it_and_nothing_for_nothing():
    torch.manual_seed(0)
    model = NgramBag(1, buckets=64, width=1, dropout=0.6, head=False)
    torch.nn.init.ones_(model.ngrams.weight)
    texts = ["x"] * 40 + ["red fish"] * 20 + ["a much longer text " * 300]
    whole, dropped = model.eval()(texts), model.train()(texts)
    is_left = dropped[:, 0] != 0
    assert 0 < is_left[:40].sum() < 40
    torch.testing.assert_close(dropped[is_left], whole[is_left], rtol=1e-4, atol=0)
    torch.testing.assert_close(model.bfloat16()(texts[-1:]).float(), whole[-1:], rtol=0.02, atol=0)


def test_dropped_ngrams_change_training_but_not_evaluation():
    model = NgramBag(8, buckets=64, width=8, dropout=0.5)
    assert not torch.equal(model(["red fish"]), model(["red fish"]))
    model.eval()
    assert torch.equal(model(["red fish"]), model(["red fish"]))


def test_a_text_whose_ngrams_are_all_dropped_is_finite():
    model = NgramBag(8, buckets=64, width=8, dropout=0.999)
    assert model(["a"] * 50).isfinite().all()


@pytest.mark.parametrize(("a", "b"), [("Fish", "fish"), ("ﬁsh", "fish"), (" red  fish ", "red fish"), ("É", "e\u0301")])
def test_texts_that_say_the_same_have_the_same_ngrams(a, b):
    assert ngrams(a) == ngrams(b)


def test_what_is_hashed_once_is_embedded_as_the_texts_are():
    model = NgramBag(8, buckets=64, width=8, head=False, sparse=True)
    bags = hashed(TEXTS, 64)
    torch.testing.assert_close(model(bags), model(TEXTS))
    torch.testing.assert_close(model(bags.rows(torch.tensor([4, 1]))), model(TEXTS)[[4, 1]])


def test_sparse_gradients_are_those_that_are_dense():
    found = []
    for sparse in (False, True):
        torch.manual_seed(0)
        model = NgramBag(8, buckets=64, width=8, head=False, sparse=sparse)
        model(TEXTS).sin().sum().backward()
        assert model.ngrams.weight.grad.is_sparse == sparse
        found.append(model.ngrams.weight.grad.to_dense())
    torch.testing.assert_close(*found)
