"""The encoder that a run's options ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from tellapart.domains.text.ngram_bag import NgramBag, hashed
from tellapart.domains.text.ragged import Ragged
from tellapart.domains.text.transformer import Transformer
from tellapart.domains.text.unread import sentences_of
from tellapart.domains.text.wordpieces import WordPieces
from tellapart.scores import unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float

    from tellapart.domains.text.options import SentenceOptions

    Embed = Callable[[Sequence[str]], Float[Tensor, "n d"]]

_TOKENS = 2**14


class TextEncoder(Protocol):
    """What turns sentences into vectors, in two steps of which the first is made once for all."""

    def read(self, texts: Sequence[str]) -> Ragged:
        """Sentences as numbers."""

    def __call__(self, sentences: Ragged) -> Float[Tensor, "n d"]:
        """What was read, as vectors."""


class Bag(NgramBag):
    """Hashed words and n-grams, each with a vector of the embedding's length and sparse gradients."""

    def __init__(self, options: SentenceOptions) -> None:
        super().__init__(options.dim, options.buckets, options.dim, options.dropout, head=False, sparse=True)

    def read(self, texts: Sequence[str]) -> Ragged:
        """Sentences as hashed n-grams."""
        return hashed(texts, self.ngrams.num_embeddings)


def make_encoder(options: SentenceOptions, tokeniser: str, *, guesses: bool) -> Bag | Transformer:
    """A new encoder with the first weights that the seed decides, or those of a pretrained model.

    Args:
        options: which one.
        tokeniser: its definition; the bag has none, "".
        guesses: whether it is to guess masked tokens.

    Raises:
        InputError: a package is missing, or there is no such pretrained model.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        if options.encoder == "bag":
            return Bag(options)
        pieces = WordPieces(tokeniser, options.longest)
        sizes = options.dim, options.layers, options.longest
        return Transformer(pieces, options.pretrained, *sizes, guesses=guesses)


@torch.no_grad()
def embed(encoder: TextEncoder, texts: Sequence[str]) -> Float[Tensor, "n d"]:
    """Unit embeddings of texts: those of similar lengths together, so many at a time as have not too many tokens."""
    device = next(encoder.parameters()).device if isinstance(encoder, nn.Module) else None
    sentences = sentences_of(encoder.read, texts)
    order = sentences.lengths.argsort(stable=True)
    parts, start = [], 0
    while start < len(order):
        ahead = sentences.lengths[order[start : start + _TOKENS]]
        # Padded to the last one's length, that is what they take.
        size = max(1, int((ahead * torch.arange(1, len(ahead) + 1) <= _TOKENS).sum()))
        chunk = sentences.rows(order[start : start + size])
        parts.append(encoder(chunk if device is None else chunk.to(device)))
        start += size
    vectors = torch.cat(parts)
    return unit(torch.empty_like(vectors).index_copy(0, order.to(vectors.device), vectors).float())
