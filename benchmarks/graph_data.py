"""Two real graphs as tables that `tellapart train graph` takes, kept in a cache outside the repository.

    python benchmarks/graph_data.py debian        prints the folder with nodes.csv and edges.csv

`debian`: application packages and their dependencies; a node's text is its one-line description, its label the
archive's section. From `apt-cache dumpavail`, for the machine's release; descriptions have the licences of their
packages. `wordnet`: the nouns of WordNet and all relations between nouns; a node's text is its gloss, its label the
lexicographer's file. From Debian's package wordnet-base. `wordnet-15k`: the 15,000 nouns with the fewest relations to
"entity".
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

import fetch

SECTIONS = (
    *("admin", "comm", "database", "editors", "electronics", "games", "gnome", "graphics", "kde", "mail"),
    *("math", "misc", "net", "science", "sound", "text", "utils", "video", "web", "x11"),
)
_DEPENDS = ("Pre-Depends", "Depends", "Recommends")
_HUB = 300

Nodes = dict[str, tuple[str, str]]
Edges = set[tuple[str, str]]


def graph_tables(name: str) -> Path:
    """The folder of a graph's tables, made if it does not exist."""
    target = fetch.cache(f"graph-{name}")
    if not target.is_dir():
        nodes, edges = {"debian": debian, "wordnet": wordnet, "wordnet-15k": upper_wordnet}[name]()
        with fetch.whole(target) as folder:
            _write(folder / "nodes.csv", ["node", "label", "text"], [[node, *said] for node, said in nodes.items()])
            _write(folder / "edges.csv", ["source", "target"], sorted(edges))
        alike = sum(nodes[a][0] == nodes[b][0] for a, b in edges) / len(edges)
        print(f"{name}: {len(nodes)} nodes, {len(edges)} edges, {alike:.2f} of them within a label", file=sys.stderr)
    return target


def debian() -> tuple[Nodes, Edges]:
    """Packages of the application sections and dependencies, without packages in more than 300 dependencies."""
    packages: dict[str, dict[str, str]] = {}
    for package in _paragraphs(_available()):
        packages.setdefault(package["Package"], package)  # the first of several versions, which is the newest
    wanted = {name: package for name, package in packages.items() if package.get("Section") in SECTIONS}
    edges = {
        (min(name, other), max(name, other))
        for name, package in wanted.items()
        for other in _depends_on(package)
        if other in wanted and other != name
    }
    degree = Counter(name for edge in edges for name in edge)
    kept = sorted(name for name in wanted if degree[name] <= _HUB)
    nodes = {name: (wanted[name]["Section"], wanted[name].get("Description", "")) for name in kept}
    return nodes, {(a, b) for a, b in edges if a in nodes and b in nodes}


def wordnet() -> tuple[Nodes, Edges]:
    """All nouns and their relations. A sense is named by its first word and its offset in the file."""
    path, names, nodes, targets = fetch.fetch("wordnet") / "data.noun", {}, {}, []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):  # the licence
            continue
        head, gloss = line.split(" | ", 1)
        place, lexicographer, _, n_words, first, *rest = head.split()
        names[place] = name = f"{first} {place}"
        nodes[name] = (lexicographer, gloss.strip())
        # Each word with its number, the count of pointers, and pointers: symbol, place, part of speech, words.
        pointers = rest[2 * int(n_words, 16) :]
        targets += [
            (name, target)
            for target, part in zip(pointers[1::4], pointers[2::4], strict=False)
            if part == "n" and target != place
        ]
    return nodes, {(min(a, names[b]), max(a, names[b])) for a, b in targets}


def upper_wordnet(most: int = 15_000) -> tuple[Nodes, Edges]:
    """The nouns nearest to "entity", and the relations between them."""
    nodes, edges = wordnet()
    neighbours: dict[str, list[str]] = {name: [] for name in nodes}
    for a, b in sorted(edges):
        neighbours[a].append(b)
        neighbours[b].append(a)
    queue = deque([next(iter(nodes))])
    kept = dict.fromkeys(queue)
    while queue:
        for name in neighbours[queue.popleft()]:
            if name not in kept and len(kept) < most:
                kept[name] = None
                queue.append(name)
    return {name: nodes[name] for name in kept}, {(a, b) for a, b in edges if a in kept and b in kept}


def _available() -> str:
    if not (text := fetch.run(["apt-cache", "dumpavail"], ".")):
        fetch.run(["apt-get", "update"], ".")
        text = fetch.run(["apt-cache", "dumpavail"], ".")
    return text


def _paragraphs(text: str) -> Iterator[dict[str, str]]:
    for paragraph in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
        if "Package" in fields:
            yield fields


def _depends_on(package: dict[str, str]) -> Iterator[str]:
    """Names of packages, without versions and architectures; all of several alternatives."""
    for field in _DEPENDS:
        for clause in re.split("[,|]", package.get(field, "")):
            yield re.split("[ :(]", clause.strip(), maxsplit=1)[0]


def _write(path: Path, header: list[str], rows: list) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=("debian", "wordnet", "wordnet-15k"))
    print(graph_tables(parser.parse_args().name))
