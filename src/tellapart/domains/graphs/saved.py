"""Read graphs that torch_geometric's users saved by `torch.save`, without running any code in them."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import serialization

from tellapart import reading
from tellapart.domains.graphs.graph import Graph, make_graph
from tellapart.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jaxtyping import Float, Int
    from torch import Tensor

# The classes in a saved `Data`. None is imported: objects of each are read as a `_Shell`.
_CLASSES = (
    "torch_geometric.data.data.Data",
    "torch_geometric.data.data.DataEdgeAttr",
    "torch_geometric.data.data.DataTensorAttr",
    "torch_geometric.data.storage.GlobalStorage",
)
_REMEDY = "Save a torch_geometric Data, or a dict, with x, edge_index and y"


class _Shell:
    """Replaces an object of a saved file: keeps its state, and does nothing."""

    def __init__(self, *_: object) -> None:
        self.state: Any = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state


def read_saved(path: Path) -> Graph:
    """The graph of a saved `Data`, or of a dict, with `edge_index` and perhaps `x`, `y` and `edge_weight`.

    An optional list `names` of texts names the nodes; without it, names are the nodes' numbers.

    Raises:
        InputError: a damaged file or another content; tensors or names that do not fit, a name of two nodes, an edge
            with an unknown node, no edge between two different nodes.
    """
    return from_parts(_parts(path), str(path))


def from_parts(parts: dict[str, Any], place: str) -> Graph:
    """The graph of such tensors, already read; `place` says in messages where they are from.

    Raises:
        InputError: as for `read_saved`.
    """
    features, edges, labels = (parts.get(name) for name in ("x", "edge_index", "y"))
    if not isinstance(features, torch.Tensor | None) or not isinstance(edges, torch.Tensor):
        missing = "x" if not isinstance(features, torch.Tensor | None) else "edge_index"
        raise InputError(f"{place}: holds no tensor {missing}. {_REMEDY}.")
    n = _count(parts, edges)
    features = None if features is None else _features(features, place)
    n = n if features is None else len(features)
    names = _names(parts.get("names"), n, place)
    weights = _weights(parts, edges, place)
    return make_graph(place, names, features, _edges(edges, n, place), _labels(labels, n, place), weights)


def _count(parts: dict[str, Any], edges: Tensor) -> int:
    """The number of nodes, where no features tell it."""
    told = parts.get("num_nodes")
    return told if isinstance(told, int) else int(edges.max()) + 1 if edges.numel() else 0


def _weights(parts: dict[str, Any], edges: Tensor, place: str) -> Float[Tensor, " e"] | None:
    """The weights of edges: `edge_weight`, or an `edge_attr` of one number an edge."""
    for name in ("edge_weight", "edge_attr"):
        given = parts.get(name)
        if not isinstance(given, torch.Tensor) or edges.ndim != 2:
            continue
        if given.is_complex() or given.numel() != edges.shape[1] or not bool(given.isfinite().all()):
            reading.note(f"{name} of {place} is not read: it is not one finite number an edge.")
            continue
        return given.detach().float().flatten()
    return None


def _parts(path: Path) -> dict[str, Any]:
    try:
        with _shells_only():
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail in any way
        raise InputError(f"{path}: damaged, or holds more than tensors and plain data. {_REMEDY}.") from error
    if isinstance(content, tuple) and content:  # an InMemoryDataset saves its content and the starts of its graphs
        content = content[0]
    if isinstance(content, _Shell):
        store = content.state.get("_store") if isinstance(content.state, dict) else None
        content = store.state.get("_mapping") if isinstance(store, _Shell) and isinstance(store.state, dict) else None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no graph. {_REMEDY}.")
    return content


@contextmanager
def _shells_only() -> Iterator[None]:
    """Allow only these classes in a saved file; importing torch_geometric allows its own, which would run code."""
    allowed = serialization.get_safe_globals()
    serialization.clear_safe_globals()
    shells: list[Any] = [(type(name.rsplit(".")[-1], (_Shell,), {}), name) for name in _CLASSES]
    try:
        with serialization.safe_globals(shells):
            yield
    finally:
        serialization.add_safe_globals(allowed)


def _names(names: Any, n: int, place: str) -> list[str]:
    if names is None:
        return [str(row) for row in range(n)]
    if not isinstance(names, list) or len(names) != n or not all(isinstance(name, str) for name in names):
        raise InputError(f"{place}: names must be a list of {n} texts, one for each node. Correct or remove it.")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(f"{place}: the node {repeated[0]!r} is listed twice. Rename one of the two.")
    return names


def _features(features: Tensor, place: str) -> Float[Tensor, "n d"]:
    if features.layout != torch.strided:
        features = features.to_sparse_coo().coalesce()
    if features.ndim != 2 or 0 in features.shape:
        raise InputError(f"{place}: x has shape {tuple(features.shape)}. It must be (nodes, features).")
    if features.is_complex():
        raise InputError(f"{place}: x has type {features.dtype}. It must hold real numbers.")
    features = features.float()
    values = features.values() if features.is_sparse else features
    if not bool(values.isfinite().all()):
        raise InputError(f"{place}: x holds numbers that are not finite. Correct or remove them.")
    return features


def _edges(edges: Tensor, n: int, place: str) -> Int[Tensor, "2 e"]:
    if edges.ndim != 2 or len(edges) != 2 or edges.layout != torch.strided:
        raise InputError(f"{place}: edge_index has shape {tuple(edges.shape)}. It must be (2, edges), and dense.")
    if edges.is_floating_point() or edges.is_complex() or edges.dtype == torch.bool:
        raise InputError(f"{place}: edge_index has type {edges.dtype}. It must hold integers.")
    outside = ((edges < 0) | (edges >= n)).any(dim=0)
    if bool(outside.any()):
        column = int(outside.nonzero()[0, 0])
        ends = " and ".join(map(str, edges[:, column].tolist()))
        raise InputError(
            f"{place}: edge {column} joins {ends}, but x has the nodes 0 to {n - 1}. Correct or remove it."
        )
    return edges.long()


def _labels(labels: Any, n: int, place: str) -> list[str] | None:
    if labels is None:
        return None
    shape = tuple(labels.shape) if isinstance(labels, torch.Tensor) else type(labels).__name__
    is_one_each = isinstance(labels, torch.Tensor) and labels.numel() == n
    if not is_one_each or labels.is_floating_point() or labels.is_complex():
        raise InputError(
            f"{place}: y has shape {shape}. It must be one integer for each of the {n} nodes, −1 for none."
        )
    return ["" if label < 0 else str(label) for label in labels.flatten().tolist()]
