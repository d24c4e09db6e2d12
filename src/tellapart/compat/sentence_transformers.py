"""sentence-transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tellapart.compat.common import inverse
from tellapart.errors import check_choice, requirement
from tellapart.objective import info_nce
from tellapart.relations import Relation, same

if TYPE_CHECKING:
    from jaxtyping import Float

_SIMILARITIES = {"cos_sim": "cosine", "dot_score": "dot"}
_DUPLICATES = ("negatives", "positives")


class SentenceTransformersMNRL(nn.Module):
    """sentence-transformers' `MultipleNegativesRankingLoss`: `L_i = log Σ_j exp S_ij − S_ii`, `S = scale·s`.

    A loss for `SentenceTransformerTrainer`. The first column of texts are the anchors i. The other columns are the
    candidates j of every anchor: first the positives and then, column by column, the hard negatives.

    A text that occurs twice in the batch is a negative of its own anchor, as in the peer. With
    `duplicates="positives"`, a candidate is a positive of an anchor if its text equals that of the anchor's positive,
    or if it is the positive of an equal anchor. Texts are compared by `input_ids` and `attention_mask`.
    Not here: `gather_across_devices`, `directions`, `partition_mode`, `hardness_mode`, `hardness_strength`.

    Args:
        model: maps a column's features to `{"sentence_embedding": (n, d)}`, as a `SentenceTransformer` does.
        scale: 1/τ > 0.
        similarity_fct: the peer's `util.cos_sim` or `util.dot_score`, or the name of one.
        duplicates: "negatives" or "positives".

    Raises:
        ValueError: `scale ≤ 0`, an unknown similarity or choice; in a call, fewer than two columns, no
            `input_ids` and `attention_mask` where duplicates are positives, or as `info_nce`.

    Source: Henderson et al. 2017, §4.4, with a scale; several positives: Khosla et al. 2020, eq. 2.

    >>> class Model(torch.nn.Module):
    ...     def forward(self, features):
    ...         return {"sentence_embedding": features["x"]}
    >>> columns = [{"x": torch.eye(2)}, {"x": torch.eye(2)}]
    >>> SentenceTransformersMNRL(Model(), scale=1.0)(columns)  # log(1 + e⁻¹)
    tensor(0.3133)
    """

    def __init__(
        self,
        model: nn.Module,
        scale: float = 20.0,
        similarity_fct: str | Callable[..., Tensor] = "cos_sim",
        *,
        duplicates: str = "negatives",
    ) -> None:
        super().__init__()
        name = similarity_fct if isinstance(similarity_fct, str) else getattr(similarity_fct, "__name__", "")
        check_choice("similarity_fct", name, tuple(_SIMILARITIES))
        check_choice("duplicates", duplicates, _DUPLICATES)
        self.model, self.scale, self.duplicates = model, scale, duplicates
        self.temperature, self.score = inverse("scale", scale), _SIMILARITIES[name]

    def forward(
        self,
        sentence_features: Iterable[dict[str, Tensor]],
        labels: Tensor | None = None,  # noqa: ARG002
    ) -> Float[Tensor, ""]:
        """The mean loss over the anchors; `labels` is not used, but the trainer passes `None`."""
        columns = list(sentence_features)
        if len(columns) < 2:
            raise ValueError(requirement("sentence_features", "hold anchors and positives", f"{len(columns)} column"))
        positives = _duplicates(columns) if self.duplicates == "positives" else None
        anchors, *candidates = [self.model(column)["sentence_embedding"] for column in columns]
        return info_nce(
            anchors, torch.cat(candidates), positives=positives, temperature=self.temperature, score=self.score
        )


def _duplicates(columns: list[dict[str, Tensor]]) -> Relation:
    """Anchor i with each candidate that has the text of positive i, or is the positive of an anchor equal to i."""
    anchors, positives, *negatives = map(_texts, columns)
    hard = [text for column in negatives for text in column]
    return same(positives, positives + hard) | same(anchors, anchors + [None] * len(hard))


def _texts(column: dict[str, Tensor]) -> list[tuple[int, ...] | None]:
    """The tokens of each text, without the padding, which differs from column to column."""
    if not {"input_ids", "attention_mask"} <= set(column):
        must = "hold `input_ids` and `attention_mask` where duplicates are positives"
        raise ValueError(requirement("sentence_features", must, sorted(column)))
    rows = zip(column["input_ids"].tolist(), column["attention_mask"].tolist(), strict=True)
    return [tuple(token for token, kept in zip(*row, strict=True) if kept) for row in rows]
