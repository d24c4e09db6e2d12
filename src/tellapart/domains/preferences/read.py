"""Read preferences from JSONL and Parquet, and lines of text; errors name file and line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tellapart import reading
from tellapart.domains import parquet_rows
from tellapart.domains.preferences.options import text_files
from tellapart.domains.preferences.preferences import Preference, Preferences, Said
from tellapart.domains.sniff import numbered_lines, suffix
from tellapart.errors import InputError, existing

_SUFFIXES = (".jsonl", ".ndjson", ".parquet")
_COLUMNS = ("prompt", "chosen", "rejected")


def load_preferences(source: str, *, compared: bool = True) -> Preferences:
    """Read prompts with a chosen answer and rejected ones, and perhaps `scores`, one per answer, the chosen's first.

    Prompt and answers are strings, or lists of messages with role and content. `rejected` is one answer, or a list of
    several, from better to worse. A rejected answer that equals the chosen one is dropped; a row without another
    one is left out, and counted.

    Args:
        source: a `.jsonl`, with an object in each line, or a `.parquet`.
        compared: whether a row needs a rejected answer; otherwise rows without one are kept.

    Raises:
        InputError: the file is missing, broken or empty; or a row lacks a column, or holds something else in it. The
            message names the line.
    """
    path = existing(source)
    if suffix(path) not in _SUFFIXES or not path.is_file():
        raise InputError(f"{path}: preferences are read from a .jsonl or a .parquet file.")
    rows, left_out = [], 0
    for place, content in _parquet(path) if suffix(path) == ".parquet" else _json_lines(path):
        try:
            row = _preference(place, content, compared)
        except InputError as error:
            reading.leave_out("row that is no preference", place, error)
            continue
        if compared and len(row.answers) < 2:
            left_out += 1
        else:
            rows.append(row)
    if not rows:
        raise reading.first_broken() or InputError(
            f"{path}: holds no prompt with a chosen answer and a different rejected one."
        )
    reading.read(len(rows), "preference")
    reading.pass_over("row with two equal answers", [""] * left_out)
    return Preferences(rows, left_out)


def load_lines(named: str) -> list[str]:
    """The lines of text files, joined by commas, without spaces around them and without empty ones.

    Raises:
        InputError: a file is missing, or not UTF-8; or there is no text.
    """
    lines: list[str] = []
    for part in text_files(named):
        lines += [line for _, line in _lines(existing(part))]
    if not lines:
        raise reading.first_broken() or InputError(f"{named}: holds no text.")
    reading.read(len(lines), "line")
    return lines


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in numbered_lines(path):
        place = f"{path} line {number}"
        if isinstance(line, InputError):
            reading.leave_out("line that is no text", place, line)
        elif line.strip():
            yield place, line.strip()


def _json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, text in _lines(path):
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            what = f"no JSON, {error.msg} at letter {error.colno}"
        else:
            if isinstance(content, dict):
                yield place, content
                continue
            what = f"{type(content).__name__}, not an object with {', '.join(_COLUMNS)}"
        reading.leave_out("line that is no JSON object", place, InputError(f"{place}: {what}."))


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow.parquet as pq

    with parquet_rows.parsing(path):
        file = pq.ParquetFile(path)
        known = [name for name in (*_COLUMNS, "scores") if name in file.schema_arrow.names]
        number = 0
        for batch in file.iter_batches(columns=known):
            for row in batch.to_pylist():
                number += 1
                yield f"{path} row {number}", row


def _preference(place: str, content: dict[str, Any], compared: bool) -> Preference:
    """One row, checked."""
    missing = [name for name in _COLUMNS[: 3 if compared else 2] if content.get(name) is None]
    if missing:
        raise InputError(f"{place}: no {' and no '.join(missing)}. A row needs {', '.join(_COLUMNS)}.")
    prompt, chosen = (_said(place, name, content[name]) for name in ("prompt", "chosen"))
    given = content.get("rejected")
    rejected = [_said(place, "rejected", item) for item in ([] if given is None else _several(given))]
    kinds = {type(answer) for answer in (chosen, *rejected)}
    if len(kinds) > 1 or (isinstance(prompt, list) and kinds == {str}):
        raise InputError(f"{place}: some of prompt, chosen and rejected are strings, some messages. Make them alike.")
    if isinstance(prompt, str) and kinds == {list}:
        prompt = [{"role": "user", "content": prompt}]
    answers = [_without_prompt(prompt, answer) for answer in (chosen, *rejected)]
    for name, answer in zip(("chosen", *["rejected"] * len(rejected)), answers, strict=True):
        if not answer or (isinstance(answer, str) and not answer.strip()):
            raise InputError(f"{place}: the {name} answer is empty. Fill it or remove the row.")
    kept = [0] + [i for i in range(1, len(answers)) if answers[i] != answers[0]]
    scores = _scores(place, content.get("scores"), len(answers))
    kept_scores = None if scores is None else tuple(scores[i] for i in kept)
    return Preference(place, prompt, tuple(answers[i] for i in kept), kept_scores)


def _several(rejected: Any) -> list[Any]:
    """The rejected answers: a list of messages is one answer, a list of others holds several."""
    is_one = not isinstance(rejected, list) or (bool(rejected) and isinstance(rejected[0], dict))
    return [rejected] if is_one else rejected


def _said(place: str, name: str, value: Any) -> Said:
    """A text, or messages of role and content."""
    if isinstance(value, str):
        return value
    must = "be a string, or a list of messages with role and content"
    if not isinstance(value, list) or not value:
        raise InputError(f"{place}: `{name}` must {must}. Got {value!r:.60}.")
    for message in value:
        parts = [message.get(part) for part in ("role", "content")] if isinstance(message, dict) else [None]
        if not all(isinstance(part, str) for part in parts):
            raise InputError(f"{place}: `{name}` must {must}. Got a message {message!r:.60}.")
    return [{"role": message["role"], "content": message["content"]} for message in value]


def _without_prompt(prompt: Said, answer: Said) -> Said:
    """An answer's own messages, where its list repeats the prompt's."""
    repeats = isinstance(answer, list) and answer[: len(prompt)] == prompt
    return answer[len(prompt) :] if repeats else answer


def _scores(place: str, given: Any, n_answers: int) -> tuple[float, ...] | None:
    if given is None:
        return None
    numbers = given if isinstance(given, list) else [given]
    known = [float(x) for x in numbers if type(x) in (int, float) and math.isfinite(x)]
    if len(known) != n_answers or len(numbers) != n_answers:
        must = f"hold one finite number for each of the {n_answers} answers, the chosen one's first"
        raise InputError(f"{place}: `scores` must {must}. Got {given!r:.60}.")
    return tuple(known)
