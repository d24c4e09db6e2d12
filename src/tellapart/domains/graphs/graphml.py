"""Read GraphML files as a stream; errors name the line."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.parsers import expat

import torch

from tellapart.domains.features import LARGEST
from tellapart.domains.graphs.graph import Graph, make_graph
from tellapart.domains.graphs.words import hashed_words
from tellapart.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Float
    from torch import Tensor

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


def read_graphml(path: Path, words: int) -> Graph:
    """The graph of a GraphML file; directions of edges are ignored.

    Nodes are named by their `id`. Their attributes `label` and `text` are label and text. All numeric and boolean
    attributes are features, in the order of their declaration. Other attributes, and those of edges, are not read.

    Args:
        path: the file.
        words: the number of buckets for the hashed words of `text`, each a further feature.

    Raises:
        InputError: not GraphML, several graphs or hyperedges; a node that is listed twice or lacks a number; an edge
            that names an unknown node; no edge between two different nodes. The message names the line.
    """
    reader = _Reader(path)
    reader.read()
    nodes, keys = list(reader.nodes.values()), list(reader.keys.values())
    number = {node.name: row for row, node in enumerate(nodes)}
    for line, *ends in reader.edges:
        for name in ends:
            if name not in number:
                raise reader.mistake(line, f"the edge names {name!r}, which is not a node. Add it or remove the edge")
    pairs = torch.tensor([[number[name] for name in ends] for _, *ends in reader.edges], dtype=torch.long)
    texts = {name: _texts(nodes, keys, name) for name in ("label", "text")}
    numbers = [key for key in keys if key.kind in _NUMBERS and key.name not in texts]
    parts = [] if texts["text"] is None else [hashed_words(texts["text"], words)]
    if numbers:
        parts.append(torch.tensor([[reader.number(node, key) for key in numbers] for node in nodes]))
    if not parts:
        raise InputError(f"{path}: nodes have neither a text nor numbers. They need features: add some.")
    names = [node.name for node in nodes]
    return make_graph(str(path), names, _side_by_side(parts), pairs.reshape(-1, 2).T, texts["label"])


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
        self.edges: list[tuple[int, str, str]] = []
        self.inside: list[str] = []
        self.key: _Key | None = None
        self.text: list[str] = []
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self.text.append
        self.parser.EntityDeclHandler = self._entity

    def read(self) -> None:
        try:
            with self.path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    self.parser.Parse(chunk, False)
                self.parser.Parse(b"", True)
        except expat.ExpatError as error:
            what = expat.ErrorString(error.code)
            raise self.mistake(error.lineno, f"no XML that can be read, {what}. Write it anew") from error
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

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(" ")[2]
        line = self.parser.CurrentLineNumber
        self.text.clear()
        if tag == "key" and attributes.get("for", "all") in ("node", "all"):
            name = attributes.get("attr.name", attributes.get("id", ""))
            self.key = _Key(name, attributes.get("attr.type", "string"))
            self.keys[attributes.get("id", "")] = self.key
        elif tag == "node":
            self._node(attributes.get("id"), line)
        elif tag == "edge":
            if not {"source", "target"} <= attributes.keys():
                raise self._here("an edge without source and target. Add them")
            self.edges.append((line, attributes["source"], attributes["target"]))
        elif tag == "data" and self.inside[-1:] == ["node"]:
            self.key = self.keys.get(attributes.get("key", ""))
        elif tag == "hyperedge" or (tag == "graph" and (self.nodes or "graph" in self.inside)):
            raise self._here(f"a {'hyperedge' if tag == 'hyperedge' else 'second graph'}, which cannot be read")
        self.inside.append(tag)

    def _node(self, name: str | None, line: int) -> None:
        if name is None:
            raise self._here("a node without an id. Add it")
        if name in self.nodes:
            raise self._here(f"the node {name!r} is listed twice. Remove one of the two")
        self.nodes[name] = _Node(name, line)

    def _end(self, _: str) -> None:
        tag, parent = self.inside.pop(), self.inside[-1:]
        if tag == "default" and parent == ["key"] and self.key is not None:
            self.key.default = "".join(self.text)
        elif tag == "data" and parent == ["node"] and self.key is not None:
            self.nodes[next(reversed(self.nodes))].values[self.key.name] = "".join(self.text)
        elif tag == "key":
            self.key = None

    def _entity(self, *_: object) -> None:
        raise self._here("declares an entity, which a graph does not need. Remove the declaration")
