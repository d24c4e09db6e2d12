"""Write a benchmark's table into results/, and into the pages that quote it."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path(__file__).parents[1]
RESULTS = _ROOT / "benchmarks" / "results"


def publish(mark: str, table: str) -> None:
    """Print a table, write it to results/MARK.md, and put it between <!-- MARK --> and <!-- /MARK --> of all pages."""
    (RESULTS / f"{mark}.md").write_text(table.strip() + "\n", encoding="utf-8")
    for page in (_ROOT / "README.md", *sorted((_ROOT / "docs").rglob("*.md"))):
        text = page.read_text(encoding="utf-8")
        marks = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
        quoted = marks.sub(lambda found: f"{found[1]}{table.strip()}\n{found[2]}", text)
        if quoted != text:
            page.write_text(quoted, encoding="utf-8")
    print(table.strip())
