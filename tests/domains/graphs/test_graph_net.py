"""Graph networks against their papers' formulas, node by node."""

import numpy as np
import pytest
import torch

from tellapart.domains.graphs import GraphNet
from tellapart.domains.graphs.graph import both_directions


@pytest.fixture
def graph():
    random = torch.Generator().manual_seed(0)
    pairs = torch.randint(8, (2, 12), generator=random)
    edge_index = both_directions(pairs[:, pairs[0] != pairs[1]], 9)  # node 8 is alone
    return torch.randn(9, 5, generator=random).double(), edge_index


def neighbours(edge_index, node):
    return [node, *(b for a, b in edge_index.T.tolist() if a == node)]


def prelu(values, slope):
    return np.where(values > 0, values, slope * values)


def gcn(h, edge_index, weight, bias):
    """Kipf & Welling 2017, eq. 2: `Σ_{j ∈ N(i) ∪ i} W h_j / √(d_i d_j)`, degrees counted with the node itself."""
    of = [neighbours(edge_index, i) for i in range(len(h))]
    rows = [sum(h[j] @ weight.T / np.sqrt(len(of[i]) * len(of[j])) for j in of[i]) for i in range(len(h))]
    return np.stack(rows) + bias


def gat(h, edge_index, layer):
    """Veličković et al. 2018, eq. 3 and 5: `Σ_j α_ij W h_j`, `α_i = softmax_j LeakyReLU(a₁·W h_i + a₂·W h_j)`."""
    state = {name: value.numpy() for name, value in layer.state_dict().items()}
    heads = state["att_src"].shape[1]
    wide = (h @ state["lin.weight"].T).reshape(len(h), heads, -1)
    rows = []
    for i in range(len(h)):
        parts = []
        for head in range(heads):
            of = neighbours(edge_index, i)
            scores = [wide[i, head] @ state["att_dst"][0, head] + wide[j, head] @ state["att_src"][0, head] for j in of]
            shares = np.exp([max(s, 0.2 * s) for s in scores])
            parts.append(sum(a * wide[j, head] for a, j in zip(shares / shares.sum(), of, strict=True)))
        rows.append(np.concatenate(parts))
    return np.stack(rows) + state["bias"]


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", ["gcn", "gat"])
def test_it_is_its_papers_formula(graph, kind, layers):
    torch.manual_seed(0)
    net = GraphNet(kind, 5, 12, 8, layers).double()
    features, edge_index = graph
    h = features.numpy()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_()
        for layer, activation in zip(net.layers, net.activations, strict=True):
            if kind == "gcn":
                h = gcn(h, edge_index, layer.lin.weight.numpy(), layer.bias.numpy())
            else:
                h = gat(h, edge_index, layer)
            h = prelu(h, activation.weight.item())
        found = net(features, edge_index).numpy()
    np.testing.assert_allclose(found, h, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["gcn", "gat"])
def test_sparse_features_give_the_embeddings_and_gradients_of_dense_ones(graph, kind):
    features, edge_index = graph
    features = features * (features > 0)
    grads = []
    for x in (features, features.to_sparse()):
        torch.manual_seed(0)
        net = GraphNet(kind, 5, 12, 8, 2).double()
        net(x, edge_index).square().sum().backward()
        grads.append([p.grad for p in net.parameters()])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", ["gcn", "gat"])
def test_a_node_sees_as_many_edges_away_as_there_are_layers(kind):
    path = both_directions(torch.stack([torch.arange(5), torch.arange(1, 6)]), 6)
    x = torch.randn(6, 4)
    x.requires_grad_()
    GraphNet(kind, 4, 8, 8, 2)(x, path)[0].sum().backward()
    assert (x.grad.abs().sum(dim=1) > 0).tolist() == [True, True, True, False, False, False]
