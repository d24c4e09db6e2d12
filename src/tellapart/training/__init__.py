"""Training in a run folder, from which an interrupted run continues bit for bit: options, batches, steps and the loop.

The loop itself, which needs Lightning, is imported by `fit` when it is called.
"""

from tellapart.training.batches import Batches
from tellapart.training.combine import RULES, Rule, coefficients, combine
from tellapart.training.fit import begin, fit
from tellapart.training.held_out import OBJECTIVE, HeldOut, best_of, measured, told
from tellapart.training.optimizer import usual_optimizer
from tellapart.training.options import (
    Interrupted,
    TrainerOptions,
    TrainingOptions,
    as_plain_options,
    flat_options,
    name_from_root,
)
from tellapart.training.saved import STATE, STEPS_DONE
from tellapart.training.schedule import carry_out, count_steps
from tellapart.training.seeds import seed_step
from tellapart.training.starting import load_start
from tellapart.training.step import AuxiliaryLoss, Loop, Step, TermsStep
from tellapart.training.stopwatch import spent, timed
from tellapart.training.two_losses import TwoLossStep

__all__ = [
    "OBJECTIVE",
    "RULES",
    "STATE",
    "STEPS_DONE",
    "AuxiliaryLoss",
    "Batches",
    "HeldOut",
    "Interrupted",
    "Loop",
    "Rule",
    "Step",
    "TermsStep",
    "TrainerOptions",
    "TrainingOptions",
    "TwoLossStep",
    "as_plain_options",
    "begin",
    "best_of",
    "carry_out",
    "coefficients",
    "combine",
    "count_steps",
    "fit",
    "flat_options",
    "load_start",
    "measured",
    "name_from_root",
    "seed_step",
    "spent",
    "timed",
    "told",
    "usual_optimizer",
]
