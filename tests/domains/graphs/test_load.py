"""Graphs as people hand them in, good and bad."""

import pickle
import sys
import types

import numpy as np
import pytest
import torch

from tellapart import InputError
from tellapart.domains.graphs import UNKNOWN, load_graph
from tests.tiny.graphs import graph_tables, write_graph

WORDS = 32
NODES = "node,label,text,size\na,x,red fish,1\nb,y,fish,2\nc,,,3\nd,x,blue,4\n"
EDGES = "source,target\na,b\nb,c\n"


def write(folder, nodes=NODES, edges=EDGES):
    folder.mkdir(exist_ok=True)
    (folder / "nodes.csv").write_text(nodes, encoding="utf-8")
    (folder / "edges.csv").write_text(edges, encoding="utf-8")
    return str(folder)


def as_graphml(header, rows, pairs):
    """The same tables as GraphML; `header` says which column is of which type."""
    lines = ['<?xml version="1.0"?>', '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">']
    lines += [f'<key id="k{i}" for="node" attr.name="{n}" attr.type="{t}"/>' for i, (n, t) in enumerate(header)]
    lines.append('<graph edgedefault="directed">')
    for name, *cells in rows:
        data = "".join(f'<data key="k{i}">{cell}</data>' for i, cell in enumerate(cells))
        lines.append(f'<node id="{name}">{data}</node>')
    lines += [f'<edge source="{a}" target="{b}"/>' for a, b in pairs]
    return "\n".join([*lines, "</graph>", "</graphml>"])


def test_a_csv_a_tsv_a_parquet_and_a_graphml_file_give_the_same_graph(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = write_graph(tmp_path / "csv")
    expected = load_graph(str(folder), WORDS)
    assert len(expected) == 60
    assert expected.n_features == WORDS + 2
    nodes, pairs = graph_tables()
    (tmp_path / "tsv").mkdir()
    (tmp_path / "parquet").mkdir()
    for name in ("nodes", "edges"):
        text = (folder / f"{name}.csv").read_text()
        (tmp_path / "tsv" / f"{name}.tsv").write_text(text.replace(",", "\t"))
    names, labels, texts, first, second = zip(*nodes, strict=True)
    columns = {"node": names, "label": labels, "text": texts, "first": first, "second": second}
    pq.write_table(pa.table({k: pa.array(list(v)) for k, v in columns.items()}), tmp_path / "parquet" / "nodes.parquet")
    ends = dict(zip(("source", "target"), map(list, zip(*pairs, strict=True)), strict=True))
    pq.write_table(pa.table(ends), tmp_path / "parquet" / "edges.parquet")
    header = [("label", "string"), ("text", "string"), ("first", "double"), ("second", "double")]
    (tmp_path / "x.graphml").write_text(as_graphml(header, nodes, pairs))
    for source in ("tsv", "parquet", "x.graphml"):
        assert load_graph(str(tmp_path / source), WORDS).fingerprint() == expected.fingerprint(), source


def test_edges_have_no_direction_and_loops_and_repeats_are_left_out_and_told(tmp_path):
    graph = load_graph(write(tmp_path / "g", edges="source,target\nb,a\na,b\na,b\nc,c\nb,c\n"), WORDS)
    assert graph.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert graph.n_edges() == 2
    said = " ".join(graph.notes)
    assert "1 self-loop was left out" in said
    assert "1 repeated edge was left out" in said
    assert "1 node has no edge" in said


def test_a_node_may_lack_a_label_a_text_and_edges(tmp_path):
    graph = load_graph(write(tmp_path / "g"), WORDS)
    assert graph.label_names() == ["x", "y", "", "x"]
    assert graph.labels.tolist() == [0, 1, UNKNOWN, 0]
    features = graph.features.to_dense()
    assert features[:, -1].tolist() == [1, 2, 3, 4]
    torch.testing.assert_close(features[:, :-1].norm(dim=1), torch.tensor([1.0, 1.0, 0.0, 1.0]))
    assert (features[0, :-1] > 0).sum() == 2
    assert bool((features[0, :-1] > 0)[features[1, :-1] > 0].all())  # both have a fish


def test_numbers_alone_are_dense_and_come_in_lists_too(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    plain = load_graph(write(tmp_path / "g", "node,p,q\na,1,2\nb,-3.5,4\n", "source,target\na,b\n"), WORDS)
    assert plain.features.tolist() == [[1, 2], [-3.5, 4]]
    assert plain.labels is None
    for kind in (pa.list_(pa.float64()), pa.list_(pa.float32(), 2)):
        (tmp_path / "l").mkdir(exist_ok=True)
        table = {"node": pa.array([7, 8]), "vector": pa.array([[1, 2], [-3.5, 4]], kind)}
        pq.write_table(pa.table(table), tmp_path / "l" / "nodes.parquet")
        (tmp_path / "l" / "edges.csv").write_text("source,target\n7,8\n")
        listed = load_graph(str(tmp_path / "l"), WORDS)
        assert listed.features.tolist() == plain.features.tolist()
        assert listed.names == ["7", "8"]


@pytest.mark.parametrize(
    ("nodes", "edges", "message"),
    [
        (NODES, "source,target\na,b\nb,z\n", r"edges.csv line 3: the target 'z' is no node of nodes.csv"),
        (NODES, "source,target\n\nz,b\n", r"edges.csv line 3: the source 'z' is no node"),
        (NODES, "source,target\n", r"edges.csv: the table has no rows"),
        (NODES, "source,target\na,a\nb,b\n", r"edges.csv: only edges of nodes with themselves"),
        (NODES, "source,target\na,\n", r"edges.csv line 2: the column target is empty"),
        (NODES, "source,target\na\n", r"edges.csv line 2: 1 cells where the header has 2"),
        (NODES, "from,to\na,b\n", r"edges.csv: no column source and no column target. Found: from, to"),
        (NODES + "b,x,more,1\n", EDGES, r"nodes.csv line 6: the node 'b' is listed twice"),
        (NODES + "e,x,more,big\n", EDGES, r"nodes.csv line 6: the column size holds 'big', not a finite number"),
        (NODES + "e,x,more,nan\n", EDGES, r"nodes.csv line 6: the column size holds 'nan'"),
        (NODES + "e,x,more,1e99\n", EDGES, r"nodes.csv line 6: the column size holds '1e99'"),
        (NODES + "e,x,more,\n", EDGES, r"nodes.csv line 6: the column size holds ''"),
        (NODES + ",x,more,1\n", EDGES, r"nodes.csv line 6: the column node is empty"),
        ("node,p,p\na,1,2\nb,1,2\n", "source,target\na,b\n", r"nodes.csv: there are two columns p. Rename one"),
        (",node,p\n7,a,1\n9,b,2\n", "source,target\na,b\n", r"nodes.csv: column 1 has no name. Name it or remove it"),
        ("name,size\na,1\n", EDGES, r"nodes.csv: no column node. Found: name, size"),
    ],
)
def test_a_mistake_in_a_table_is_told_with_its_file_and_line(tmp_path, nodes, edges, message):
    with pytest.raises(InputError, match=message):
        load_graph(write(tmp_path / "g", nodes, edges), WORDS)


def test_a_folder_needs_one_table_of_each(tmp_path):
    folder = write(tmp_path / "g")
    (tmp_path / "g" / "edges.tsv").write_text("source\ttarget\na\tb\n")
    with pytest.raises(InputError, match=r"which table holds the edges\? Found: edges.csv and edges.tsv"):
        load_graph(folder, WORDS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"which table holds the nodes\? Found: none"):
        load_graph(str(tmp_path / "empty"), WORDS)
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(InputError, match=r"no graph that can be read. Give a folder"):
        load_graph(str(tmp_path / "x.txt"), WORDS)


GRAPHML = as_graphml([("size", "int")], [("a", 1), ("b", 2), ("c", 3)], [("a", "b"), ("b", "c")])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('target="c"', 'target="z"', r"x.graphml line 9: the edge names 'z', which is not a node"),
        ('<node id="c">', '<node id="a">', r"line 7: the node 'a' is listed twice"),
        ('<data key="k0">2</data>', "", r"line 6: the node 'b' has no size"),
        (">2<", ">two<", r"line 6: the size of the node 'b' is 'two', not a finite number"),
        (">2<", ">inf<", r"line 6: the size of the node 'b' is 'inf'"),
        (">2<", ">1e300<", r"line 6: the size of the node 'b' is '1e300', not a finite number"),
        ('version="1.0"', 'version="1.0" encoding="shift_jis"', r"x.graphml line 1: .*Save it as UTF-8"),
        ('version="1.0"', 'version="1.0" encoding="klingon"', r"x.graphml line 1: .*Save it as UTF-8"),
        ('<edge source="a" target="b"/>', '<edge source="a"/>', r"line 8: an edge without source and target"),
        ('<node id="c">', "<node>", r"line 7: a node without an id"),
        ("</graph>\n", "", r"line 10: no XML that can be read, mismatched tag"),
        ("</graph>", "</graph><graph></graph>", r"line 10: a second graph"),
        ("</graph>", "<hyperedge/></graph>", r"line 10: a hyperedge"),
        ("<graphml", '<!DOCTYPE g [<!ENTITY e "ha">]><graphml', r"line 2: declares an entity"),
    ],
)
def test_a_mistake_in_a_graphml_file_is_told_with_its_line(tmp_path, old, new, message):
    assert old in GRAPHML
    (tmp_path / "x.graphml").write_text(GRAPHML.replace(old, new, 1))
    with pytest.raises(InputError, match=message) as caught:
        load_graph(str(tmp_path / "x.graphml"), WORDS)
    assert str(caught.value).count("x.graphml") == 1


def test_graphml_has_defaults_and_booleans_and_attributes_that_are_none_of_ours(tmp_path):
    text = GRAPHML.replace('attr.type="int"/>', 'attr.type="int"><default>7</default></key>', 1)
    text = text.replace('<data key="k0">2</data>', '<data key="k1">true</data><data key="k2">red</data>', 1)
    more = '<key id="k1" for="node" attr.name="b" attr.type="boolean"><default>false</default></key>'
    text = text.replace("<graph ", f'{more}<key id="k2" for="node" attr.name="colour" attr.type="string"/><graph ', 1)
    (tmp_path / "x.graphml").write_text(text)
    assert load_graph(str(tmp_path / "x.graphml"), WORDS).features.tolist() == [[1, 0], [7, 1], [3, 0]]


def saved_by_torch_geometric(folder, **tensors):
    from torch_geometric.data import Data

    torch.save(Data(**tensors), folder / "x.pt")
    return str(folder / "x.pt")


@pytest.mark.parametrize("imported", [True, False])
def test_a_saved_data_is_read_without_unpickling_its_classes(tmp_path, monkeypatch, imported):
    x, y = torch.randn(4, 3), torch.tensor([1, 0, -1, 1])
    edge_index = torch.tensor([[0, 1, 1], [1, 0, 3]])
    source = saved_by_torch_geometric(tmp_path, x=x, edge_index=edge_index, y=y, names=["a", "b", "c", "d"])
    allowed = set(torch.serialization.get_safe_globals())
    for name in [name for name in sys.modules if name.startswith("torch_geometric")] if not imported else []:
        monkeypatch.setitem(sys.modules, name, None)  # cannot be imported now
    graph = load_graph(source, WORDS)
    assert set(torch.serialization.get_safe_globals()) == allowed
    assert torch.equal(graph.features, x)
    assert graph.edge_index.tolist() == [[0, 1, 1, 3], [1, 0, 3, 1]]
    assert graph.names == ["a", "b", "c", "d"]
    assert graph.label_names() == ["1", "0", "", "1"]


def test_a_saved_dict_and_sparse_features_will_do(tmp_path):
    x = torch.eye(3)
    torch.save({"x": x.to_sparse(), "edge_index": torch.tensor([[0, 1], [1, 2]])}, tmp_path / "x.pt")
    graph = load_graph(str(tmp_path / "x.pt"), WORDS)
    assert graph.features.is_sparse
    assert torch.equal(graph.features.to_dense(), x)
    assert graph.names == ["0", "1", "2"]


class Trap:
    """What would be run by unpickling."""

    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


@pytest.mark.parametrize("disguise", [False, True])
def test_nothing_in_a_saved_file_is_run(tmp_path, disguise):
    if disguise:  # a class that claims to be torch_geometric's
        module = types.ModuleType("torch_geometric.data.data")
        monkey = type("Data", (), {"__module__": module.__name__, "__reduce__": Trap.__reduce__})
        torch.save({"x": monkey()}, tmp_path / "x.pt")
    else:
        (tmp_path / "x.pt").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match="damaged, or holds more than tensors and plain data"):
        load_graph(str(tmp_path / "x.pt"), WORDS)
    assert not Trap.sprung


X, EDGE = torch.eye(3), torch.tensor([[0, 1], [1, 2]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"x": X}, r"x.pt: holds no tensor edge_index"),
        ({"x": "red", "edge_index": EDGE}, r"x.pt: holds no tensor x"),
        ([X, EDGE], r"x.pt: holds no graph"),
        ({"x": X, "edge_index": EDGE + 1}, r"edge 1 joins 2 and 3, but x has the nodes 0 to 2"),
        ({"x": X, "edge_index": EDGE - 1}, r"edge 0 joins -1 and 0"),
        ({"x": X, "edge_index": EDGE.T[:1]}, r"edge_index has shape \(1, 2\)"),
        ({"x": X, "edge_index": EDGE.float()}, r"edge_index has type torch.float32. It must hold integers"),
        ({"x": X, "edge_index": EDGE[:, :0]}, r"x.pt: no edges. Learning needs neighbours"),
        ({"x": X, "edge_index": EDGE[[0, 0]]}, r"only edges of nodes with themselves"),
        ({"x": X, "edge_index": EDGE.bool()}, r"edge_index has type torch.bool. It must hold integers"),
        ({"x": X, "edge_index": EDGE, "names": ["a", "b"]}, r"names must be a list of 3 texts, one for each node"),
        ({"x": X, "edge_index": EDGE, "names": ("a", "b", "c")}, r"names must be a list of 3 texts"),
        ({"x": X, "edge_index": EDGE, "names": [1, 2, 3]}, r"names must be a list of 3 texts"),
        ({"x": X, "edge_index": EDGE, "names": ["a", "b", "a"]}, r"the node 'a' is listed twice"),
        ({"x": X + 1j, "edge_index": EDGE}, r"x has type torch.complex64. It must hold real numbers"),
        ({"x": X.double() * 1e300, "edge_index": EDGE}, r"x holds numbers that are not finite"),
        ({"x": X[0], "edge_index": EDGE}, r"x has shape \(3,\)"),
        ({"x": X / 0, "edge_index": EDGE}, r"x holds numbers that are not finite"),
        ({"x": X, "edge_index": EDGE, "y": torch.zeros(3, 2).long()}, r"y has shape \(3, 2\)"),
        ({"x": X, "edge_index": EDGE, "y": torch.zeros(3) + 1j}, r"y has shape \(3,\). It must be one integer"),
        ({"x": X, "edge_index": EDGE, "y": torch.zeros(3)}, r"y has shape \(3,\). It must be one integer"),
    ],
)
def test_saved_tensors_that_do_not_fit_are_told(tmp_path, content, message):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(InputError, match=message):
        load_graph(str(tmp_path / "x.pt"), WORDS)


def test_half_a_file_is_refused_by_name(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    torch.save({"x": X, "edge_index": EDGE}, tmp_path / "x.pt")
    (tmp_path / "x.graphml").write_text(GRAPHML)
    folder = tmp_path / "tables"
    write(folder)
    (folder / "edges.csv").unlink()
    pq.write_table(pa.table({"source": ["a", "b"], "target": ["b", "c"]}), folder / "edges.parquet")
    for path, source in ((tmp_path / "x.pt",) * 2, (tmp_path / "x.graphml",) * 2, (folder / "edges.parquet", folder)):
        load_graph(str(source), WORDS)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(InputError, match=path.name):
            load_graph(str(source), WORDS)


def test_the_fingerprint_changes_with_everything_in_a_graph(tmp_path):
    variants = [
        (NODES, EDGES),
        (NODES.replace("red", "green"), EDGES),
        (NODES.replace("a,x", "a,y"), EDGES),
        (NODES.replace("a,x", "a,z"), EDGES),
        (NODES.replace("d,", "e,"), EDGES),
        (NODES.replace(",4", ",5"), EDGES),
        (NODES, EDGES + "a,c\n"),
    ]
    prints = {load_graph(write(tmp_path / str(i), *both), WORDS).fingerprint() for i, both in enumerate(variants)}
    assert len(prints) == len(variants)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_edges_held_out_and_kept_are_all_edges_and_share_none(tmp_path, share):
    graph = load_graph(str(write_graph(tmp_path)), WORDS)
    known, out = graph.hold_out(share, seed=3)
    kept = {(min(e), max(e)) for e in known.edge_index.T.tolist()}
    gone = {tuple(e) for e in out.T.tolist()}
    assert kept | gone == {(min(e), max(e)) for e in graph.edge_index.T.tolist()}
    assert not kept & gone
    assert len(gone) == pytest.approx(share * graph.n_edges(), abs=1)
    assert not torch.equal(graph.hold_out(share, seed=4)[1], out)


def test_too_few_edges_cannot_be_held_out(tmp_path):
    with pytest.raises(InputError, match=r"the graph has 2 edges. At least 4 are needed"):
        load_graph(write(tmp_path / "g"), WORDS).hold_out(0.1, seed=0)


def test_words_are_hashed_without_case_and_compatible_letters_are_one():
    from tellapart.domains.graphs.words import hashed_words

    rows = hashed_words(["Straße ﬁsh", "STRASSE fish", "猫", "—"], 1000).to_dense()
    assert torch.equal(rows[0], rows[1])
    assert np.allclose(rows.norm(dim=1), [1, 1, 1, 0])
