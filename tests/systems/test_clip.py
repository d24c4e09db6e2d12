"""CLIP's own decisions: who is a counterpart, what is learned, what its options refuse."""

import math

import pytest
import torch

from tellapart.domains.pictures import Pairs, load_pairs
from tellapart.systems.clip import CLIP, Config, terms
from tests import oracle
from tests.tiny.pictures import OPTIONS, write_pairs


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return load_pairs(str(write_pairs(tmp_path_factory.mktemp("pairs"))), 16)


def config(**options):
    return Config(**{name: value for name, value in OPTIONS.items() if name in Config.__dataclass_fields__} | options)


def test_equal_texts_and_equal_pictures_are_positives_and_no_others():
    """PEERS 18: repeated captions pushed apart as negatives."""
    pictures = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    pictures[:, 0, 0, 0] = torch.tensor([1, 2, 3, 3])
    batch = Pairs(pictures, ["a cat", "A  cat", "dog", "puppy"], ["1", "2", "3", "./3"])
    matrix = batch.matches().tile(slice(0, 4), slice(0, 4)).int().tolist()
    assert matrix == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]


def test_perfect_embeddings_of_repeated_texts_cost_their_entropy_and_no_more(pairs):
    """A text that stands twice: its picture finds either, so the loss is log 2 and not a push apart."""
    doubled = pairs.rows(torch.tensor([0, 0, 5, 10]))
    model = CLIP(config()).eval()
    vectors = torch.eye(3)[[0, 0, 1, 2]]
    model.picture_encoder.forward = lambda _: vectors  # type: ignore[method-assign]
    model.text_encoder.forward = lambda _: vectors  # type: ignore[method-assign]
    with torch.no_grad():
        model.temperature.log_temperature.fill_(math.log(0.02))
    per_query = terms(model, doubled).per_query()
    torch.testing.assert_close(per_query, torch.tensor([math.log(2), math.log(2), 0, 0]), atol=1e-5, rtol=0)


def test_its_objective_is_the_oracles_symmetric_infonce(pairs):
    batch = pairs.rows(torch.arange(9))
    model = CLIP(config(text_dropout=0.0, temperature=0.07)).eval()
    weights = batch.matches().tile(slice(0, 9), slice(0, 9)).double().numpy()
    with torch.no_grad():
        u = model.picture_encoder(batch.pictures).double().numpy()
        v = model.text_encoder(batch.texts).double().numpy()
        got = terms(model, batch).loss().item()
    expected = oracle.info_nce(u, v, weights, weights * 0 > 0, temperature=0.07, symmetric=True)
    assert got == pytest.approx(expected, rel=1e-5)


def test_every_parameter_gets_a_gradient_and_the_temperature_too(pairs):
    model = CLIP(config())
    terms(model, pairs.rows(torch.arange(8))).loss().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_the_temperature_is_clamped_as_clips(pairs):
    model = CLIP(config(temperature=0.01))
    optimizer = torch.optim.SGD(model.temperature.parameters(), lr=100.0)
    vectors = torch.eye(8)
    model.picture_encoder.forward = lambda _: vectors  # type: ignore[method-assign]
    model.text_encoder.forward = lambda _: vectors  # type: ignore[method-assign]
    for _ in range(3):  # perfect embeddings ask for an ever colder game
        terms(model, pairs.rows(torch.arange(8))).loss().backward()
        optimizer.step()
    assert 1 / model.temperature().item() <= 100 * (1 + 1e-6)
