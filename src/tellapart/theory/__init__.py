"""Problems whose right answer is known, and the claims about the loss measured on them.

`gaussians` and `tables` know their densities and information, `critic` learns them from pairs, `optimum` says how
far the best critic gets, and `curves` measures each claim that says how one thing depends on another.
"""

from tellapart.theory.critic import Critic, Problem
from tellapart.theory.curve import Curve, Line
from tellapart.theory.gaussians import ExactCritic, Gaussians
from tellapart.theory.optimum import optimum_at_least
from tellapart.theory.tables import Table, random_table

__all__ = [
    "Critic",
    "Curve",
    "ExactCritic",
    "Gaussians",
    "Line",
    "Problem",
    "Table",
    "optimum_at_least",
    "random_table",
]
