"""The model card of an exported run: what it is, how it is used, what was found."""

from __future__ import annotations

from typing import Any

import yaml

from tellapart.evaluation import Table
from tellapart.runs import FinishedRun
from tellapart.version import __version__


def model_card(finished: FinishedRun, options: dict[str, Any], how_to_use: str = "") -> str:
    """The card as Markdown, with the head that Hugging Face's hub reads."""
    run, usual = finished.run, type(finished.config)
    head = {"library_name": "tellapart", "tags": ["contrastive-learning", "infonce", run.system]}
    changed = [
        f"| {name} | {value} |"
        for name, value in options.items()
        if name != "trainer" and value not in (getattr(usual, name, None), "")
    ]
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# {run.system}\n\n{_said(usual)} Trained and exported by tellapart {__version__}.",
        f"## Use\n\n{how_to_use or _USE}",
        *([f"## Data\n\n{told.partition('. ')[0].rstrip('.')}."] if (told := run.told()) else []),
        *([f"## Results\n\n{as_markdown(Table.from_dict(run.results()))}"] if run.results_file.is_file() else []),
        "## Options\n\nThose that differ from the defaults.\n\n"
        + "\n".join(["| option | value |", "|---|---|", *changed]),
    ]
    return "\n\n".join(parts) + "\n"


def as_markdown(table: Table) -> str:
    """A table of results as Markdown, with its title above and its notes below.

    >>> print(as_markdown(Table("Found", ["", "R@1"], [["trained", 0.5]], ["", ".2f"], [])))
    Found
    <BLANKLINE>
    |  | R@1 |
    |---|---|
    | trained | 0.50 |
    """
    rows = [table.header, ["---"] * len(table.header), *table.cells()]
    lines = ["|---" * len(row) + "|" if row[0] == "---" else "| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n\n".join([table.title, "\n".join(lines), *table.notes])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _said(config: type) -> str:
    """What the system trains, from its options' docstring; Python drops these under -OO."""
    return (config.__doc__ or "An encoder.").partition("\n")[0]


_USE = """```python
import tellapart

run = tellapart.load("THIS FOLDER")
run.embed(x).vectors
```

Nothing is unpickled and nothing is fetched. `pip install "tellapart[tool]"`."""
