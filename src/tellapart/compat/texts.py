"""Columns of tokenised texts, as sentence-transformers hands them to a loss."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import Tensor

from tellapart.errors import requirement
from tellapart.relations import Relation, same


def chunk_sizes(column: dict[str, Tensor], budget: int) -> list[int]:
    """How many texts in a row have at most so many tokens together, or the one that has more.

    >>> import torch
    >>> chunk_sizes({"attention_mask": torch.ones(5, 2)}, 4)
    [2, 2, 1]
    """
    if "attention_mask" not in column:
        must = "hold `attention_mask` where `mini_batch_num_tokens` is given"
        raise ValueError(requirement("sentence_features", must, sorted(column)))
    sizes, tokens = [0], 0
    for length in column["attention_mask"].sum(1).tolist():
        tokens += length
        if sizes[-1] and tokens > budget:
            sizes.append(0)
            tokens = length
        sizes[-1] += 1
    return [size for size in sizes if size]


def without_padding(features: dict[str, Any]) -> dict[str, Any]:
    """A copy of a mini-batch's features, without columns that are padding behind all of its texts.

    >>> import torch
    >>> without_padding({"attention_mask": torch.tensor([[1, 1, 0], [1, 0, 0]])})["attention_mask"].tolist()
    [[1, 1], [1, 0]]
    """
    mask = features.get("attention_mask")
    if not isinstance(mask, Tensor) or mask.ndim != 2 or not bool(mask.any()):
        return dict(features)
    width = int(mask.any(0).nonzero().max()) + 1
    tokens = {k for k, v in features.items() if isinstance(v, Tensor) and v.shape == mask.shape}
    return {key: value[:, :width] if key in tokens else value for key, value in features.items()}


def duplicates(columns: list[dict[str, Tensor]]) -> Relation:
    """Anchor i with each candidate that has the text of positive i, or is the positive of an anchor equal to i.

    >>> import torch
    >>> column = {"input_ids": torch.tensor([7, 7, 8]), "offsets": torch.arange(3)}
    >>> duplicates([column, column]).tile(slice(0, 3), slice(0, 3)).int().tolist()
    [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    """
    anchors, positives, *negatives = map(_texts, columns)
    hard = [text for column in negatives for text in column]
    return same(positives, positives + hard) | same(anchors, anchors + [None] * len(hard))


def _texts(column: dict[str, Tensor]) -> list[tuple[int, ...] | None]:
    """The tokens of each text, without the padding, which differs from column to column."""
    if {"input_ids", "offsets"} <= set(column):  # of a StaticEmbedding: all texts in a row
        tokens = column["input_ids"].tolist()
        starts = [*column["offsets"].tolist(), len(tokens)]
        return [tuple(tokens[start:stop]) for start, stop in pairwise(starts)]
    if not {"input_ids", "attention_mask"} <= set(column):
        must = "hold `input_ids` and `attention_mask` (or `offsets`) where duplicates are positives"
        raise ValueError(requirement("sentence_features", must, sorted(column)))
    rows = zip(column["input_ids"].tolist(), column["attention_mask"].tolist(), strict=True)
    return [tuple(token for token, kept in zip(*row, strict=True) if kept) for row in rows]
