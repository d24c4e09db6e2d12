"""A run in a few lines: what was read, how long it was trained, what evaluation found."""

from __future__ import annotations

from tellapart.errors import InputError
from tellapart.evaluation import Table
from tellapart.runs.run import Run


def summary(run: Run) -> dict[str, str]:
    """Data, training and main figures, in words; what the folder does not hold, or holds damaged, is left out."""
    told: dict[str, str] = {}
    try:
        told |= {"data": said} if (said := run.told()) else {}
        told["training"] = _training(run)
        if run.results_file.is_file():
            told["results"] = _figures(Table.from_dict(run.results()))
    except InputError as error:
        told["damaged"] = str(error)
    return {name: text for name, text in told.items() if text}


def _training(run: Run) -> str:
    log = run.log()
    if not log:
        return "" if run.is_trained() else "not begun"
    loss = f", the last with a loss of {log[-1]['loss']:.4g}" if "loss" in log[-1] else ""
    return f"{log[-1]['step']:,} steps{loss}{'' if run.is_trained() else '; not complete'}"


def _figures(table: Table) -> str:
    figures = "; ".join(f"{group}: {what} {value:.4g}".removeprefix(": ") for group, what, value in table.figures())
    return f"{table.title}: {figures}" if figures else table.title
