"""What a policy answers, beside what its reference answers: KL, lengths, and the texts."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

import torch

from tellapart.domains.preferences.tokens import Answers

if TYPE_CHECKING:
    from tellapart.domains.preferences.policy import Policy
    from tellapart.domains.preferences.preferences import Preferences


@dataclass(frozen=True, eq=False)
class Answered:
    """One answer to each prompt, drawn from a policy."""

    prompts: list[list[int]]
    answers: list[list[int]]

    @classmethod
    def by(cls, policy: Policy, preferences: Preferences, seed: int) -> Answered:
        """Answers to the prompts of preferences; the seed decides which."""
        prompts = [policy.tokens.prompt(row.prompt, row.place)[: policy.tokens.longest - 1] for row in preferences.rows]
        return cls(prompts, policy.draw(prompts, seed))

    def length(self) -> float:
        """The mean number of tokens of an answer, with its EOS."""
        return mean(map(len, self.answers))

    def divergence(self, policy: Policy, reference: Policy) -> float:
        """An estimate of `KL(π‖π_ref)` in nats an answer: the mean of `log π(y|x) − log π_ref(y|x)`.

        It is unbiased where the answers are drawn from `policy`.
        """
        sequences = [torch.tensor([*p, *a]) for p, a in zip(self.prompts, self.answers, strict=True)]
        begins = torch.tensor([len(prompt) for prompt in self.prompts])
        drawn = Answers(sequences, begins, torch.ones_like(begins), [""] * len(begins), None, 0)
        return float((policy.log_probs(drawn) - reference.log_probs(drawn)).mean())
