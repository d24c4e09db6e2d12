"""Draws the picture of architecture.md from the imports of the code: docs/images/architecture.svg.

    python docs/architecture_picture.py

A box is a part of `tellapart`; each stands one row above the highest part that it imports. A line leads to an imported
part, unless another line leads there already by way of a part in between.
"""

from __future__ import annotations

import ast
import textwrap
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "tellapart"
TARGET = Path(__file__).parent / "images" / "architecture.svg"
CORE = {
    *("errors", "relations", "scores", "temperature", "_engine", "objective", "negatives", "distributed"),
    *("gradient_cache", "variants", "compat"),
}
LEFT_OUT = {"__init__", "__main__", "version"}
BOX, ROW, GAP, MARGIN = (178, 66), 108, 16, 24
WIDTH = 1180


def part_of(path: Path) -> str:
    """The part of `tellapart` that a file belongs to; each domain is a part of its own."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return "/".join(parts[:2]) if parts[0] == "domains" and len(parts) > 2 else parts[0]


def imported(path: Path, parts: set[str]) -> set[str]:
    """The parts that a file imports, types included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tellapart"):
            for name in node.names:
                words = [*(node.module or "").split(".")[1:], name.name]
                found |= {words[0], "/".join(words[:2])} & parts
    return found - {part_of(path)}


def above(imports: dict[str, set[str]]) -> dict[str, int]:
    """The row of each part: one above the highest that it imports."""
    rows: dict[str, int] = {}

    def row(part: str) -> int:
        if part not in rows:
            rows[part] = 1 + max((row(other) for other in imports[part]), default=-1)
        return rows[part]

    for part in imports:
        row(part)
    return rows


def direct(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    """The imports that no chain of others explains."""

    def reach(part: str) -> set[str]:
        return {part}.union(*(reach(other) for other in imports[part]))

    return {
        part: {x for x in others if not any(x in reach(other) for other in others - {x})}
        for part, others in imports.items()
    }


def purpose(part: str) -> str:
    """The first sentence of a part's docstring, up to its first colon."""
    path = SOURCE / part / "__init__.py" if (SOURCE / part).is_dir() else SOURCE / f"{part}.py"
    first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    return " ".join(first.split()).split(". ")[0].rstrip(".")


def picture() -> str:
    """The picture, as SVG."""
    files: dict[str, list[Path]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        files.setdefault(part_of(path), []).append(path)
    files = {part: paths for part, paths in files.items() if part not in LEFT_OUT}
    # The folder `domains` itself holds what its domains share.
    imports = {part: set().union(*(imported(path, set(files)) for path in paths)) for part, paths in files.items()}
    for part in imports:
        if part != "domains":
            continue
        imports[part] = {other for other in imports[part] if not other.startswith("domains/")}
    rows, lines = above(imports), direct(imports)
    n_rows = 1 + max(rows.values())
    places, shapes = {}, []
    for number in range(n_rows):
        parts = sorted((part for part in rows if rows[part] == number), key=lambda p: (p not in CORE, p))
        left = (WIDTH - len(parts) * BOX[0] - (len(parts) - 1) * GAP) / 2
        for place, part in enumerate(parts):
            places[part] = (left + place * (BOX[0] + GAP), MARGIN + (n_rows - 1 - number) * ROW)
    for part, others in lines.items():
        for other in others:
            (x, y), (u, v) = places[part], places[other]
            start, end = (x + BOX[0] / 2, y + BOX[1]), (u + BOX[0] / 2, v)
            bend = (end[1] - start[1]) / 2
            path = f"M{start[0]:.0f},{start[1]:.0f} C{start[0]:.0f},{start[1] + bend:.0f} "
            shapes.append(f'<path d="{path}{end[0]:.0f},{end[1] - bend:.0f} {end[0]:.0f},{end[1]:.0f}"/>')
    for part, (x, y) in places.items():
        kind = "core" if part in CORE else "more"
        shapes.append(f'<rect class="{kind}" x="{x:.0f}" y="{y:.0f}" width="{BOX[0]}" height="{BOX[1]}" rx="8"/>')
        shapes.append(f'<text class="name" x="{x + 10:.0f}" y="{y + 19:.0f}">{escape(part)}</text>')
        wrapped = textwrap.shorten(purpose(part), 62, placeholder=" …")
        for number, line in enumerate(textwrap.wrap(wrapped, 32)[:2]):
            shapes.append(f'<text x="{x + 10:.0f}" y="{y + 38 + 15 * number:.0f}">{escape(line)}</text>')
    height = 2 * MARGIN + (n_rows - 1) * ROW + BOX[1]
    style = (
        "text{font:11px sans-serif;fill:#3d4752}.name{font:bold 13px sans-serif;fill:#10161c}"
        "path{fill:none;stroke:#9aa5b1;stroke-width:1.2}rect{stroke-width:1.4}"
        ".core{fill:#e3f0fa;stroke:#0072b2}.more{fill:#fdf3df;stroke:#c98a00}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
        f'<style>{style}</style><rect width="{WIDTH}" height="{height}" fill="#fff"/>{"".join(shapes)}</svg>\n'
    )


if __name__ == "__main__":
    TARGET.write_text(picture(), encoding="utf-8")
    print(TARGET.relative_to(ROOT))
