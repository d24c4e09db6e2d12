"""The graph system's own decisions: who is a counterpart of whom, who stands in the line-up, what it refuses."""

import itertools
import math

import numpy as np
import pytest
import torch

from tellapart import InputError, nt_xent, options
from tellapart.domains.graphs import Part, Sampler, load_graph
from tellapart.systems.graph import Config, Model, positives, terms
from tests import oracle
from tests.planning.peak import Peak
from tests.tiny.graphs import GRAPH_OPTIONS, write_graph

KINDS = list(itertools.product(["neighbours", "itself"], ["other", "both"], ["out", "in"]))


def config(**options):
    return Config(**{"data": "nowhere"} | GRAPH_OPTIONS | options)


def small_part(n=7, n_asked=5):
    """A path with a chord; the last two nodes are there to be seen only."""
    once = torch.stack([torch.arange(n - 1), torch.arange(1, n)])
    once = torch.cat([once, torch.tensor([[0], [3]])], dim=1)
    return Part(torch.randn(n, 6), torch.cat([once, once.flip(0)], dim=1), n_asked)


def projections(model, part):
    """What both views come to, if nothing is dropped."""
    with torch.no_grad():
        return model.network(part.features, part.edge_index, part.edge_weight, part.n_asked).double().numpy()


def neighbourhood(part):
    """Who is next to whom among those asked."""
    next_to = np.zeros((part.n_asked, part.n_asked))
    for a, b in part.edge_index.T.tolist():
        if a < part.n_asked and b < part.n_asked:
            next_to[a, b] = 1
    return next_to


@pytest.mark.parametrize(("whom", "line_up", "several"), KINDS)
def test_its_objective_is_the_oracles(whom, line_up, several):
    part = small_part()
    options = {"counterparts": whom, "line_up": line_up, "multi_positive": several, "temperature": 0.4}
    model = Model(config(drop_edges=0.0, drop_features=0.0, **options), 6)
    z, n = projections(model, part), part.n_asked
    next_to, itself = (neighbourhood(part) if whom == "neighbours" else np.zeros((n, n))), np.eye(n)
    rest = {"temperature": 0.4, "multi_positive": several}
    if line_up == "other":
        wanted = oracle.info_nce(z, z, next_to + itself, np.zeros((n, n), bool), symmetric=True, **rest)
    else:
        weights = np.block([[next_to, next_to + itself], [next_to + itself, next_to]])
        wanted = oracle.info_nce(*[np.concatenate([z, z])] * 2, weights, np.eye(2 * n, dtype=bool), **rest)
    assert terms(model, part).loss().item() == pytest.approx(wanted, rel=1e-5)


def test_itself_among_both_views_is_graces_objective():
    """Zhu et al. 2020, eq. 1 and 2: inter-view and intra-view negatives, averaged over both views."""
    part = small_part()
    model = Model(config(counterparts="itself", line_up="both", drop_edges=0.4, drop_features=0.4), 6)
    torch.manual_seed(3)
    found = terms(model, part).loss().item()
    torch.manual_seed(3)
    from tellapart.domains.graphs import drop_from_graph

    views = [drop_from_graph(part.features, part.edge_index, edge_rate=0.4, feature_rate=0.4) for _ in range(2)]
    u, v = (model.network(*view, 5).detach().double() for view in views)
    u, v = (torch.nn.functional.normalize(side).numpy() for side in (u, v))
    losses = []
    for one, other in ((u, v), (v, u)):
        for i in range(5):
            between = sum(math.exp(one[i] @ other[k] / 0.3) for k in range(5))
            within = sum(math.exp(one[i] @ one[k] / 0.3) for k in range(5) if k != i)
            losses.append(-math.log(math.exp(one[i] @ other[i] / 0.3) / (between + within)))
    assert found == pytest.approx(np.mean(losses), rel=1e-5)
    same_sides = nt_xent(torch.from_numpy(u), torch.from_numpy(v), temperature=0.3)
    assert found == pytest.approx(same_sides.item(), rel=1e-5)


@pytest.mark.parametrize(("whom", "line_up", "several"), KINDS)
def test_nobody_reads_the_whole_matrix_to_know_who_is_a_counterpart(whom, line_up, several):
    own = small_part().edges_among_asked()
    relation = positives(config(counterparts=whom, line_up=line_up, multi_positive=several), own, 5)
    n = 5 if line_up == "other" else 10
    assert relation.pairs(n, n) is not None


@pytest.mark.parametrize(("whom", "line_up"), [("neighbours", "other"), ("neighbours", "both"), ("itself", "both")])
def test_a_step_holds_less_than_half_a_matrix_of_all_pairs(whom, line_up):
    n = 4000
    c = n if line_up == "other" else 2 * n
    once = torch.randint(n, (2, 3 * n))
    part = Part(torch.randn(n, 4), torch.cat([once, once.flip(0)], dim=1), n)
    model = Model(config(counterparts=whom, line_up=line_up, width=4, dim=4), 4)
    with Peak() as peak, options(memory_budget=0):
        terms(model, part).loss().backward()
    assert peak.most < 4 * c * c / 2


def test_who_is_only_there_to_be_seen_does_not_stand_in_the_line_up():
    found = terms(Model(config(), 6), small_part())
    assert found.n_candidates.tolist() == [5] * 5
    assert found.n_positives.tolist() == [3, 3, 3, 4, 2]  # itself, and its neighbours among the five


@pytest.mark.parametrize("network", ["gcn", "gat"])
@pytest.mark.parametrize("batch_size", [20, 64])
def test_every_parameter_gets_a_gradient(tmp_path, network, batch_size):
    graph = load_graph(str(write_graph(tmp_path)), 64)
    part = Sampler(graph, company=2, fan_out=4, steps=2).part(torch.arange(60)[:batch_size])
    model = Model(config(network=network), graph.n_features)
    terms(model, part).loss().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_what_is_kept_are_unit_embeddings_from_before_the_head(tmp_path):
    graph = load_graph(str(write_graph(tmp_path)), 64)
    vectors = Model(config(dim=12), graph.n_features).network.embed(graph)
    assert vectors.shape == (60, 12)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(60))


def test_attention_needs_widths_that_its_heads_can_share():
    with pytest.raises(InputError, match="`dim` must be a multiple of 4"):
        config(network="gat", dim=18)
