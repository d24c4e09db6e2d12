"""Embed sentences by a small BERT, which can also predict masked tokens."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tellapart.domains.text.ragged import Ragged, mean_over
from tellapart.domains.text.spelling import Spelling
from tellapart.domains.text.wordpieces import WordPieces
from tellapart.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, Int

_HEAD_WIDTH = 64  # of an attention head, as in BERT
_BUCKETS = 2**15  # vectors for the n-grams of spellings
_CONTEXT = 0.3  # the initial weight of the last layer beside a token's vector
_MASKED, _KEPT, _SWAPPED = 0.15, 0.1, 0.1
"""The share of tokens to predict and, of these, the shares that are kept or replaced by another token."""


class Transformer(nn.Module):
    """A small BERT: sentences to the mean over their tokens.

        a BERT from a folder    embedding = mean over tokens of h
        a new BERT              embedding = mean over tokens of x + c · h / √dim

    h is a token's state in the last layer, x its vector, and c a learned number, at first 0.3.

    The vectors distinguish words before any training; otherwise a small BERT would first have to learn to pass them
    through. They are taken before BERT's layer norm, so that their lengths can learn a word's weight. They depend on
    spelling (see `Spelling`), so that words spelled alike in two languages are similar from the start.

    Args:
        pieces: the tokeniser.
        folder: a BERT written by `save_pretrained`, with its weights as safetensors; or "", for random weights.
        width: for a new BERT, the length of its vectors and of the embeddings.
        layers: for a new BERT, the number of layers.
        longest: for a new BERT, the largest number of tokens of a sentence.
        guesses: whether there is a head to predict masked tokens.

    Raises:
        InputError: `transformers` is missing; no complete BERT in the folder, or one for another tokeniser.

    Source: Devlin et al. 2019 (BERT), §3; mean pooling: Reimers & Gurevych 2019, §3.
    """

    def __init__(
        self, pieces: WordPieces, folder: str, width: int, layers: int, longest: int, *, guesses: bool
    ) -> None:
        super().__init__()
        self.pieces = pieces
        model = _load(folder) if folder else _new(len(pieces), width, layers, longest)
        if model.config.vocab_size < len(pieces) or model.config.max_position_embeddings < longest:
            room = f"{model.config.vocab_size} tokens and sentences of {model.config.max_position_embeddings}"
            raise InputError(f"{folder}: a BERT for {room}, where there are {len(pieces)} and {longest}.")
        self.bert = model.bert
        self.spelling = None if folder else Spelling(pieces.strings(), _BUCKETS, width)
        head = model.cls.predictions
        self.transform: nn.Module | None = head.transform if guesses else None
        self.bias: nn.Parameter | None = head.bias if guesses else None
        self.dim = int(model.config.hidden_size)
        self.context = None if folder else nn.Parameter(torch.tensor(_CONTEXT))

    def read(self, texts: Sequence[str]) -> Ragged:
        """The tokens of sentences."""
        return self.pieces.read(texts)

    def forward(self, sentences: Ragged) -> Float[Tensor, "n dim"]:
        """Embed sentences."""
        tokens, real = sentences.padded(self.pieces.pad)
        vectors = self._of_tokens(tokens.long())
        states = self._last_layer(vectors, real)
        if self.context is not None:
            states = vectors + self.context * states / math.sqrt(self.dim)
        return mean_over(states, real)

    def guess(self, sentences: Ragged) -> Float[Tensor, ""]:
        """The mean cross-entropy, in nats, of predicting a random 15 % of the tokens.

        Of these, 80 % are masked, 10 % are replaced by a random token, and 10 % are kept. Added tokens, such as [CLS],
        are not chosen.

        Source: Devlin et al. 2019, §3.1, task 1.
        """
        assert self.transform is not None
        assert self.bias is not None
        tokens, real = sentences.padded(self.pieces.pad)
        tokens, chance = tokens.long(), torch.rand(tokens.shape, device=tokens.device)
        added = torch.tensor(self.pieces.added, device=tokens.device)
        eligible = real & ~torch.isin(tokens, added)
        chosen = (chance < _MASKED) & eligible
        if not chosen.any():  # possible with few and short sentences: take the first
            chosen.view(-1)[eligible.flatten().int().argmax()] = True
        fate = chance / _MASKED
        shown = tokens.masked_fill(chosen & (fate >= _KEPT + _SWAPPED), self.pieces.mask)
        swapped = chosen & (fate < _SWAPPED)
        shown = torch.where(swapped, torch.randint_like(tokens, len(self.pieces)), shown)
        states = self._last_layer(self._of_tokens(shown), real)
        vocabulary = self.of_pieces(torch.arange(len(self.pieces), device=tokens.device))
        logits = nn.functional.linear(self.transform(states[chosen]), vocabulary, self.bias[: len(vocabulary)])
        return nn.functional.cross_entropy(logits.float(), tokens[chosen])

    def _last_layer(self, vectors: Float[Tensor, "n longest dim"], real: Bool[Tensor, "n longest"]) -> Tensor:
        """The states of the last layer."""
        states: Tensor = self.bert(inputs_embeds=vectors, attention_mask=real.long()).last_hidden_state
        return states

    def _of_tokens(self, tokens: Int[Tensor, "n longest"]) -> Float[Tensor, "n longest dim"]:
        """The vectors of sentences' tokens; each different token's is computed once."""
        different, places = tokens.unique(return_inverse=True)
        return nn.functional.embedding(places, self.of_pieces(different))

    def of_pieces(self, numbers: Int[Tensor, " k"]) -> Float[Tensor, "k dim"]:
        """The vectors of pieces, by number: a learned vector plus, in a new BERT, that of the spelling."""
        learned: Tensor = self.bert.embeddings.word_embeddings.weight[numbers]
        return learned if self.spelling is None else (learned + self.spelling(numbers)) / math.sqrt(2)


def _new(vocabulary: int, width: int, layers: int, longest: int) -> Any:
    config, model = _transformers()
    made = model(
        config(
            vocab_size=vocabulary,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=max(1, width // _HEAD_WIDTH),
            intermediate_size=4 * width,
            max_position_embeddings=longest,
        )
    )
    # Large compared with the vectors of positions: at first the word matters more than its position.
    nn.init.normal_(made.bert.embeddings.word_embeddings.weight, std=width**-0.5)
    return made


def _load(folder: str) -> Any:
    _, model = _transformers()
    if (kind := _kind(folder)) != "bert":
        raise InputError(f"{folder}: a model of type {kind}. Take a BERT, of type bert.")
    try:
        with _quiet():
            loaded, found = model.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise InputError(f"{folder}: no BERT that can be read, {' '.join(str(error).split())[:200]}.") from error
    # The head that predicts tokens may be missing. Missing weights of the BERT itself would be random.
    missing = sorted(name for name in found["missing_keys"] if name.startswith("bert."))
    if missing:
        raise InputError(f"{folder}: no whole BERT, {len(missing)} of its weights are missing, such as {missing[0]}.")
    return loaded.train()


def _kind(folder: str) -> str:
    """The model type in a folder's config.json."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise InputError(f"{folder}: no folder of a model, it has no config.json.")
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged, it names no model_type.") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the bars and reports of transformers off the terminal; missing weights raise an error instead."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _transformers() -> tuple[Any, Any]:
    try:
        from transformers import BertConfig, BertForMaskedLM
    except ImportError as error:
        raise InputError(f"the package {error.name} is missing. pip install 'tellapart[transformers]'.") from error
    return BertConfig, BertForMaskedLM
