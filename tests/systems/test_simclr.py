"""SimCLR's own decisions: who is a counterpart of whom, what its options refuse."""

import math

import numpy as np
import pytest
import torch

from tellapart.domains.pictures import ImageShape, load_pictures
from tellapart.systems.simclr import Config, SimCLR, terms
from tests import oracle
from tests.tiny.pictures import PICTURE_OPTIONS, write_patterns

FORM = ImageShape(16, 3)


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    return load_pictures(str(write_patterns(tmp_path_factory.mktemp("patterns"), 8)))


def config(**options):
    return Config(**PICTURE_OPTIONS | options)


@pytest.mark.parametrize("views", [2, 3, 5])
def test_its_objective_is_the_oracles_with_all_other_views_as_positives(batch, views):
    model = SimCLR(config(views=views, temperature=0.3), FORM).eval()
    with torch.no_grad():
        torch.manual_seed(1)
        z = model(batch.pictures).double().numpy()
        torch.manual_seed(1)
        got = terms(model, batch).loss().item()
    example = np.arange(8 * views) % 8
    itself = np.eye(8 * views, dtype=bool)
    weights = ((example[:, None] == example) & ~itself).astype(float)
    assert got == pytest.approx(oracle.info_nce(z, z, weights, itself, temperature=0.3), rel=1e-5)


def test_every_view_but_itself_stands_in_the_line_up(batch):
    found = terms(SimCLR(config(views=3), FORM), batch)
    assert found.n_candidates.tolist() == [23] * 24
    assert found.n_positives.tolist() == [2] * 24


@pytest.mark.parametrize("views", [2, 4])
def test_perfect_embeddings_cost_no_more_than_the_choice_among_positives(batch, views):
    """PEERS 5: more than two views treated as negatives of each other."""
    model = SimCLR(config(views=views, temperature=0.02), FORM)
    model.network.forward = lambda _: torch.eye(8).repeat(views, 1)  # type: ignore[method-assign]
    assert terms(model, batch).loss().item() == pytest.approx(math.log(views - 1), abs=1e-5)


def test_a_batch_in_chunks_has_the_loss_of_the_whole(batch):
    """In evaluation mode, where batch norm sees no batch."""
    losses = []
    for chunk in (0, 5):
        model = SimCLR(config(chunk=chunk), FORM).eval()
        torch.manual_seed(0)
        loss = terms(model, batch).loss()
        loss.backward()
        losses.append([loss.item(), *(p.grad.norm().item() for p in model.parameters())])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("chunk", [2, 3, 5, 15])
def test_no_chunk_leaves_a_view_alone_with_its_batch_norm(batch, chunk):
    model = SimCLR(config(views=2, chunk=chunk), ImageShape(8, 3))
    terms(model, batch.rows(torch.arange(8))).loss().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_every_parameter_gets_a_gradient(batch):
    model = SimCLR(config(), FORM)
    terms(model, batch).loss().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_what_is_kept_are_unit_features_from_before_the_head(batch):
    model = SimCLR(config(width=4), FORM).eval()
    vectors = model.network.embed(batch.pictures)
    assert vectors.shape == (8, 32)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(8))
