"""DPO: a language model learns from a prompt's chosen answer against its rejected ones.

A prompt x is the query. Its counterpart, the chosen answer y⁺, is to be picked out of a line-up with the rejected
answers; an answer's score is how much likelier the model π has come to find it than its reference π_ref does:

    L = −log ( e^{β r(y⁺)} / Σ_y e^{β r(y)} ),    r(y) = log π(y|x) − log π_ref(y|x)

with the sum over the chosen answer and all rejected ones: InfoNCE at the temperature 1/β. With one rejected answer it
is DPO, with several the softmax of S-DPO. Its optimum is π ∝ π_ref e^{reward/β}. The log-probability of a token is
InfoNCE, too, with the vectors of all tokens as keys. What is kept is π.

`target` "ranking" takes the rejected answers as ordered, from better to worse (Plackett–Luce), and "scores" takes the
softmax of the data's scores as soft targets. `smoothing` is conservative DPO. `against_reference` false, `per_token`
true and a `margin` are SimPO. `likelihood` adds the loss −log π(y⁺|x) per token. A model that `model` does not name is
new and small: it first learns to write.

Departs from the papers (Rafailov et al. 2023, https://arxiv.org/abs/2305.18290, eq. 7 and appendix A.3; Chen et al.
2024, S-DPO, https://arxiv.org/abs/2406.09215; Meng et al. 2024, SimPO, https://arxiv.org/abs/2405.14734, eq. 6):
 1. Prompts may have different numbers of answers. `smoothing` spreads its share over all rejected ones.
 2. Log-probabilities under the reference are computed once, before the first step, and kept with the run.
 3. The model has no dropout while it is trained.
 4. AdamW with a warm-up and half a cosine; even batches of prompts with answers of similar length.
 5. Some held-out prompts are answered now and then: the log has KL(π‖π_ref) and length, and warns of collapse.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch

from tellapart.domains.preferences import (
    Answers,
    Commands,
    Compared,
    Dataset,
    PreferenceOptions,
    PreferenceStep,
    pretrain,
    reference_log_probs,
)
from tellapart.errors import require_option
from tellapart.runs import Run
from tellapart.systems.contract import System
from tellapart.training import Batches, TrainerOptions, begin, fit
from tellapart.variants import of_scores, plackett_luce

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

_MEASURED = 512  # prompts, of those held out, to measure the loss on while training


@dataclass(frozen=True)
class Config(PreferenceOptions):
    """Train a language model on preferences."""

    beta: float = 0.1
    """β = 1/τ: the lower, the further the model moves from its reference for the same preferences."""
    target: Literal["chosen", "ranking", "scores"] = "chosen"
    """To find the chosen answer; or the whole order, rejected answers from better to worse; or the data's scores."""
    score_temperature: float = 1.0
    """With --target scores: by what the scores are divided before their softmax is the target."""
    smoothing: float = 0.0
    """Share of the target that rejected answers get, because so many preferences may be wrong."""
    against_reference: bool = True
    """Whether an answer's reward is its log-probability less the reference's, or the log-probability alone."""
    per_token: bool = False
    """Whether rewards are divided by the answer's number of tokens."""
    margin: float = 0.0
    """By how much β times the chosen answer's reward has to exceed the others', in nats."""
    likelihood: float = 0.0
    """Weight of the chosen answers' −log π per token, beside the loss."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_option("beta", 0 < self.beta < float("inf"), "be positive", self.beta)
        is_positive = 0 < self.score_temperature < float("inf")
        require_option("score_temperature", is_positive, "be positive", self.score_temperature)
        require_option("smoothing", 0 <= self.smoothing < 0.5, "lie in [0, 0.5)", self.smoothing)
        require_option("margin", 0 <= self.margin < float("inf"), "be at least 0", self.margin)
        require_option("likelihood", 0 <= self.likelihood < float("inf"), "be at least 0", self.likelihood)
        for name in ("smoothing", "margin") if self.target != "chosen" else ():
            must = f"be 0 with --target {self.target}"
            require_option(name, getattr(self, name) == 0, must, getattr(self, name))


def rewards(config: Config, compared: Compared) -> Float[Tensor, "n k"]:
    """The rewards r of a batch's answers."""
    found = compared.log_p - compared.reference if config.against_reference else compared.log_p
    return found / compared.lengths if config.per_token else found


def targets(config: Config, compared: Compared) -> Float[Tensor, "n k"] | None:
    """Soft targets of a batch's answers, or none."""
    if config.target == "scores":
        assert compared.scores is not None
        weights = compared.scores / config.score_temperature
        return weights.masked_fill(~compared.candidates, -torch.inf).softmax(dim=1)
    if not config.smoothing:
        return None
    shared = compared.candidates.to(compared.log_p)
    shared[:, 1:] *= config.smoothing / shared[:, 1:].sum(dim=1, keepdim=True)
    shared[:, 0] = 1 - config.smoothing
    return shared


def compare(config: Config, scores: Float[Tensor, "n k"], compared: Compared) -> Float[Tensor, ""]:
    """The objective: InfoNCE of rewards, the chosen answer first."""
    if config.target == "ranking":
        return plackett_luce(scores, candidates=compared.candidates, temperature=1 / config.beta)
    return of_scores(
        scores,
        targets=targets(config, compared),
        candidates=compared.candidates,
        temperature=1 / config.beta,
        margin=config.margin / config.beta,
    )


def train(config: Config, run: Run, trainer: TrainerOptions) -> None:
    """Train into a run folder, from its checkpoint if it has one; then evaluate."""
    begin(run, "dpo", config, trainer)
    data = Dataset.load(config, run)
    if config.target == "scores":
        data.check_scores()
    pretrain(config, run, trainer, data)
    policy = commands.make_model(config, run)
    if not run.is_trained():
        answers = Answers.of(data.training, policy.tokens)
        Answers.of(data.held_out, policy.tokens)  # what is wrong with them is said before training
        measured = Answers.of(data.first_held_out(_MEASURED), policy.tokens)
        reference, of_measured = reference_log_probs(policy, answers, run), policy.log_probs(measured)
        batches = Batches(len(answers), config.batch_size, config.epochs, config.seed, answers.lengths())
        objective = partial(rewards, config), partial(compare, config)
        step = PreferenceStep(policy, *objective, config, config.likelihood, data.first_held_out(config.watched))
        collate = partial(answers.rows, reference=reference)
        fit(step, batches, collate, run, trainer, step.held_out(measured, of_measured))
    commands.finish(config, run, data)


commands = Commands(rewards)
system = System(
    Config,
    train,
    commands.make_model,
    own_data="prompts with chosen and rejected answers, a .jsonl or a .parquet",
    evaluate=commands.evaluate,
    sample=commands.sample,
    score=commands.score,
    own_formats={"transformers": commands.export},
    prompted=True,
)
