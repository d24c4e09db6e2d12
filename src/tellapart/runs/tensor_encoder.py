"""An encoder as a function of tensors alone, which programs can run that know nothing of this package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor, nn

from tellapart.scores import unit

if TYPE_CHECKING:
    from jaxtyping import Float


class Pooled(NamedTuple):
    """A model of `transformers` that embeds a text by the mean over its tokens, perhaps with a linear layer."""

    model: Any
    tokenizer: Any
    longest: int
    """Tokens of a text that are read, at most."""
    head: nn.Linear | None


@dataclass(frozen=True, eq=False)
class TensorEncoder:
    """What `export` traces: the encoder, what it takes, and how items become that."""

    module: nn.Module
    """Tensors, of which the first axis counts the items, to unit embeddings `Float[Tensor, "n d"]`."""
    inputs: dict[str, str]
    """The names of the tensors, each with what it is."""
    read: Callable[[Any], tuple[Tensor, ...]]
    """Items, as `embed` takes them, as these tensors."""
    example: Any
    """Two items or more, with which the module is traced."""
    lengths: tuple[int, int] | None = None
    """Where the second axis is as long as the longest item, from what to what; `None` where it is always the same."""
    pooled: Pooled | None = None
    """The same encoder in the words of `transformers`, if it is one of its models."""


class Unit(nn.Module):
    """An encoder's embeddings in float32, at length 1."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, *tensors: Tensor) -> Float[Tensor, "n d"]:
        return unit(self.encoder(*tensors).float())
