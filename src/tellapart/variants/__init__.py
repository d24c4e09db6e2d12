"""The objective's family: other positives, other candidates, scores at hand, and the binary relatives.

Each is a few lines over the log-partition. What is an option of `info_nce` is not repeated here: several
positives ("out", "in"), symmetric, soft targets (`positives=dense(weights)`, `gaussian(…)`), additive margin
(`margin`), bias per key (`key_bias`), temperature per query or learned.
"""

from tellapart.variants.at_hand import of_scores, plackett_luce
from tellapart.variants.binary import nce, sgns, sigmoid
from tellapart.variants.decoupled import dcl, dclw, info_loob
from tellapart.variants.negatives import debiased, hard_negatives, log_q
from tellapart.variants.noise import robust
from tellapart.variants.positives import label_smoothing, mil_nce, ranking, sup_con
from tellapart.variants.prefixes import matryoshka

__all__ = [
    "dcl",
    "dclw",
    "debiased",
    "hard_negatives",
    "info_loob",
    "label_smoothing",
    "log_q",
    "matryoshka",
    "mil_nce",
    "nce",
    "of_scores",
    "plackett_luce",
    "ranking",
    "robust",
    "sgns",
    "sigmoid",
    "sup_con",
]
