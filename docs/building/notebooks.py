"""Notebooks are kept without outputs. The build of the site runs them, and shows what they print.

nbclient runs them, and the few lines here write what came out as Markdown: nbconvert would bring templates and a theme
of its own, which the site does not need.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbclient import NotebookClient

_SECONDS = 300
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Shown(NamedTuple):
    """A notebook as Markdown, and the pictures that it names, by their file names."""

    text: str
    pictures: dict[str, bytes]


def run(path: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs of its cells, computed in a folder.

    Raises:
        CellExecutionError: a cell raised (of nbclient); the message has its traceback.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=_SECONDS,
        resources={"metadata": {"path": str(folder)}},
        coalesce_streams=True,  # else what is printed at several times is in several parts
        extra_arguments=["--IPKernelApp.log_level=40"],  # errors; not that a port of this machine is unencrypted
    )
    client.execute()
    return notebook


def shown(notebook: nbformat.NotebookNode, name: str) -> Shown:
    """The cells of a notebook that was run, and what they printed and returned.

    Args:
        notebook: with outputs.
        name: begins the names of its pictures.
    """
    pictures: dict[str, bytes] = {}
    parts: list[str] = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(_fence(cell.source, "python"))
        for output in cell.outputs:
            parts.append(_output(output, f"{name}_{len(pictures)}.png", pictures))
    return Shown("\n\n".join(part for part in parts if part) + "\n", pictures)


def _output(output: Any, picture: str, pictures: dict[str, bytes]) -> str:
    """One output as Markdown: a picture, or text. Progress, which is on stderr or displayed, is left out."""
    if output.output_type == "stream":
        return _fence(output.text, "text", "output") if output.name == "stdout" else ""
    if "image/png" in output.data:
        pictures[picture] = base64.b64decode(output.data["image/png"])
        return f"![What the cell above shows]({picture})"
    return _fence(output.data["text/plain"], "text", "output") if output.output_type == "execute_result" else ""


def _fence(text: str, language: str, kind: str = "") -> str:
    text = _COLOURS.sub("", text).rstrip("\n")
    return f"``` {{ .{language} {f'.{kind} ' if kind else ''}}}\n{text}\n```"
