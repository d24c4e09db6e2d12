"""Models of `transformers` in local folders, and towers made of them. Nothing is downloaded or unpickled."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

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


class Tower(nn.Module):
    """A pretrained encoder with a linear layer behind it. A locked encoder stays as it is, in eval mode.

    Args:
        encoder: its attribute `dim` is the length of its features.
        dim: the length of the embeddings.
        locked: whether training leaves the encoder alone.

    Source: Zhai et al. 2022 (LiT), §3.

    >>> encoder = nn.Linear(3, 4)
    >>> encoder.dim = 4
    >>> tower = Tower(encoder, 2, locked=True).train()
    >>> encoder.training, [name for name, weight in tower.named_parameters() if weight.requires_grad]
    (False, ['head.weight', 'head.bias'])
    """

    def __init__(self, encoder: nn.Module, dim: int, *, locked: bool) -> None:
        super().__init__()
        self.encoder, self.locked = encoder, locked
        self.head = nn.Linear(int(encoder.dim), dim)  # type: ignore[arg-type]
        if locked:
            encoder.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Tower:
        """As for every module, but for a locked encoder."""
        super().train(mode)
        if self.locked:
            self.encoder.eval()
        return self

    def forward(self, items: Any) -> Tensor:
        """Items as the encoder takes them, to embeddings."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.locked):
            features = self.encoder(items)
        embeddings: Tensor = self.head(features)
        return embeddings


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
