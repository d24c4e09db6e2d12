"""What is done with the words of a command line before they are parsed: spelling, a run's own options, config files."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import yaml

from tellapart import systems
from tellapart.errors import InputError
from tellapart.runs import Run
from tellapart.systems.options import check_names

_OPTION = re.compile(r"^--([a-z][a-z_.]*(?:-[a-z_.]+)+)(?==|$)")


def with_kept_options(arguments: list[str]) -> list[str]:
    """The same command; one that resumes a run begins with that run's options, which need not be given again."""
    if arguments[:1] != ["train"] or "--resume" not in arguments or arguments[1] not in systems.NAMES:
        return arguments
    name, places = arguments[1], [f"runs/{arguments[1]}"]
    for word, following in pairwise([*arguments, ""]):
        if word == "--run" or word.startswith("--run="):
            places.append(following if word == "--run" else word.removeprefix("--run="))
    run = Run(Path(places[-1]))
    if not run.has_begun() or run.system != name:  # of another system: this is said when it is trained
        return arguments
    run.options()  # or what is wrong with them
    return ["train", name, "--config", str(run.config_file), *arguments[2:]]


def with_underscores(arguments: list[str]) -> list[str]:
    """The words of a command line with options as they are called, whether they were typed with - or with _.

    >>> with_underscores(["train", "--batch-size=8", "--held-out", "0.1", "a-b"])
    ['train', '--batch_size=8', '--held_out', '0.1', 'a-b']
    """
    return [_OPTION.sub(lambda found: f"--{found[1].replace('-', '_')}", word) for word in arguments]


def check_config_files(arguments: list[str]) -> None:
    """Raise `InputError` if a --config file of `train` is missing, no YAML, or holds an option that there is not."""
    if arguments[:1] != ["train"] or len(arguments) < 2 or arguments[1] not in systems.NAMES:
        return
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if word == "--config" or word.startswith("--config="):
            path = Path(following if word == "--config" else word.removeprefix("--config="))
            _check_config(arguments[1], path)


def _check_config(system: str, path: Path) -> None:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot read the options, {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f" line {line + 1}"
        what = getattr(error, "problem", None) or "not UTF-8"
        raise InputError(f"{path}{where}: no YAML that can be read, {what}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no options. Write them as name: value, a line each.")
    try:
        check_names(system, {name: value for name, value in content.items() if name not in ("run", "resume")})
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
