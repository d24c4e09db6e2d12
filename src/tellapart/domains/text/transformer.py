"""Sentences to embeddings through a small BERT, which can also guess tokens that are masked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tellapart.domains.text.ragged import Ragged
from tellapart.domains.text.spelling import Spelling
from tellapart.domains.text.wordpieces import WordPieces
from tellapart.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, Int

_HEAD_WIDTH = 64  # of an attention head, as in BERT
_BUCKETS = 2**15  # vectors for the n-grams of spellings
_CONTEXT = 0.3  # how much the last layer says at first, beside a token's own vector
_MASKED, _KEPT, _SWAPPED = 0.15, 0.1, 0.1
"""The share of the tokens that are to be guessed and, of these, how many stand there as they are, or another one."""


class Transformer(nn.Module):
    """A small BERT: sentences to the mean over their tokens.

        of a BERT from a folder    embedding = mean over tokens of h
        of a new one               embedding = mean over tokens of x + c · h / √dim

    with h what the last layer says of a token, x the token's own vector, and c a learned number, at first 0.3.

    The vectors tell words apart before anything is learned: without them a small BERT that has seen little would have
    to learn to let them through. They are taken as they are, before BERT makes all of them equally long, so that a word
    can learn how much it counts. And they tell how words are spelled (see `Spelling`), so that what two languages write
    alike has something in common from the beginning.

    Args:
        pieces: the tokeniser.
        folder: a BERT that `save_pretrained` wrote, with its weights as safetensors; or "", for random weights.
        width: of a new one, the length of its vectors and of the embeddings.
        layers: of a new one.
        longest: tokens of a sentence at most, of a new one.
        guesses: whether there is a head to guess masked tokens.

    Raises:
        InputError: `transformers` is missing; no whole BERT in the folder, or one for another tokeniser.

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
        """Sentences as tokens."""
        return self.pieces.read(texts)

    def forward(self, sentences: Ragged) -> Float[Tensor, "n dim"]:
        """Embed sentences."""
        tokens, real = sentences.padded(self.pieces.pad)
        vectors = self._of_tokens(tokens.long())
        states = self._last_layer(vectors, real)
        if self.context is not None:
            states = vectors + self.context * states / math.sqrt(self.dim)
        mean: Tensor = (states * real[..., None]).sum(dim=1) / real.sum(dim=1, keepdim=True)
        return mean

    def guess(self, sentences: Ragged) -> Float[Tensor, ""]:
        """The mean cross-entropy, in nats, of guessing the tokens of which 15 % were chosen at random.

        Of these, 80 % are masked, 10 % replaced by any other token, and 10 % stand there as they are. Tokens that no
        text has, such as [CLS], are not chosen.

        Source: Devlin et al. 2019, §3.1, task 1.
        """
        assert self.transform is not None
        assert self.bias is not None
        tokens, real = sentences.padded(self.pieces.pad)
        tokens, chance = tokens.long(), torch.rand(tokens.shape, device=tokens.device)
        added = torch.tensor(self.pieces.added, device=tokens.device)
        open_to_choice = real & ~torch.isin(tokens, added)
        chosen = (chance < _MASKED) & open_to_choice
        if not chosen.any():  # of very few and short sentences there may be none: then the first
            chosen.view(-1)[open_to_choice.flatten().int().argmax()] = True
        fate = chance / _MASKED
        shown = tokens.masked_fill(chosen & (fate >= _KEPT + _SWAPPED), self.pieces.mask)
        swapped = chosen & (fate < _SWAPPED)
        shown = torch.where(swapped, torch.randint_like(tokens, len(self.pieces)), shown)
        states = self._last_layer(self._of_tokens(shown), real)
        vocabulary = self._of_pieces(torch.arange(len(self.pieces), device=tokens.device))
        logits = nn.functional.linear(self.transform(states[chosen]), vocabulary, self.bias[: len(vocabulary)])
        return nn.functional.cross_entropy(logits.float(), tokens[chosen])

    def _last_layer(self, vectors: Float[Tensor, "n longest dim"], real: Bool[Tensor, "n longest"]) -> Tensor:
        """What comes out of the last layer."""
        states: Tensor = self.bert(inputs_embeds=vectors, attention_mask=real.long()).last_hidden_state
        return states

    def _of_tokens(self, tokens: Int[Tensor, "n longest"]) -> Float[Tensor, "n longest dim"]:
        """The vectors of sentences' tokens; of each that occurs, made once."""
        different, places = tokens.unique(return_inverse=True)
        return nn.functional.embedding(places, self._of_pieces(different))

    def _of_pieces(self, numbers: Int[Tensor, " k"]) -> Float[Tensor, "k dim"]:
        """The vectors of the pieces of these numbers: each its own and, in a new BERT, that of its spelling."""
        own: Tensor = self.bert.embeddings.word_embeddings.weight[numbers]
        return own if self.spelling is None else (own + self.spelling(numbers)) / math.sqrt(2)


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
    # Large beside those of places: at first a token says which word it is, more than where it stands.
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
    # The head that guesses tokens may be new; weights of the BERT itself would be random.
    missing = sorted(name for name in found["missing_keys"] if name.startswith("bert."))
    if missing:
        raise InputError(f"{folder}: no whole BERT, {len(missing)} of its weights are missing, such as {missing[0]}.")
    return loaded.train()


def _kind(folder: str) -> str:
    """What a folder's config.json says the model is."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise InputError(f"{folder}: no folder of a model, it has no config.json.")
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged, it names no model_type.") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the bars and reports of transformers off the terminal: what matters of them is said as an error."""
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
