"""Links of the pages to files outside of `docs/`, which the site has as pages of their own.

In the repository `../src/tellapart/objective.py` is the file; on the site it is a page that shows it.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# Files beside docs/ that are pages of the site, and what they are called there.
PAGES = {ROOT / "CONTRIBUTING.md": "contributing.md", ROOT / "CHANGELOG.md": "changelog.md"}
_PICTURES = (".png", ".svg")
_LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def address(path: Path) -> str:
    """Where a file of the repository is on the site, relative to `docs/`."""
    if path in PAGES:
        return PAGES[path]
    if path.is_relative_to(DOCS):
        inside = path.relative_to(DOCS)
        return (inside.with_suffix(".md") if path.suffix == ".ipynb" else inside).as_posix()
    inside = path.relative_to(ROOT).as_posix()
    return f"source/{inside}" if path.suffix in _PICTURES else f"source/{inside}.md"


def followed(markdown: str, source: Path) -> str:
    """A page with its links as they are on the site.

    Args:
        markdown: the page.
        source: the file that it is from.
    """
    here = Path(address(source)).parent

    def follow(link: re.Match[str]) -> str:
        target = (source.parent / link[1]).resolve()
        if not target.exists():
            return link[0]  # a page that the build makes, or a mistake, which the build reports
        return f"]({Path(os.path.relpath(address(target), here)).as_posix()}{link[2] or ''})"

    return _LINK.sub(follow, markdown)


def outside(pages: Iterable[Path]) -> Iterator[Path]:
    """The files and folders outside of `docs/` that pages link to."""
    for page in pages:
        for link in _LINK.finditer(page.read_text(encoding="utf-8")):
            target = (page.parent / link[1]).resolve()
            if target.exists() and target not in PAGES and not target.is_relative_to(DOCS):
                yield target


def shown(path: Path) -> str:
    """The page of a source file, or of a folder: its files, each with the first line of its docstring. Not searched."""
    title = f"---\nsearch: {{exclude: true}}\n---\n\n# `{path.relative_to(ROOT).as_posix()}`\n\n"
    if path.is_dir():
        rows = [f"| `{file.name}` | {_summary(file)} |" for file in sorted(path.glob("*.py")) if _summary(file)]
        return title + "\n".join(["| file | |", "|---|---|", *rows]) + "\n"
    language = {".py": "python", ".md": ""}.get(path.suffix, "text")
    text = path.read_text(encoding="utf-8")
    return title + (f'```` {{ .{language} linenums="1" }}\n{text}````\n' if language else text)


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return (docstring or "").partition("\n")[0].replace("|", "\\|")
