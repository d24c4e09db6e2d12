"""Figures of a trained policy beside its reference, on prompts that training never saw; rewards of answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from tellapart.domains.preferences.answered import Answered
from tellapart.domains.preferences.step import Compared, readings
from tellapart.domains.preferences.tokens import Answers
from tellapart.evaluation import Table

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from tellapart.domains.preferences.dataset import Dataset
    from tellapart.domains.preferences.policy import Policy
    from tellapart.domains.preferences.preferences import Preferences

Rewards = Callable[[Compared], "Tensor"]
_HEADER = ["", "chosen first", "pairs", "margin", "Δ chosen", "Δ rejected", "KL", "tokens"]
_FORMATS = ["", ".3f", ".3f", ".2f", ".2f", ".2f", ".2f", ".1f"]
_DRAWN = 256  # prompts that are answered, at most
_SHOWN = 3


def measure(data: Dataset, policy: Policy, reference: Policy, rewards: Rewards, seed: int) -> Table:
    """Guessing, the reference's own log-probabilities, the rewards after training, and what both models answer.

    Args:
        data: its held-out prompts are measured.
        policy: after training.
        reference: before it.
        rewards: of a batch, as in training.
        seed: decides which answers are drawn.
    """
    answers = Answers.of(data.held_out, policy.tokens)
    compared = _compared(answers, policy, reference)
    asked = data.held_out.at(torch.arange(min(_DRAWN, len(data.held_out))))
    before, after = (Answered.by(model, asked, seed) for model in (reference, policy))
    guess = float((1 / compared.candidates.sum(dim=1)).mean())
    own, change = compared.reference, readings(rewards(compared), compared)
    rows: list[list[str | float]] = [
        ["guessing", guess, 0.5, *[""] * 5],
        ["reference", float(readings(own, compared)["accuracy"]), _pairs(own, compared), "", 0.0, 0.0, 0.0],
        ["trained", float(change["accuracy"]), _pairs(rewards(compared), compared)],
    ]
    rows[1].append(before.length())
    rows[2] += [float(change[name]) for name in ("reward_margin", "chosen_change", "rejected_change")]
    rows[2] += [after.divergence(policy, reference), after.length()]
    others = f"{len(data.held_out)} held-out prompts, after training on {len(data.training)} others"
    title = others if data.source is None else f"{len(data.held_out)} prompts of {data.source}"
    return Table(title, _HEADER, rows, _FORMATS, [*_notes(data, answers, asked), *_examples(policy, before, after)])


def score(preferences: Preferences, policy: Policy, reference: Policy, rewards: Rewards, beta: float) -> Table:
    """The reward of every answer, β·r in nats, beside its log-probability before and after training."""
    answers = Answers.of(preferences, policy.tokens)
    compared = _compared(answers, policy, reference)
    columns = [
        table[compared.candidates].tolist()
        for table in (beta * rewards(compared), compared.log_p, compared.reference, compared.lengths)
    ]
    kinds = [kind for n in answers.counts.tolist() for kind in ("chosen", *["rejected"] * (n - 1))]
    places = [row.place for row in preferences.rows for _ in row.answers]
    rows: list[list[str | float]] = [list(row) for row in zip(places, kinds, *columns, strict=True)]
    header = ["answer", "", "reward", "log π", "log π_ref", "tokens"]
    notes = [_left_out(preferences.left_out)] if preferences.left_out else []
    return Table("Rewards, in nats", header, rows, ["", "", ".3f", ".3f", ".3f", ".0f"], notes)


def _compared(answers: Answers, policy: Policy, reference: Policy) -> Compared:
    before = reference.log_probs(answers)
    return Compared.of(answers.rows(torch.arange(len(answers)), before), policy.log_probs(answers))


def _pairs(rewards: Float[Tensor, "n k"], compared: Compared) -> float:
    """The share of all pairs of a chosen and a rejected answer that the rewards put in order."""
    others = compared.candidates[:, 1:]
    return float((rewards[:, :1] > rewards[:, 1:])[others].double().mean())


def _notes(data: Dataset, answers: Answers, asked: Preferences) -> list[str]:
    notes = [
        "chosen first: the chosen answer has the highest reward. pairs: of a chosen and a rejected answer, in order. "
        "The reference's rewards are zero, so log π stands in for them. "
        "margin: of rewards r, in nats. Δ: change of log π of an answer, in nats.",
        f"KL, in nats an answer, and tokens: of answers drawn for {len(asked)} of the prompts.",
    ]
    if data.left_out:
        notes.append(_left_out(data.left_out))
    if answers.n_cut:
        notes.append(f"{answers.n_cut} of {len(answers.tokens)} answers are cut off at --longest tokens.")
    return notes


def _left_out(n: int) -> str:
    return f"{n} rows of the data are left out: no rejected answer differs from the chosen one."


def _examples(policy: Policy, before: Answered, after: Answered) -> list[str]:
    """What both models answer to the first prompts."""
    told = []
    for prompt, *both in list(zip(before.prompts, before.answers, after.answers, strict=True))[:_SHOWN]:
        asked, old, new = (" ".join(policy.tokens.text(tokens).split()) for tokens in (prompt, *both))
        told.append(f"“{asked}” → reference: “{old}” → trained: “{new}”")
    return told
