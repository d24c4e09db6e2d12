"""Graphs without features, with weights, and with names, as other programs write them."""

import gzip

import pytest
import torch

from tellapart import InputError, reading
from tellapart.domains.graphs import Network, Sampler, drop_from_graph, load_graph
from tellapart.domains.graphs.graph import make_graph
from tellapart.domains.tables import Form

WORDS = 8
RING = [(i, (i + 1) % 8) for i in range(8)]


def write_tables(folder, nodes, edges):
    folder.mkdir()
    (folder / "nodes.csv").write_text(nodes)
    (folder / "edges.csv").write_text(edges)
    return str(folder)


def graphml(path, keys="", nodes=None, edges=None):
    """A ring of eight nodes; `nodes` and `edges` say what is inside each."""
    lines = [f"<graphml>{keys}<graph>"]
    lines += [f'<node id="n{i}">{nodes(i) if nodes else ""}</node>' for i in range(8)]
    lines += [f'<edge source="n{a}" target="n{b}">{edges(a) if edges else ""}</edge>' for a, b in RING]
    text = "".join([*lines, "</graph></graphml>"])
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


def test_nodes_without_features_have_those_of_their_degree_whatever_the_file(tmp_path):
    edges = "source,target\na,b\na,c\na,d\n"
    table = load_graph(write_tables(tmp_path / "tables", "node,label\na,x\nb,x\nc,y\nd,y\n", edges), WORDS)
    torch.save({"edge_index": torch.tensor([[0, 0, 0], [1, 2, 3]])}, tmp_path / "x.pt")
    for graph in (table, load_graph(str(tmp_path / "x.pt"), WORDS)):
        assert graph.features.argmax(dim=1).tolist() == [2, 1, 1, 1]
        assert graph.features.sum(dim=1).tolist() == [1, 1, 1, 1]
        assert any("degrees serve" in note for note in graph.notes)
    assert len(load_graph(graphml(tmp_path / "x.graphml"), WORDS).features) == 8


def test_degrees_that_are_features_know_nothing_of_the_edges_held_out():
    pairs = torch.combinations(torch.arange(9)).T
    whole = make_graph("x", list("abcdefghi"), None, pairs, None)
    known, held_out = whole.hold_out(0.6, seed=0)
    degree = torch.bincount(known.edge_index[0], minlength=9)
    assert held_out.shape[1] > 10
    assert (known.features.argmax(dim=1) == (degree + 1).log2().floor().long()).all()
    assert (known.features != whole.features).any()


WEIGHT = '<key id="w" for="edge" attr.name="weight" attr.type="double"/>'


def test_weights_are_read_from_tables_graphml_and_saved_tensors(tmp_path):
    edges = "source,target,weight\n" + "".join(f"{a},{b},{1 + a % 2}\n" for a, b in RING)
    nodes = "node,size\n" + "".join(f"{i},1\n" for i in range(8))
    xml = graphml(tmp_path / "x.graphml.gz", WEIGHT, edges=lambda a: f'<data key="w">{1 + a % 2}</data>')
    index = torch.tensor(RING).T
    torch.save({"x": torch.ones(8, 1), "edge_index": index, "edge_weight": 1 + index[0] % 2}, tmp_path / "w.pt")
    torch.save(
        {"x": torch.ones(8, 1), "edge_index": index, "edge_attr": 1.0 + index[0, :, None] % 2}, tmp_path / "a.pt"
    )
    sources = (write_tables(tmp_path / "t", nodes, edges), xml, str(tmp_path / "w.pt"), str(tmp_path / "a.pt"))
    for source in sources:
        graph = load_graph(source, WORDS)
        first, second = graph.edge_index
        begins = torch.where((second - first) % 8 == 1, first, second)
        torch.testing.assert_close(graph.edge_weight, (1 + begins % 2) / 1.5, msg=source)


def test_equal_weights_are_none_and_others_count_in_the_fingerprint():
    pairs, names = torch.tensor(RING).T, [str(i) for i in range(8)]
    plain, equal, other = (
        make_graph("x", names, torch.ones(8, 1), pairs, None, weights)
        for weights in (None, torch.full((8,), 5.0), torch.arange(8) + 1.0)
    )
    assert equal.edge_weight is None
    assert plain.fingerprint() == equal.fingerprint() != other.fingerprint()


def test_weights_that_are_not_positive_are_refused(tmp_path):
    source = write_tables(tmp_path / "t", "node,size\na,1\nb,2\n", "source,target,weight\na,b,0\n")
    with pytest.raises(InputError, match=r"the weight 0 of an edge. Weights must be positive"):
        load_graph(source, WORDS)


def weighted():
    pairs = torch.combinations(torch.arange(7)).T
    random = torch.Generator().manual_seed(0)
    features = torch.randn(7, 3, generator=random)
    return make_graph("x", list("abcdefg"), features, pairs, None, torch.rand(21, generator=random) + 0.1)


def matrix(edge_index, edge_weight, n=7):
    return torch.zeros(n, n, dtype=torch.float64).index_put_(tuple(edge_index), edge_weight.double())


def test_a_layer_weights_neighbours_as_the_formula_says():
    graph = weighted()
    net = Network("gcn", 3, 4, 4, 1, seed=0).double()
    adjacent = matrix(graph.edge_index, graph.edge_weight) + torch.eye(7, dtype=torch.float64)
    root = adjacent.sum(dim=1) ** -0.5
    layer = net.encoder.layers[0]
    h = root[:, None] * adjacent * root @ graph.features.double() @ layer.lin.weight.T + layer.bias
    expected = net.encoder.activations[0](h)
    torch.testing.assert_close(net.encoder(graph.features.double(), graph.edge_index, graph.edge_weight), expected)


def test_weights_go_with_their_edges_into_views_parts_and_what_is_held_out():
    graph, whole = weighted(), matrix(weighted().edge_index, weighted().edge_weight)
    torch.manual_seed(0)
    _, index, weight = drop_from_graph(
        graph.features, graph.edge_index, graph.edge_weight, edge_rate=0.5, feature_rate=0
    )
    assert 0 < len(weight) < len(graph.edge_weight)
    assert (matrix(index, weight)[tuple(index)] == whole[tuple(index)]).all()
    known, _ = graph.hold_out(0.4, seed=0)
    assert (
        matrix(known.edge_index, known.edge_weight)[tuple(known.edge_index)] == whole[tuple(known.edge_index)]
    ).all()
    part = Sampler(graph, company=1, fan_out=2, steps=1).part(torch.tensor([2]))
    nodes = [(graph.features == row).all(dim=1).nonzero().item() for row in part.features]
    inside = torch.tensor(nodes)[part.edge_index]
    assert (part.edge_weight.double() == whole[tuple(inside)]).all()


NAME = '<key id="v" for="node" attr.name="name" attr.type="string"/>'


def test_nodes_are_called_by_their_name_or_by_what_yed_draws(tmp_path):
    igraph = graphml(tmp_path / "i.graphml", NAME, nodes=lambda i: f'<data key="v">GENE{i}</data>')
    drawn = '<data key="d"><y:ShapeNode xmlns:y="u"><y:NodeLabel>Gene {}</y:NodeLabel></y:ShapeNode></data>'
    yed = graphml(tmp_path / "y.graphml", '<key id="d" for="node" yfiles.type="x"/>', nodes=lambda i: drawn.format(i))
    twice = graphml(tmp_path / "t.graphml", NAME, nodes=lambda i: f'<data key="v">{i // 2}</data>')
    assert load_graph(igraph, WORDS).names == [f"GENE{i}" for i in range(8)]
    assert load_graph(yed, WORDS).names == [f"Gene {i}" for i in range(8)]
    assert load_graph(twice, WORDS).names == [f"n{i}" for i in range(8)]


def test_attributes_declared_twice_are_one_and_those_that_number_the_nodes_are_none(tmp_path):
    keys = "".join(
        f'<key id="k{i}" for="node" attr.name="{name}" attr.type="{kind}"/>'
        for i, (name, kind) in enumerate([("size", "long"), ("size", "double"), ("id", "long")])
    )
    size = lambda i: f'<data key="k{i % 2}">{i * 0.5 if i % 2 else i}</data><data key="k2">{i}</data>'  # noqa: E731
    with reading.accounted() as account:
        graph = load_graph(graphml(tmp_path / "x.graphml", keys, nodes=size), WORDS)
    assert graph.features.flatten().tolist() == [0, 0.5, 2, 1.5, 4, 2.5, 6, 3.5]
    assert account.counts == {"attribute that numbers the nodes": 1}
    assert "declares the attribute size twice" in account.told()


def test_a_column_that_numbers_the_rows_is_no_feature(tmp_path):
    for name in ("", "Unnamed: 0"):
        nodes = f"{name},node,size\n0,a,7\n1,b,8\n2,c,9\n"
        with reading.accounted() as account:
            graph = load_graph(write_tables(tmp_path / f"t{name}", nodes, "source,target\na,b\nb,c\n"), WORDS)
        assert graph.features.flatten().tolist() == [7, 8, 9]
        assert account.counts == {"column that numbers the rows": 1}


def test_broken_rows_of_nodes_and_edges_are_left_out_together(tmp_path):
    nodes = "node,size\na,1\n,2\nb,3\nc,4,9\nd,5\n"
    edges = "source,target\na,b\nb,c\nb,d\na,d\n"
    with reading.accounted() as account:
        graph = load_graph(write_tables(tmp_path / "t", nodes, edges), WORDS)
    assert graph.names == ["a", "b", "d"]
    assert graph.features.flatten().tolist() == [1, 3, 5]
    assert graph.n_edges() == 3
    assert account.counts == {
        "row with an empty node": 1,
        "row with another number of cells": 1,
        "edge of a node that there is not": 1,
    }


def test_columns_are_called_as_the_option_says_and_tables_may_be_packed(tmp_path):
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "nodes.csv.gz").write_bytes(gzip.compress(b"Id;size\na;1\nb;2\nc;3\n"))
    (folder / "edges.csv").write_text("from;to\na;b\nb;c\n")
    with pytest.raises(InputError, match=r"nodes\.csv\.gz: no column node"):
        load_graph(str(folder), WORDS)
    graph = load_graph(str(folder), WORDS, Form("source=from,target=to,node=Id", ";"))
    assert (graph.names, graph.features.flatten().tolist(), graph.n_edges()) == (["a", "b", "c"], [1, 2, 3], 2)
    (folder / "edges.csv").write_text("Source;Target\na;b\n")
    (folder / "nodes.csv.gz").write_bytes(gzip.compress(b"Node;size\na;1\nb;2\n"))
    assert load_graph(str(folder), WORDS, Form(separator=";")).features.flatten().tolist() == [1, 2]


def test_broken_nodes_and_edges_of_graphml_are_left_out_with_what_they_hold_or_stop(tmp_path):
    keys = '<key id="s" for="node" attr.name="size" attr.type="int"/><key id="w" for="edge" attr.name="weight"/>'
    path = graphml(
        *(tmp_path / "x.graphml", keys),
        nodes=lambda i: f'<data key="s">{"many" if i == 7 else i}</data>',
        edges=lambda a: f'<data key="w">{"heavy" if a == 2 else a + 1}</data>',
    )
    text = (tmp_path / "x.graphml").read_text()
    more = '<node><data key="s">9</data></node><node id="n0"><data key="s">50</data></node>'
    more += '<edge source="n1"><data key="w">70</data></edge>'
    (tmp_path / "x.graphml").write_text(text.replace("</graph>", f"{more}</graph>"))
    with reading.accounted() as account:
        graph = load_graph(path, WORDS)
    assert graph.names == [f"n{i}" for i in range(7)]
    assert graph.features.flatten().tolist() == list(range(7))
    assert account.counts == {
        "node without an id": 1,
        "node that is listed twice": 1,
        "edge without source and target": 1,
        "node without one of the numbers": 1,
        "edge of a node that there is not": 2,
        "edge of a weight that is no number": 1,
    }
    kept = torch.tensor([1.0, 2, 4, 5, 6])
    upper = graph.edge_index[0] < graph.edge_index[1]
    torch.testing.assert_close(graph.edge_weight[upper], kept / kept.mean())
    with reading.accounted("stop"), pytest.raises(InputError, match="a node without an id"):
        load_graph(path, WORDS)
