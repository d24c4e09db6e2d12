"""Text encoders as functions of tensors, for `export`: rectangles, in which shorter texts are padded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tellapart.domains.given import as_texts, items_of, refuse
from tellapart.domains.text.ngram_bag import NgramBag, hashed
from tellapart.domains.text.pretrained_text import PretrainedText
from tellapart.domains.text.ragged import mean_over
from tellapart.domains.text.transformer import Transformer
from tellapart.runs import Pooled, TensorEncoder, Unit

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_LONGEST = 2**14  # n-grams of a text
_EXAMPLE = ["a cat", "two red fish", "the third of three sentences"]


def text_encoder(encoder: Any, head: nn.Linear | None = None) -> TensorEncoder:
    """Texts to unit embeddings.

    Args:
        encoder: a `NgramBag`, a `Transformer` or a `PretrainedText`.
        head: a linear layer behind it.
    """
    if isinstance(encoder, NgramBag):
        return _of_bag(encoder)
    reader = encoder.pieces if isinstance(encoder, Transformer) else encoder
    pad, longest = reader.pad, reader.longest

    def read(given: Any) -> tuple[Tensor, ...]:
        tokens, real = encoder.read(_texts(given)).padded(pad)
        return tokens.long(), real.long()

    inputs = {
        "tokens": f"int64 (n, longest), the numbers of tokens, padded with {pad}",
        "attention_mask": "int64 (n, longest), 1 for tokens and 0 for padding",
    }
    module = nn.Sequential(*(part for part in (head,) if part is not None))
    traced: nn.Module = _Pieces(encoder) if isinstance(encoder, Transformer) else _Tokens(encoder)
    return TensorEncoder(Unit(_Behind(traced, module)), inputs, read, _EXAMPLE, (1, longest), _pooled(encoder, head))


def _texts(given: Any) -> list[str]:
    items = items_of(given)
    if items is None:
        refuse(given, "be a list or column of texts")
    return as_texts(items, "text")


def _of_bag(bag: NgramBag) -> TensorEncoder:
    def read(given: Any) -> tuple[Tensor, ...]:
        bags = hashed(_texts(given), bag.ngrams.num_embeddings)
        ids, real = bags.padded()
        weights = bags.columns[1].float().rsqrt()
        return ids.long(), torch.zeros(real.shape).masked_scatter(real, weights)

    inputs = {
        "ids": f"int64 (n, longest), each n-gram's CRC-32 modulo {bag.ngrams.num_embeddings}",
        "weights": "float32 (n, longest), 1 / (words · √(n-grams of the word)); 0 for padding",
    }
    return TensorEncoder(Unit(_Rectangle(bag)), inputs, read, _EXAMPLE, (1, _LONGEST))


def _pooled(encoder: Any, head: nn.Linear | None) -> Pooled | None:
    """The same as a model of transformers with the mean over tokens, if it is that."""
    if isinstance(encoder, PretrainedText):
        return Pooled(encoder.model, encoder.tokenizer, encoder.longest, head)
    if isinstance(encoder, Transformer) and encoder.context is None:
        return Pooled(encoder.bert, encoder.pieces.as_fast_tokenizer(), encoder.pieces.longest, head)
    return None


class _Behind(nn.Module):
    """One module behind another that takes several tensors."""

    def __init__(self, first: nn.Module, then: nn.Module) -> None:
        super().__init__()
        self.first, self.then = first, then

    def forward(self, *tensors: Tensor) -> Tensor:
        found: Tensor = self.then(self.first(*tensors))
        return found


class _Rectangle(nn.Module):
    """A bag of n-grams in rectangles: the weighted sum of each row's vectors, then the bag's linear layer."""

    def __init__(self, bag: NgramBag) -> None:
        super().__init__()
        self.bag = bag

    def forward(self, ids: Int[Tensor, "n longest"], weights: Float[Tensor, "n longest"]) -> Float[Tensor, "n d"]:
        vectors = nn.functional.embedding(ids, self.bag.ngrams.weight)
        embeddings: Tensor = self.bag.head((vectors * weights[..., None]).sum(dim=1))
        return embeddings


class _Tokens(nn.Module):
    """A pretrained model: the mean over the tokens' states."""

    def __init__(self, encoder: PretrainedText) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, tokens: Int[Tensor, "n longest"], mask: Int[Tensor, "n longest"]) -> Float[Tensor, "n d"]:
        return self.encoder.mean(tokens, mask)


class _Pieces(nn.Module):
    """A `Transformer` with the vectors of all pieces as one table, which a graph can look up."""

    table: Tensor

    def __init__(self, encoder: Transformer) -> None:
        super().__init__()
        self.bert, self.context, self.scale = encoder.bert, encoder.context, math.sqrt(encoder.dim)
        with torch.no_grad():
            self.register_buffer("table", encoder.of_pieces(torch.arange(len(encoder.pieces))), persistent=False)

    def forward(self, tokens: Int[Tensor, "n longest"], mask: Int[Tensor, "n longest"]) -> Float[Tensor, "n d"]:
        vectors = nn.functional.embedding(tokens, self.table)
        states = self.bert(inputs_embeds=vectors, attention_mask=mask).last_hidden_state
        if self.context is not None:
            states = vectors + self.context * states / self.scale
        return mean_over(states, mask)
