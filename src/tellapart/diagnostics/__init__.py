"""Instruments that show what the loss is doing.

Those that take `Terms` cost almost nothing. The others take embeddings, and stream where they need all scores.
"""

from tellapart.diagnostics.attention import Attention, Head, attention
from tellapart.diagnostics.conflict import GradientProducts, gradient_cosine, gradient_products, inner_products
from tellapart.diagnostics.density import density_ratio
from tellapart.diagnostics.energy import Energies, energies, log_partition
from tellapart.diagnostics.forces import Forces, forces, shares
from tellapart.diagnostics.geometry import TurnAndStretch, alignment, effective_rank, turn_and_stretch, uniformity
from tellapart.diagnostics.hardness import effective_candidates, effective_negatives, hardest_share
from tellapart.diagnostics.information import alpha_bound, mi_bound, mi_ceiling, nwj, smile
from tellapart.diagnostics.leakage import Leakage, batch_leakage
from tellapart.diagnostics.margin import effective_margin, hinge, hinge_error, planned_margin
from tellapart.diagnostics.suspects import FalseNegatives, false_negatives, suspected
from tellapart.diagnostics.targets import TARGETS, token_targets
from tellapart.diagnostics.warnings import TrainingWarning, training_warnings

__all__ = [
    "TARGETS",
    "Attention",
    "Energies",
    "FalseNegatives",
    "Forces",
    "GradientProducts",
    "Head",
    "Leakage",
    "TrainingWarning",
    "TurnAndStretch",
    "alignment",
    "alpha_bound",
    "attention",
    "batch_leakage",
    "density_ratio",
    "effective_candidates",
    "effective_margin",
    "effective_negatives",
    "effective_rank",
    "energies",
    "false_negatives",
    "forces",
    "gradient_cosine",
    "gradient_products",
    "hardest_share",
    "hinge",
    "hinge_error",
    "inner_products",
    "log_partition",
    "mi_bound",
    "mi_ceiling",
    "nwj",
    "planned_margin",
    "shares",
    "smile",
    "suspected",
    "token_targets",
    "training_warnings",
    "turn_and_stretch",
    "uniformity",
]
