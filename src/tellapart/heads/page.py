"""Reads a model and a text, listens to every head, and writes the page."""

from __future__ import annotations

import base64
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tellapart.diagnostics import TARGETS, Attention, Head, attention
from tellapart.errors import InputError, require_option
from tellapart.pages import write_page
from tellapart.pretrained import load_pretrained

_LEVELS = 255


@dataclass(frozen=True)
class HeadsPage:
    """What was written."""

    path: Path
    notes: list[str]
    """What is to be known of it, a line each: heads that are saturated or uniform, tokens left out."""


def write_heads(model: Path, text: str, output: Path, tokens: int = 128) -> HeadsPage:
    """Write the page of a model's heads on a text, which opens offline.

    Args:
        model: a folder of `save_pretrained`, with safetensors and a tokeniser.
        text: at least two tokens long.
        output: the file to write.
        tokens: how many tokens of the text are read at most.

    Raises:
        InputError: `transformers` is missing; no model in the folder, or its attention cannot be heard; a text
            of fewer than two tokens; or the page cannot be written.
    """
    require_option("tokens", tokens >= 2, "be at least 2", tokens)
    network, tokenizer = load_pretrained(
        model, "AutoModel", "model with scaled_dot_product_attention and", "transformers", attn_implementation="sdpa"
    )
    if network.config.is_encoder_decoder:
        raise InputError(f"{model}: an encoder with a decoder. Only models that read one text have a page.")
    ids = tokenizer(text)["input_ids"]
    most = min(tokens, getattr(network.config, "max_position_embeddings", None) or tokens)
    if len(ids) < 2:
        raise InputError(f"TEXT must have at least 2 tokens. Got {len(ids)}: {text!r}.")
    heard, missed = _listen(model, network, torch.tensor([ids[:most]]))
    heads = heard.heads()
    read = [] if len(ids) <= most else [f"Read the first {most} of {len(ids)} tokens."]
    notes = [*read, *missed, *_warned(heads)]
    layers = list(dict.fromkeys(head.layer for head in heads))
    write_page(
        output,
        "heads",
        model=network.config.model_type,
        place=str(model),
        tokens=[_shown(tokenizer, number) for number in ids[:most]],
        targets=TARGETS,
        notes=notes,
        layers=layers,
        heads=[
            _plain(head, layers.index(head.layer), shares) for head, shares in zip(heads, _shares(heard), strict=True)
        ],
    )
    return HeadsPage(output, notes)


def _listen(folder: Path, network: Any, ids: torch.Tensor) -> tuple[Attention, list[str]]:
    """What was heard, and a note of what was not."""
    with warnings.catch_warnings(record=True) as caught, torch.no_grad(), attention(network.eval()) as heard:
        warnings.simplefilter("always", UserWarning)
        network(input_ids=ids, use_cache=False)
    if not heard.calls:
        raise InputError(f"{folder}: no head was heard, {caught[-1].message if caught else 'it has no attention.'}")
    return heard, [f"Not heard: {', '.join(heard.missed)}."] if heard.missed else []


def _warned(heads: list[Head]) -> list[str]:
    """A line for saturated heads, and one for uniform ones."""
    why = {
        "saturated": "one key has all the weight, and hardly a gradient comes back",
        "uniform": "all keys have the same weight, whatever the query",
    }
    lines = []
    for name, what in why.items():
        if found := [head for head in heads if head.warning == name]:
            named = ", ".join(f"{head.layer} head {head.number}" for head in found[:6])
            more = f" and {len(found) - 6} more" if len(found) > 6 else ""
            lines.append(f"{len(found)} of {len(heads)} heads {name}, {what}: {named}{more}.")
    return lines


def _plain(head: Head, layer: int, shares: str) -> dict[str, Any]:
    """A head for the page, with `None` for what is unknown."""
    numbers = ("energy", "free_energy", "entropy", "effective_keys", "evenness")
    return {
        "layer": layer,
        "number": head.number,
        "warning": head.warning,
        "shares": shares,
        **{name: _known(getattr(head, name)) for name in numbers},
        **{
            field: {name: _known(value) for name, value in getattr(head, field).items()}
            for field in ("losses", "masses", "blind")
        },
    }


def _known(value: float) -> float | None:
    return round(value, 5) if math.isfinite(value) else None


def _shares(heard: Attention) -> list[str]:
    """The shares of each head, a byte each, row by row."""
    levels = (
        (share * _LEVELS).round().to(torch.uint8).numpy().tobytes()
        for call in heard.calls
        for share in call.energies.shares[0]
    )
    return [base64.b64encode(level).decode() for level in levels]


def _shown(tokenizer: Any, number: int) -> str:
    """A token as text; one that is no text by itself as the tokeniser names it."""
    return str(tokenizer.decode([number])) or str(tokenizer.convert_ids_to_tokens(number))
