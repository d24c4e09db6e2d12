"""A step on preferences, and the panel that shows what becomes of the model's answers.

| entry | what it is | of |
|---|---|---|
| `loss`, `n_candidates` | L in nats, and the answers to a prompt | every step |
| `accuracy` | how often the chosen answer has the highest reward | every step |
| `reward_margin` | by how much its reward exceeds the mean of the others', in nats | every step |
| `chosen_change`, `rejected_change` | of log π(y given x) against the reference, in nats an answer | every step |
| `loss_likelihood` | −log π of a token of the chosen answers, if it is trained on | every step |
| `kl` | KL(π‖π_ref) in nats an answer, estimated from answers to held-out prompts | the first, each 50th, the last |
| `answer_length`, `length_ratio` | tokens of these answers, and their ratio to the reference's | likewise |
| `gradient_norm` | the length of the whole gradient | likewise |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING

import torch

from tellapart.domains.preferences.answered import Answered
from tellapart.domains.preferences.policy import Policy
from tellapart.domains.preferences.preferences import Preferences
from tellapart.training import HeldOut, Loop, TrainingOptions, timed, usual_optimizer

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from tellapart.domains.preferences.batch import Batch
    from tellapart.domains.preferences.tokens import Answers


@dataclass(frozen=True)
class Compared:
    """A batch of prompts with n × k answers, the chosen one of each first, as tables; 0 where there is no answer."""

    log_p: Float[Tensor, "n k"]
    """Log-probabilities of the answers, in nats."""
    reference: Float[Tensor, "n k"]
    """Those under the reference."""
    lengths: Float[Tensor, "n k"]
    """Tokens of the answers; 1 where there is none."""
    candidates: Bool[Tensor, "n k"]
    scores: Float[Tensor, "n k"] | None

    @classmethod
    def of(cls, batch: Batch, log_p: Float[Tensor, " r"]) -> Compared:
        """A batch with its reference, and the log-probabilities of its answers."""
        assert batch.reference is not None
        reference = batch.table(batch.reference.to(log_p))
        lengths = batch.table(batch.lengths().to(log_p)).masked_fill(~batch.candidates, 1)
        scores = None if batch.scores is None else batch.table(batch.scores.to(log_p))
        return cls(batch.table(log_p), reference, lengths, batch.candidates, scores)

    def likelihood_loss(self) -> Float[Tensor, ""]:
        """`−log π` of a token of the chosen answers, the mean over prompts."""
        return -(self.log_p[:, 0] / self.lengths[:, 0]).mean()


@dataclass(frozen=True)
class PreferenceStep:
    """AdamW on a loss of rewards, and the panel in the log.

    Args:
        model: the policy.
        rewards: called as `rewards(compared)`, the rewards r of a batch as a table, in nats.
        loss: called as `loss(rewards, compared)`, a scalar.
        options: learning rate and weight decay of AdamW, and the seed of what the panel draws.
        likelihood: weight of the likelihood of chosen answers, added to the loss.
        watched: prompts that are answered for the panel; none for no such readings.
    """

    model: Policy
    rewards: Callable[[Compared], Tensor]
    loss: Callable[[Tensor, Compared], Tensor]
    options: TrainingOptions
    likelihood: float = 0.0
    watched: Preferences = field(default_factory=lambda: Preferences([]))

    def optimizers(self, n_steps: int) -> Sequence[tuple[Optimizer, LRScheduler | None]]:
        """AdamW over what is trained, with warm-up and half a cosine."""
        return [usual_optimizer(self.model, self.options, n_steps)]

    def __call__(self, batch: Batch, loop: Loop) -> Mapping[str, Tensor | float]:
        """Minimise the loss; loss and readings are logged."""
        compared = Compared.of(batch, self.model(batch))
        rewards = self.rewards(compared)
        loss = self.loss(rewards, compared)
        found: dict[str, Tensor | float] = {"loss": loss.detach(), **readings(rewards.detach(), compared)}
        if self.likelihood:
            likelihood = compared.likelihood_loss()
            found["loss_likelihood"] = likelihood.detach()
            loss = loss + self.likelihood * likelihood
        loop.minimise(loss)
        if loop.is_due and len(self.watched):
            with timed("panel"), loop.unmixed():
                found |= self._answers()
        return found

    def held_out(self, answers: Answers, reference: Float[Tensor, " total"]) -> HeldOut:
        """Held-out prompts to measure the loss on, without that of likelihood.

        Args:
            answers: to these prompts.
            reference: the answers' log-probabilities under the reference.
        """
        return HeldOut(len(answers), partial(answers.rows, reference=reference), self._measure)

    def _measure(self, batch: Batch) -> Mapping[str, Tensor]:
        compared = Compared.of(batch, self.model(batch))
        rewards = self.rewards(compared)
        told = readings(rewards, compared)
        return {"loss": self.loss(rewards, compared), **{name: told[name] for name in ("accuracy", "n_candidates")}}

    def _answers(self) -> dict[str, float]:
        """KL and length of the answers to watched prompts."""
        reference, usual = self._reference
        drawn = Answered.by(self.model, self.watched, self.options.seed)
        kl = drawn.divergence(self.model, reference.to(next(self.model.parameters()).device))
        return {"kl": kl, "answer_length": drawn.length(), "length_ratio": drawn.length() / usual}

    @cached_property
    def _reference(self) -> tuple[Policy, float]:
        """The reference, and the length of its answers."""
        device = next(self.model.parameters()).device
        reference = Policy(self.model.folder, self.model.tokens.longest).requires_grad_(False).to(device)
        return reference, Answered.by(reference, self.watched, self.options.seed).length()


@torch.no_grad()
def readings(rewards: Float[Tensor, "n k"], compared: Compared) -> dict[str, Tensor]:
    """What rewards and log-probabilities tell of a step."""
    others, change = compared.candidates[:, 1:], (compared.log_p - compared.reference).detach()
    best = rewards[:, 1:].masked_fill(~others, -torch.inf).max(dim=1).values
    n_others = others.sum(dim=1)
    mean_of_others = rewards[:, 1:].masked_fill(~others, 0).sum(dim=1) / n_others
    return {
        "n_candidates": 1 + n_others.double().mean(),
        "accuracy": (rewards[:, 0] > best).double().mean(),
        "reward_margin": (rewards[:, 0] - mean_of_others).mean(),
        "chosen_change": change[:, 0].mean(),
        "rejected_change": change[:, 1:][others].mean(),
    }
