"""The reference encoders."""

import subprocess
import sys
import zlib

import pytest
import torch

from tellapart.domains.pictures import ConvNet
from tellapart.domains.text import NgramBag
from tellapart.domains.text.ngram_bag import ngrams


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


@pytest.mark.parametrize("size", [8, 16, 33, 64])
def test_pictures_of_any_size_are_embedded_and_in_evaluation_each_on_its_own(size):
    model = ConvNet(dim=6, width=4)
    pictures = torch.randint(0, 256, (5, 3, size, size), dtype=torch.uint8)
    model(pictures)
    model.eval()
    together = model(pictures)
    assert together.shape == (5, 6)
    torch.testing.assert_close(model(pictures[2:3])[0], together[2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_either_number_of_channels_are_the_same_as_bytes_and_as_shares(channels):
    model = ConvNet(dim=6, width=4, channels=channels).eval()
    pictures = torch.randint(0, 256, (3, channels, 8, 8), dtype=torch.uint8)
    assert torch.equal(model(pictures), model(pictures.float() / 255))


@pytest.mark.parametrize("size", [8, 9])
def test_a_shortcut_is_a_convolution_of_every_second_place(size):
    block = ConvNet(None, width=3).stages[0].double()
    x = torch.randn(2, 3, size, size, dtype=torch.float64, requires_grad=True)
    strided = torch.nn.functional.conv2d(x, block.shortcut.weight, stride=2)
    expected = torch.relu(block.body(x) + strided)
    found, sources = block(x), (x, block.shortcut.weight)
    torch.testing.assert_close(found, expected)
    cotangent = torch.randn_like(found)
    gradients = [torch.autograd.grad(y, sources, cotangent) for y in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_a_narrow_network_learns_from_large_pictures():
    """A 1×1 convolution of stride 2 ended the process here, hence a process of its own."""
    program = f"""
import torch
from {ConvNet.__module__} import ConvNet
for width, size in ((4, 64), (8, 64), (12, 96)):
    model = ConvNet(None, width, channels=1)
    model(torch.rand(2, 1, size, size)).sum().backward()
    assert model.first.weight.grad.isfinite().all()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
