"""Read GraphML files as a stream; errors name the line."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.parsers import expat

import torch

from tellapart import reading
from tellapart.domains import features
from tellapart.domains.features import LARGEST
from tellapart.domains.graphs.graph import Graph, make_graph
from tellapart.domains.graphs.words import hashed_words
from tellapart.domains.sniff import opened, unreadable
from tellapart.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from jaxtyping import Float
    from torch import Tensor

_TEXTS, _INDEX = ("label", "text"), ("id", "index", "node_id", "unnamed: 0", "")
_NUMBERS = ("int", "long", "float", "double", "boolean")
_TRUTH = {"true": "1", "false": "0"}
_CHUNK = 2**20


@dataclass
class _Key:
    """A file's declaration of an attribute of nodes."""

    name: str
    kind: str
    default: str | None = None


@dataclass
class _Node:
    name: str
    line: int
    values: dict[str, str] = field(default_factory=dict)
    drawn: str = ""
    """The label that yEd draws."""


@dataclass
class _Edge:
    line: int
    ends: tuple[str, str]
    weight: str | None = None


def read_graphml(path: Path, words: int) -> Graph:
    """The graph of a GraphML file; directions of edges are ignored.

    Nodes are named by their attribute `name`, or as yEd draws them, if no two have the same; else by their `id`. Their
    attributes `label` and `text` are label and text. All numeric and boolean attributes are features, in the order of
    their declaration, but for one that numbers the nodes; without any, nodes have those of their degree. Attributes
    that are declared twice under one name are one. Of edges, the attribute `weight` is read. Other attributes are not.

    Args:
        path: the file.
        words: the number of buckets for the hashed words of `text`, each a further feature.

    Raises:
        InputError: not GraphML, several graphs or hyperedges; a node that is listed twice or lacks a number; an edge
            that names an unknown node; no edge between two different nodes. The message names the line.
    """
    reader = _Reader(path)
    reader.read()
    keys = _distinct(reader.keys.values(), path)
    numeric = _numeric(keys)
    whole = [
        (node, values) for node in reader.nodes.values() if (values := _numbers(node, numeric, reader)) is not None
    ]
    nodes = [node for node, _ in whole]
    if not nodes:
        raise reading.first_broken() or InputError(f"{path}: holds no nodes. Is it a GraphML file?")
    number = {node.name: row for row, node in enumerate(nodes)}
    edges = [edge for edge in reader.edges if _is_known(edge, number, reader) and _is_weighed(edge, reader)]
    pairs = torch.tensor([[number[name] for name in edge.ends] for edge in edges], dtype=torch.long)
    texts = {name: _texts(nodes, keys, name) for name in ("label", "text")}
    parts = [] if texts["text"] is None else [hashed_words(texts["text"], words)]
    numbers = [(key, [values[column] for _, values in whole]) for column, key in enumerate(numeric)]
    index = [key.name for key, values in numbers if key.name.lower() in _INDEX and _counts(values)]
    reading.pass_over("attribute that numbers the nodes", index)
    if columns := [values for key, values in numbers if key.name not in index]:
        parts.append(torch.tensor(columns).T.contiguous())
    made = _side_by_side(parts) if parts else None
    names = _names(nodes, keys)
    return make_graph(str(path), names, made, pairs.reshape(-1, 2).T, texts["label"], _weights(edges, reader))


def _numbers(node: _Node, keys: list[_Key], reader: _Reader) -> list[float] | None:
    """A node's numeric attributes; `None` if one is missing or no number, which makes it a broken item."""
    try:
        return [reader.number(node, key) for key in keys]
    except InputError as error:
        reading.leave_out("node without one of the numbers", f"{reader.path} line {node.line}", error)
        return None


def _is_weighed(edge: _Edge, reader: _Reader) -> bool:
    """Whether an edge's weight is a number, or missing; others are broken items."""
    place = f"{reader.path} line {edge.line}"
    try:
        features.number(edge.weight or "1", "weight", place)
    except InputError as error:
        reading.leave_out("edge of a weight that is no number", place, error)
        return False
    return True


def _is_known(edge: _Edge, number: dict[str, int], reader: _Reader) -> bool:
    """Whether an edge joins nodes that there are; others are broken items."""
    unknown = [name for name in edge.ends if name not in number]
    if unknown:
        what = f"the edge names {unknown[0]!r}, which is not a node. Add it or remove the edge"
        place = f"{reader.path} line {edge.line}"
        reading.leave_out("edge of a node that there is not", place, reader.mistake(edge.line, what))
    return not unknown


def _weights(edges: list[_Edge], reader: _Reader) -> Float[Tensor, " e"] | None:
    """The weights of edges, 1 for one without, if any has one."""
    if all(edge.weight is None for edge in edges):
        return None
    return torch.tensor([features.number(e.weight or "1", "weight", f"{reader.path} line {e.line}") for e in edges])


def _distinct(keys: Iterable[_Key], path: Path) -> list[_Key]:
    """The attributes of nodes, each name once: several programs declare one for each type that its values have."""
    found: dict[str, _Key] = {}
    for key in keys:
        if (known := found.get(key.name)) is None:
            found[key.name] = key
            continue
        reading.note(f"{path.name} declares the attribute {key.name} twice; it is read as one.")
        if key.kind not in _NUMBERS:
            found[key.name] = _Key(key.name, key.kind, known.default or key.default)
    return list(found.values())


def _numeric(keys: list[_Key]) -> list[_Key]:
    others = [key.name for key in keys if key.kind not in _NUMBERS and key.name not in (*_TEXTS, "name") and key.name]
    reading.pass_over("attribute of nodes that is no number", others)
    return [key for key in keys if key.kind in _NUMBERS and key.name not in _TEXTS]


def _names(nodes: list[_Node], keys: list[_Key]) -> list[str]:
    """What the nodes are called: distinct names of their own, or else their ids."""
    given = _texts(nodes, keys, "name") if any(key.name == "name" for key in keys) else None
    for told, names in (("attribute name", given), ("label that yEd draws", [node.drawn for node in nodes])):
        if names is not None and all(names) and len(set(names)) == len(names):
            reading.note(f"Nodes are called by the {told}.")
            return names
    return [node.name for node in nodes]


def _counts(values: list[float]) -> bool:
    return values in ([float(row) for row in range(len(values))], [float(row + 1) for row in range(len(values))])


def _texts(nodes: list[_Node], keys: list[_Key], name: str) -> list[str] | None:
    key = next((key for key in keys if key.name == name), None)
    return None if key is None else [node.values.get(name, key.default or "").strip() for node in nodes]


def _side_by_side(parts: list[Tensor]) -> Float[Tensor, "n d"]:
    if len(parts) == 1:
        return parts[0]
    return torch.cat([part.to_sparse() for part in parts], dim=1).coalesce()


class _Reader:
    """The handlers of the parser, and the nodes and edges that they have read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys: dict[str, _Key] = {}
        self.nodes: dict[str, _Node] = {}
        self.edges: list[_Edge] = []
        self.weight: str | None = None
        """The key of the edges' weights."""
        self.inside: list[str] = []
        self.key: _Key | None = None
        self.of_weight = False
        self.is_skipped = False
        """Whether what is being read belongs to a node or an edge that is left out."""
        self.text: list[str] = []
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self.text.append
        self.parser.EntityDeclHandler = self._entity

    def read(self) -> None:
        try:
            with opened(self.path) as file:
                while chunk := file.read(_CHUNK):
                    self.parser.Parse(chunk, False)
                self.parser.Parse(b"", True)
        except expat.ExpatError as error:
            what = f"no XML that can be read, {expat.ErrorString(error.code)}. Write it anew"
            otherwise = str(self.mistake(error.lineno, what))
            raise unreadable(self.path, "GraphML", otherwise, expected=("utf-16",)) from error
        except InputError:
            raise
        except (LookupError, ValueError) as error:  # expat raises these for an unknown encoding
            raise self._here(f"no encoding that can be read, {error}. Save it as UTF-8") from error
        if not self.nodes:
            raise InputError(f"{self.path}: holds no nodes. Is it a GraphML file?")

    def mistake(self, line: int, what: str) -> InputError:
        return InputError(f"{self.path} line {line}: {what}.")

    def number(self, node: _Node, key: _Key) -> float:
        """A node's numeric attribute."""
        text = node.values.get(key.name, key.default)
        if text is None:
            raise self.mistake(node.line, f"the node {node.name!r} has no {key.name}. Add it, or give it a default")
        try:
            value = float(_TRUTH.get(text.strip().lower(), text))
        except ValueError:
            value = math.nan
        if not abs(value) < LARGEST:
            raise self.mistake(node.line, f"the {key.name} of the node {node.name!r} is {text!r}, not a finite number")
        return value

    def _here(self, what: str) -> InputError:
        return self.mistake(self.parser.CurrentLineNumber, what)

    def _leave_out(self, why: str, what: str) -> None:
        reading.leave_out(why, f"{self.path} line {self.parser.CurrentLineNumber}", self._here(what))

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(" ")[2]
        if tag in ("node", "edge"):
            self.is_skipped = False
        line = self.parser.CurrentLineNumber
        self.text.clear()
        if tag == "key" and attributes.get("for", "all") in ("node", "all"):
            name = attributes.get("attr.name", attributes.get("id", ""))
            self.key = _Key(name, attributes.get("attr.type", "string"))
            self.keys[attributes.get("id", "")] = self.key
        elif tag == "key" and attributes.get("for") in ("edge", "all") and attributes.get("attr.name") == "weight":
            self.weight = attributes.get("id", "")
        elif tag == "node":
            self._node(attributes.get("id"), line)
        elif tag == "edge":
            if {"source", "target"} <= attributes.keys():
                self.edges.append(_Edge(line, (attributes["source"], attributes["target"])))
            else:
                self.is_skipped = True
                self._leave_out("edge without source and target", "an edge without source and target. Add them")
        elif tag == "data" and self.inside[-1:] == ["node"]:
            self.key = self.keys.get(attributes.get("key", ""))
        elif tag == "data" and self.inside[-1:] == ["edge"]:
            self.of_weight = attributes.get("key") == self.weight
        elif tag == "hyperedge" or (tag == "graph" and (self.nodes or "graph" in self.inside)):
            raise self._here(f"a {'hyperedge' if tag == 'hyperedge' else 'second graph'}, which cannot be read")
        self.inside.append(tag)

    def _node(self, name: str | None, line: int) -> None:
        self.is_skipped = name is None or name in self.nodes
        if name is None:
            self._leave_out("node without an id", "a node without an id. Add it")
            return
        if name in self.nodes:
            what = f"the node {name!r} is listed twice. Remove one of the two"
            self._leave_out("node that is listed twice", what)
            return
        self.nodes[name] = _Node(name, line)

    def _end(self, _: str) -> None:
        tag, parent = self.inside.pop(), self.inside[-1:]
        if tag == "default" and parent == ["key"] and self.key is not None:
            self.key.default = "".join(self.text)
        elif tag in ("data", "NodeLabel") and self.is_skipped:
            pass
        elif tag == "data" and parent == ["node"] and self.key is not None:
            self.nodes[next(reversed(self.nodes))].values[self.key.name] = "".join(self.text)
        elif tag == "data" and parent == ["edge"] and self.of_weight:
            self.edges[-1].weight = "".join(self.text)
        elif tag == "NodeLabel" and "node" in self.inside:
            last = self.nodes[next(reversed(self.nodes))]
            last.drawn = last.drawn or " ".join("".join(self.text).split())
        elif tag == "key":
            self.key = None

    def _entity(self, *_: object) -> None:
        raise self._here("declares an entity, which a graph does not need. Remove the declaration")
