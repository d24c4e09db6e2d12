"""Models of `transformers` in local folders: read with their tokeniser. Nothing is downloaded or unpickled."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tellapart.errors import InputError

_MISSING = "the package {} is missing. pip install 'tellapart[{}]'."


def load_pretrained(folder: Path, kind: str, what: str, extra: str, **options: Any) -> tuple[Any, Any]:
    """A model, in float32, and its tokeniser, from a folder that `save_pretrained` wrote.

    Args:
        folder: where they are.
        kind: the class of `transformers` that reads the model, such as "AutoModel".
        what: the kind of model in words, for messages, such as "causal model".
        extra: the extra of this package that installs `transformers`.
        options: of `from_pretrained`.

    Raises:
        InputError: `transformers` is missing; no such model in safetensors, or one with missing weights; or no
            tokeniser.
    """
    transformers = library("transformers", extra)
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no folder of a model, it has no config.json.")
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        with quiet():
            model, found = getattr(transformers, kind).from_pretrained(
                folder, use_safetensors=True, output_loading_info=True, dtype=torch.float32, **local, **options
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **local)
    except Exception as error:  # a damaged folder fails in as many ways as it has files
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{folder}: no {what} with a tokeniser that can be read: {said}") from error
    # A pooler is of no use here, and a model that was trained without one has none.
    if missing := sorted(name for name in found["missing_keys"] if "pooler" not in name):
        raise InputError(f"{folder}: {len(missing)} weights of the model are missing, such as {missing[0]}.")
    return model, tokenizer


def library(name: str, extra: str) -> Any:
    """A library, or an `InputError` that says how to install it.

    >>> library("json", "tool").dumps([])
    '[]'
    """
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(_MISSING.format(error.name, extra)) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the bars, reports and notes of transformers to its own developers off the terminal."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.filterwarnings("ignore", "fan_in_fan_out")  # that peft recognised GPT-2's layers
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
