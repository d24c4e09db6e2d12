"""sentence-transformers: `from tellapart.compat.sentence_transformers import MultipleNegativesRankingLoss`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tellapart._engine import full_precision
from tellapart.compat.common import inverse
from tellapart.compat.directions import DIRECTIONS, Ranking
from tellapart.compat.texts import chunk_sizes, duplicates, without_padding
from tellapart.distributed import world
from tellapart.errors import check_choice, requirement
from tellapart.gradient_cache import chunked
from tellapart.objective import info_nce
from tellapart.relations import Relation
from tellapart.scores import Score

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = [
    "CachedMultipleNegativesRankingLoss",
    "MultipleNegativesRankingLoss",
    "SentenceTransformersCachedMNRL",
    "SentenceTransformersMNRL",
]

logger = logging.getLogger(__name__)

_SIMILARITIES = {"cos_sim": "cosine", "pytorch_cos_sim": "cosine", "dot_score": "dot"}
_DUPLICATES = ("negatives", "positives")
_PARTITIONS = ("joint", "per_direction")
_HARDNESS = ("in_batch_negatives", "hard_negatives", "all_negatives")


class SentenceTransformersMNRL(nn.Module):
    """sentence-transformers' `MultipleNegativesRankingLoss`: `L_i = log Σ_j exp S_ij − S_ii`, `S = scale·s`.

    A loss for `SentenceTransformerTrainer`. The first column of texts are the anchors i. The other columns are the
    candidates j of every anchor: first the positives and then, column by column, the hard negatives.

    A text that occurs twice in the batch is a negative of its own anchor, as in the peer. With
    `duplicates="positives"`, a candidate is a positive of an anchor if its text equals that of the anchor's positive,
    or if it is the positive of an equal anchor. Texts are compared by their tokens.

    Args:
        model: maps a column's features to `{"sentence_embedding": (n, d)}`, as a `SentenceTransformer` does.
        scale: 1/τ > 0.
        similarity_fct: the peer's `util.cos_sim` or `util.dot_score`, or the name of one. Of any other function the
            whole matrix is taken.
        gather_across_devices: share the loss among all processes.
        directions: what else is told apart: "query_to_query", "doc_to_query" and "doc_to_doc" beside "query_to_doc".
        partition_mode: "joint", one softmax over all directions, or "per_direction", the mean of one for each.
        hardness_mode: the negatives with logits that `hardness_strength` times their similarity, a constant, raises:
            "in_batch_negatives", "hard_negatives" (an anchor's own) or "all_negatives".
        hardness_strength: at least 0.
        duplicates: "negatives" or "positives".

    Raises:
        ValueError: `scale ≤ 0`, an unknown choice, or choices that exclude each other; in a call, fewer than two
            columns, no tokens where duplicates are positives, or as `info_nce`.

    Sources: Henderson et al. 2017, §4.4, with a scale; several positives: Khosla et al. 2020, eq. 2; directions: Li et
    al. 2023, eq. 3; hardness: Lan et al. 2025, eq. 5.

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
        gather_across_devices: bool = False,
        directions: Sequence[str] = ("query_to_doc",),
        partition_mode: str = "joint",
        hardness_mode: str | None = None,
        hardness_strength: float = 0.0,
        *,
        duplicates: str = "negatives",
    ) -> None:
        super().__init__()
        if isinstance(similarity_fct, str):
            check_choice("similarity_fct", similarity_fct, tuple(_SIMILARITIES))
        check_choice("duplicates", duplicates, _DUPLICATES)
        check_choice("partition_mode", partition_mode, _PARTITIONS)
        if hardness_mode is not None:
            check_choice("hardness_mode", hardness_mode, _HARDNESS)
        self.model, self.scale, self.duplicates = model, scale, duplicates
        self.temperature, self.similarity_fct = inverse("scale", scale), similarity_fct
        self.gather_across_devices, self.directions = gather_across_devices, tuple(directions)
        self.partition_mode = partition_mode
        self.hardness_mode, self.hardness_strength = hardness_mode, hardness_strength
        self._check_together()

    def _check_together(self) -> None:
        """Raise `ValueError` if choices exclude each other."""
        for direction in self.directions:
            check_choice("directions", direction, DIRECTIONS)
        if "query_to_doc" not in self.directions:
            raise ValueError(requirement("directions", "hold 'query_to_doc', that of the positives", self.directions))
        if self.partition_mode == "per_direction" and {"query_to_query", "doc_to_doc"} & set(self.directions):
            must = "be 'joint' where a direction has no positive, 'query_to_query' or 'doc_to_doc'"
            raise ValueError(requirement("partition_mode", must, self.partition_mode))
        if not 0 <= self.hardness_strength < float("inf"):
            raise ValueError(requirement("hardness_strength", "be finite and at least 0", self.hardness_strength))
        if self.hardness_mode is not None and not self.hardness_strength:
            logger.warning("hardness_mode=%r has no effect with hardness_strength=0", self.hardness_mode)
        if self.duplicates == "positives" and not self._is_plain():
            must = "be 'negatives' with other directions, with a hardness or with another similarity"
            raise ValueError(requirement("duplicates", must, self.duplicates))
        if self.gather_across_devices and self._score() is None:
            must = "be False with a custom similarity, which needs the whole matrix"
            raise ValueError(requirement("gather_across_devices", must, True))

    def forward(
        self,
        sentence_features: Iterable[dict[str, Tensor]],
        labels: Tensor | None = None,
    ) -> Float[Tensor, ""]:
        """The mean loss over the anchors; `labels` is not used, but the trainer passes `None`."""
        columns = list(sentence_features)
        if len(columns) < 2:
            raise ValueError(requirement("sentence_features", "hold anchors and positives", f"{len(columns)} column"))
        positives = duplicates(columns) if self.duplicates == "positives" else None
        return self.compute_loss_from_embeddings([self._embed(column) for column in columns], labels, positives)

    def compute_loss_from_embeddings(
        self,
        embeddings: list[Float[Tensor, "n d"]],
        labels: Tensor | None = None,  # noqa: ARG002
        positives: Relation | None = None,
    ) -> Float[Tensor, ""]:
        """The loss of embedded columns; the anchors' first."""
        anchors, *candidates = embeddings
        score, group = self._score(), world() if self.gather_across_devices else None
        if not self._is_plain() or score is None:
            ranking = Ranking(embeddings, self.temperature, score, self.similarity_fct, group)
            return ranking.loss(self.directions, self.partition_mode, self.hardness_mode, self.hardness_strength)
        keys = full_precision(torch.cat)(candidates)
        return info_nce(anchors, keys, positives=positives, temperature=self.temperature, score=score, group=group)

    def get_config_dict(self) -> dict[str, Any]:
        """The options, for the card of the model."""
        similarity = self.similarity_fct
        return {
            "scale": self.scale,
            "similarity_fct": similarity if isinstance(similarity, str) else similarity.__name__,
            "gather_across_devices": self.gather_across_devices,
            "directions": self.directions,
            "partition_mode": self.partition_mode,
            "hardness_mode": self.hardness_mode,
            "hardness_strength": self.hardness_strength,
            "duplicates": self.duplicates,
        }

    def _embed(self, column: dict[str, Tensor]) -> Tensor:
        embedding: Tensor = self.model(column)["sentence_embedding"]
        return embedding

    def _score(self) -> str | Score | None:
        """The score of the similarity's name; `None` for another function."""
        similarity = self.similarity_fct
        return _SIMILARITIES.get(similarity if isinstance(similarity, str) else getattr(similarity, "__name__", ""))

    def _is_plain(self) -> bool:
        is_raised = self.hardness_mode is not None and self.hardness_strength > 0
        return self.directions == ("query_to_doc",) and not is_raised and self._score() is not None


class SentenceTransformersCachedMNRL(SentenceTransformersMNRL):
    """sentence-transformers' `CachedMultipleNegativesRankingLoss`: the same, in mini-batches of texts.

    Only one mini-batch's activations are held at a time. `gradient_cache.chunked` embeds it twice, so that value and
    gradient are those of the whole batch. sentence-transformers' `MatryoshkaLoss` takes it, as it takes the peer.

    Args:
        model: as for `SentenceTransformersMNRL`, like `scale`, `similarity_fct` and the options behind.
        mini_batch_size: texts embedded at a time.
        mini_batch_num_tokens: embed as many texts at a time as have this many tokens together, at least one.
        show_progress_bar: show a bar of the texts that are embedded.

    Raises:
        ValueError: a mini-batch below 1; in a call no `attention_mask` to count tokens by, or as
            `SentenceTransformersMNRL`.

    Source: Gao et al. 2021 (GradCache), §3.

    >>> class Model(torch.nn.Module):
    ...     def forward(self, features):
    ...         return {"sentence_embedding": features["x"]}
    >>> columns = [{"x": torch.eye(3)}, {"x": torch.eye(3)}]
    >>> SentenceTransformersCachedMNRL(Model(), scale=1.0, mini_batch_size=2)(columns)  # log(1 + 2e⁻¹)
    tensor(0.5514)
    """

    uses_gradient_cache = True
    """Tells `MatryoshkaLoss` to put itself before `calculate_loss`; it would embed at one width and the other."""

    def __init__(
        self,
        model: nn.Module,
        scale: float = 20.0,
        similarity_fct: str | Callable[..., Tensor] = "cos_sim",
        mini_batch_size: int = 32,
        mini_batch_num_tokens: int | None = None,
        gather_across_devices: bool = False,
        directions: Sequence[str] = ("query_to_doc",),
        partition_mode: str = "joint",
        show_progress_bar: bool = False,
        hardness_mode: str | None = None,
        hardness_strength: float = 0.0,
        *,
        duplicates: str = "negatives",
    ) -> None:
        super().__init__(
            *(model, scale, similarity_fct, gather_across_devices, directions, partition_mode),
            *(hardness_mode, hardness_strength),
            duplicates=duplicates,
        )
        for name, value in (("mini_batch_size", mini_batch_size), ("mini_batch_num_tokens", mini_batch_num_tokens)):
            if value is not None and value < 1:
                raise ValueError(requirement(name, "be at least 1", value))
        self.mini_batch_size, self.mini_batch_num_tokens = mini_batch_size, mini_batch_num_tokens
        self.show_progress_bar = show_progress_bar
        self._embedding = [_Embedding(model)]  # in a list, lest the model be registered twice

    def compute_loss_from_embeddings(
        self,
        embeddings: list[Float[Tensor, "n d"]],
        labels: Tensor | None = None,  # noqa: ARG002
        positives: Relation | None = None,
    ) -> Float[Tensor, ""]:
        """The loss of embedded columns; the anchors' first."""
        if "calculate_loss" not in vars(self) or not torch.is_grad_enabled():
            return self.calculate_loss([[x] for x in embeddings], positives)
        # What stands before `calculate_loss` wants gradients of what it cuts at once, and cuts once for every width.
        leaves = [x.detach().requires_grad_() for x in embeddings]
        loss = self.calculate_loss([[x] for x in leaves], positives, with_backward=True)
        pairs = [(x, leaf.grad) for x, leaf in zip(embeddings, leaves, strict=True) if leaf.grad is not None]
        known = torch.stack([(x * gradient).sum() for x, gradient in pairs]).sum()
        return loss + (known - known.detach())

    def calculate_loss(
        self, reps: list[list[Tensor]], positives: Relation | None = None, *, with_backward: bool = False
    ) -> Float[Tensor, ""]:
        """The loss of columns in mini-batches; with `with_backward` its gradient is formed and it is a number."""
        columns = [torch.cat(column) if len(column) > 1 else column[0] for column in reps]
        loss = super().compute_loss_from_embeddings(columns, None, positives)
        if with_backward:
            loss.backward()
        return loss.detach() if with_backward else loss

    def get_config_dict(self) -> dict[str, Any]:
        """The options, for the card of the model."""
        sizes = {"mini_batch_size": self.mini_batch_size, "mini_batch_num_tokens": self.mini_batch_num_tokens}
        return super().get_config_dict() | sizes

    def _embed(self, column: dict[str, Tensor]) -> Tensor:
        embedding = self._embedding[0]
        embedding.model = self.model  # the trainer may have wrapped it
        budget = self.mini_batch_num_tokens
        chunk = self.mini_batch_size if budget is None else chunk_sizes(column, budget)
        if not self.show_progress_bar:
            return chunked(embedding, column, chunk=chunk)
        from tqdm.auto import tqdm  # which sentence-transformers brings

        with tqdm(desc="Embed mini-batches", unit=" texts") as bar:
            counter = embedding.register_forward_hook(lambda *seen: bar.update(len(seen[-1])))
            result = chunked(embedding, column, chunk=chunk)
            counter.remove()
        return result


MultipleNegativesRankingLoss = SentenceTransformersMNRL
CachedMultipleNegativesRankingLoss = SentenceTransformersCachedMNRL


class _Embedding(nn.Module):
    """A model as a function of a column that returns the embeddings."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: dict[str, Any]) -> Tensor:
        # A copy, for models write into their features what must not outlive a mini-batch.
        embedding: Tensor = self.model(without_padding(features))["sentence_embedding"]
        return embedding
