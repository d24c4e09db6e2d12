"""Draws the picture of architecture.md from the code: docs/images/architecture.svg.

    python docs/architecture_picture.py

The bands are named here. The parts, their docstrings, and that none imports anything of a band above its own, are read
from the code.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "tellapart"
TARGET = Path(__file__).parent / "images" / "architecture.svg"
# From the top; a part is a file or a folder of `tellapart`, or of its `domains`.
BANDS = {
    "What users call": ("cli", "sklearn", "api", "flower_apps", "systems", "export", "planning"),
    "One folder a domain": (
        "domains/pictures",
        "domains/text",
        "domains/graphs",
        "domains/genomes",
        "domains/pixels",
        "domains/micrographs",
        "domains/words",
        "domains/preferences",
        "domains/sound",
        "domains/generated",
        "domains/memories",
    ),
    "Around a run": ("training", "federation", "runs", "report", "explain", "heads", "pages"),
    "Instruments": ("diagnostics", "evaluation", "theory"),
    "The loss": ("objective", "variants", "negatives", "distributed", "gradient_cache", "skip_gram", "compat"),
    "The engine, private to the loss": (
        *("_engine/problem", "_engine/dispatch", "_engine/cross_entropy", "_engine/dense", "_engine/streamed"),
        *("_engine/schedule", "_engine/positives", "_engine/assemble", "_engine/kernels", "_engine/ring"),
    ),
    "What all of it uses": (
        "relations",
        "scores",
        "temperature",
        "errors",
        "files",
        "pretrained",
        "progress",
        "reading",
    ),
}
CORE = ("The loss", "The engine, private to the loss", "What all of it uses")
LEFT_OUT = {"__init__", "__main__", "_html", "_room", "_traced", "sentence_module", "version", "domains"}
WIDTH, MARGIN, GAP, BOX_HEIGHT, TITLE, PER_ROW = 1160, 20, 12, 98, 26, 6


def part_of(path: Path) -> str:
    """The part of `tellapart` that a file belongs to; each domain is a part of its own."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return "/".join(parts[:2]) if parts[0] == "domains" and len(parts) > 2 else parts[0]


def imported(path: Path, parts: set[str]) -> set[str]:
    """The parts that a file imports when it is run."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ImportFrom)
            and (node.module or "").startswith("tellapart")
            and id(node) not in for_types
        ):
            for name in node.names:
                words = [*(node.module or "").split(".")[1:], name.name]
                found |= {words[0], "/".join(words[:2])} & parts
    return found - {part_of(path)}


def check(files: dict[str, list[Path]]) -> None:
    """Stop unless every part is in a band, and imports nothing of a band above its own."""
    band_of = {part.split("/")[0] if part.startswith("_engine") else part: b for b in BANDS for part in BANDS[b]}
    order = list(BANDS)
    if missing := set(files) ^ set(band_of):
        sys.exit(f"architecture_picture: BANDS and the code differ in {', '.join(sorted(missing))}.")
    for part, paths in files.items():
        for path in paths:
            for other in imported(path, set(files)):
                if order.index(band_of[other]) < order.index(band_of[part]):
                    sys.exit(
                        f"architecture_picture: {path.relative_to(ROOT)} imports {other}, of a band above its own."
                    )


def purpose(part: str) -> str:
    """The first sentence of a part's docstring."""
    path = SOURCE / part / "__init__.py" if (SOURCE / part).is_dir() else SOURCE / f"{part}.py"
    first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    return " ".join(first.split()).split(". ")[0].rstrip(".").replace("`", "")


def box(part: str, x: float, y: float, width: float, is_core: bool) -> list[str]:
    """A box with the name of a part and what it is for."""
    name = part.removeprefix("_engine/") + ("/" if (SOURCE / part).is_dir() else ".py")
    kind = "core" if is_core else "more"
    shapes = [
        f'<rect class="{kind}" x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{BOX_HEIGHT}" rx="7"/>',
        f'<text class="name" x="{x + 9:.0f}" y="{y + 19:.0f}">{escape(name)}</text>',
    ]
    lines = textwrap.wrap(purpose(part), int((width - 16) / 5.9))
    if len(lines) > 4:
        lines = [*lines[:3], textwrap.shorten(" ".join(lines[3:]), int((width - 24) / 5.9), placeholder=" …")]
    for number, line in enumerate(lines):
        shapes.append(f'<text x="{x + 9:.0f}" y="{y + 37 + 15 * number:.0f}">{escape(line)}</text>')
    return shapes


def picture() -> str:
    """The picture, as SVG."""
    files: dict[str, list[Path]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        if (part := part_of(path)) not in LEFT_OUT:
            files.setdefault(part, []).append(path)
    check(files)
    shapes, y = [], float(MARGIN)
    for band, parts in BANDS.items():
        n_rows = -(-len(parts) // PER_ROW)
        per_row = -(-len(parts) // n_rows)
        height = TITLE + n_rows * (BOX_HEIGHT + GAP)
        shapes.append(
            f'<rect class="band" x="{MARGIN}" y="{y:.0f}" width="{WIDTH - 2 * MARGIN}" height="{height:.0f}" rx="10"/>'
            f'<text class="title" x="{MARGIN + GAP}" y="{y + 19:.0f}">{escape(band)}</text>'
        )
        width = (WIDTH - 2 * MARGIN - (per_row + 1) * GAP) / per_row
        for number, part in enumerate(parts):
            row, column = divmod(number, per_row)
            x = MARGIN + GAP + column * (width + GAP)
            shapes += box(part, x, y + TITLE + row * (BOX_HEIGHT + GAP), width, band in CORE)
        y += height + 10
    style = (
        "text{font:11px sans-serif;fill:#3d4752}.name{font:bold 13px sans-serif;fill:#10161c}"
        ".title{font:bold 12px sans-serif;fill:#5b6672}rect{stroke-width:1.2}.band{fill:#f4f6f8;stroke:none}"
        ".core{fill:#e3f0fa;stroke:#0072b2}.more{fill:#fff;stroke:#9aa5b1}"
    )
    note = "Imports only go down. Blue: needs torch and numpy only."
    shapes.append(f'<text class="title" x="{MARGIN + GAP}" y="{y + 12:.0f}">{note}</text>')
    height = y + 26
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}"><style>{style}</style><rect width="{WIDTH}" height="{height:.0f}" fill="#fff"/>'
        f"{''.join(shapes)}</svg>\n"
    )


if __name__ == "__main__":
    TARGET.write_text(picture(), encoding="utf-8")
    print(TARGET.relative_to(ROOT))
