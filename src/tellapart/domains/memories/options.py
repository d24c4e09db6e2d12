"""The options of data, encoders and training. The docstrings are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from tellapart.domains.folders import Labels
from tellapart.errors import InputError, require_option
from tellapart.training import TrainingOptions

if TYPE_CHECKING:
    from tellapart.runs import Run


@dataclass(frozen=True)
class MemoryOptions(TrainingOptions):
    """Data, encoders and training."""

    data: str
    """An .npz with arrays queries and keys, which belong together row by row; or pictures: their left halves ask."""
    held_out: float = 0.2
    """Share of the pairs that training never sees; of pictures with a test set of their own, that set."""
    labels: Labels = "auto"
    """What subfolders of pictures are: "auto" takes train, test, val and the like as splits; others, for no splits."""
    picture_size: int = 0
    """Side of the square to which pictures are brought, in pixels; 0 for as they come."""
    epochs: int = 20
    """How often every training pair is seen."""
    batch_size: int = 512
    """Pairs in a batch at most, on each device."""
    learning_rate: float = 2e-3
    """Step size of AdamW at its peak."""
    weight_decay: float = 1e-2
    """Pull of the weights towards zero."""
    encoder: Literal["linear", "mlp", "conv"] = "mlp"
    """A linear map; two hidden layers; or a small convolution, for pictures."""
    width: int = 512
    """Units of a hidden layer."""
    channels: int = 16
    """Channels of the convolution's first layer."""
    dim: int = 128
    """Length of queries and keys."""
    dropout: float = 0.1
    """Share of the hidden units that are left out at each step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, most in (("width", 2**16), ("channels", 2**12), ("dim", 2**14)):
            value = getattr(self, name)
            require_option(name, 1 <= value <= most, f"lie between 1 and {most}", value)
        size = self.picture_size
        require_option("picture_size", size == 0 or 8 <= size <= 1024, "be 0 or lie between 8 and 1024", size)
        require_option("dropout", 0 <= self.dropout < 1, "lie in [0, 1)", self.dropout)


class Side(NamedTuple):
    """One side of the pairs: the shape of an item, and the mean and deviation of its numbers in training."""

    shape: tuple[int, ...]
    mean: float
    deviation: float


class Sides(NamedTuple):
    """Both sides, kept with a run so that it can be used without its data."""

    queries: Side
    keys: Side

    def note(self, run: Run) -> None:
        """Keep them with a run."""
        run.note(
            **{name: [*map(str, side.shape), repr(side.mean), repr(side.deviation)] for name, side in self._items()}
        )

    @classmethod
    def noted(cls, run: Run) -> Sides:
        """What was kept.

        Raises:
            InputError: nothing, or something damaged.
        """
        try:
            return cls(*(_side(run.noted_names(name)) for name in cls._fields))
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{run.folder}: damaged, it holds no shapes of its data. Train again.") from error

    def _items(self) -> list[tuple[str, Side]]:
        return list(zip(self._fields, self, strict=True))


def _side(noted: list[str]) -> Side:
    *shape, mean, deviation = noted
    return Side(tuple(map(int, shape)), float(mean), float(deviation))
