"""How results show themselves: sizes and figures in one line, tables in a notebook, and never a tensor."""

import numpy as np
import pytest
import torch

import tellapart
from tellapart import (
    before,
    dense,
    edges,
    everyone,
    gaussian,
    info_nce_terms,
    listed,
    other_views,
    paired,
    same,
    within,
)
from tellapart.negatives import alike
from tests.harness import RELATIONS

VECTORS = torch.eye(6)


def test_terms_say_sizes_loss_and_accuracy():
    terms = info_nce_terms(VECTORS, VECTORS, temperature=0.5, symmetric=True)
    shown = repr(terms)
    assert shown == (
        "Terms(queries=6, keys=6, candidates=6, positives=1, "
        f"loss={terms.loss().item():.4g}, accuracy=1, dtype=float32, device=cpu)"
    )
    assert "<td>float32</td>" in terms._repr_html_()
    ids = torch.tensor([0, 0, 1, 1, 1, 2])
    terms = info_nce_terms(VECTORS, VECTORS, positives=same(ids) & ~paired(), exclude=paired())
    assert "positives=0 to 2, " in repr(terms)
    assert "candidates=5, " in repr(terms)


def test_terms_without_values_say_sizes():
    terms = info_nce_terms(VECTORS.to("meta"), VECTORS.to("meta"))
    assert repr(terms) == "Terms(queries=6, dtype=float32, device=meta)"


def test_to_show_terms_changes_no_gradient():
    queries = VECTORS.clone().requires_grad_()
    shown = info_nce_terms(queries, VECTORS)
    repr(shown)
    shown.loss().backward()
    gradient, queries.grad = queries.grad, None
    info_nce_terms(queries, VECTORS).loss().backward()
    torch.testing.assert_close(gradient, queries.grad, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("relation", "shown"),
    [
        (paired(), "paired()"),
        (everyone(), "everyone()"),
        (listed(torch.tensor([1, 2, 0])), "listed(3 queries)"),
        (other_views(4), "other_views(4)"),
        (same([1, 2]) & ~paired(), "(same(2 × 2 ids) & ~paired())"),
        (same(["a"], ["b", "c"]) | paired(), "(same(1 × 2 ids) | paired())"),
        (edges(torch.tensor([[0], [1]])), "edges(1 pairs)"),
        (edges(torch.tensor([[0], [1]]), torch.tensor([0.5])), "edges(1 weighted pairs)"),
        (dense(torch.ones(2, 3)), "dense(2 × 3 weights)"),
        (dense(torch.ones(2, 3) > 0).transposed(), "dense(2 × 3 booleans).transposed()"),
        (within(torch.arange(5), torch.arange(7), 2), "within(5 × 7 times, radius=2)"),
        (within(torch.zeros(5, 2), None, 1.5), "within(5 × 5 points, radius=1.5)"),
        (gaussian(torch.arange(5), None, 2.0), "gaussian(5 × 5 times, sigma=2)"),
        (before(torch.arange(5)), "before(5 × 5 times)"),
        (alike(VECTORS, None, 0.9), "alike(6 × 6 vectors)"),
    ],
)
def test_relations_show_the_expression_that_makes_them(relation, shown):
    assert repr(relation) == shown


@pytest.mark.parametrize("name", RELATIONS)
def test_every_relation_is_shown_without_its_tensors(name):
    relation, matrix = RELATIONS[name](np.random.default_rng(0))
    assert "tensor" not in repr(relation)
    assert "object at" not in repr(relation)
    is_weighted = not set(np.unique(matrix)) <= {0.0, 1.0}
    assert not is_weighted or "<td>weights</td>" in relation._repr_html_()


def test_a_run_says_what_it_read_how_long_it_trained_and_what_was_found(trained, tmp_path):
    run = tellapart.load(trained)
    lines = [line.strip() for line in repr(run).splitlines()]
    assert lines[0] == f"Trained('{trained}', clip: evaluate, embed, search, cluster, export)"
    assert lines[1].startswith("data: Read 24 pairs. Training changes each picture a little as a drawing")
    assert lines[2].startswith("training: ")
    assert f"{len(run._run.log())} steps, the last with a loss of" in lines[2]
    first = next(row for row in run.results.rows if row[1] == "trained")
    assert f"picture → text: R@1 {first[2]:.4g}; text → picture: R@1" in lines[3]
    page = run._repr_html_()
    assert page.startswith(f"<table><caption>{trained}</caption>")
    assert "<th>results</th>" in page
    assert repr(run.embed(["red dot", "blue bar"])) == "Embeddings(2 texts, 16 dimensions)"
    html = run.results._repr_html_()
    assert html.count("<tr>") == 1 + len(run.results.rows)
    (trained / "results.json").rename(tmp_path / "kept")
    try:
        assert "results" not in repr(run)
        (trained / "results.json").write_text("no json")
        assert "damaged" in repr(run)
    finally:
        (tmp_path / "kept").rename(trained / "results.json")
