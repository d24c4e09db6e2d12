"""What a step of the training sees: the answers to some prompts, padded to a rectangle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.utils.rnn import pad_sequence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, Int
    from torch import Tensor


@dataclass(eq=False)
class Batch:
    """Answers one below the other, those to one prompt together, the chosen one first."""

    tokens: Int[Tensor, "r length"]
    """Prompt and answer; 0 behind their end."""
    real: Bool[Tensor, "r length"]
    """Where there are tokens."""
    is_answer: Bool[Tensor, "r length"]
    """Where there are tokens of the answer."""
    candidates: Bool[Tensor, "n k"]
    """Which places of the table of n prompts and k answers hold an answer."""
    reference: Float[Tensor, " r"] | None = None
    """Log-probabilities under the reference."""
    scores: Float[Tensor, " r"] | None = None

    @classmethod
    def of(cls, sequences: Sequence[Tensor], begins: Int[Tensor, " r"], counts: Int[Tensor, " n"]) -> Batch:
        """Sequences of tokens, and where their answers begin."""
        tokens = pad_sequence(list(sequences), batch_first=True)
        place = torch.arange(tokens.shape[1])
        real = place < torch.tensor([len(sequence) for sequence in sequences])[:, None]
        return cls(tokens, real, real & (place >= begins[:, None]), torch.arange(int(counts.max())) < counts[:, None])

    def table(self, values: Float[Tensor, " r"]) -> Float[Tensor, "n k"]:
        """One value per answer as a table, a row per prompt; 0 where there is no answer.

        >>> batch = Batch.of([torch.arange(3)] * 3, torch.tensor([1, 1, 1]), torch.tensor([1, 2]))
        >>> batch.table(torch.tensor([1.0, 2.0, 3.0])).tolist()
        [[1.0, 0.0], [2.0, 3.0]]
        """
        return values.new_zeros(self.candidates.shape).masked_scatter(self.candidates, values)

    def lengths(self) -> Int[Tensor, " r"]:
        """Tokens of each answer."""
        return self.is_answer.sum(dim=1)

    def to(self, device: torch.device) -> Batch:
        """The same on `device`."""
        moved = (self.tokens, self.real, self.is_answer, self.candidates, self.reference, self.scores)
        return Batch(*(None if part is None else part.to(device) for part in moved))  # type: ignore[arg-type]
