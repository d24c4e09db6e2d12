"""Problems with a known answer, and the claims about the loss, measured on them.

`gaussians` and `tables` have known densities and information. `critic` learns them from pairs, and `optimum` bounds
what the best critic reaches. `retrieval` reads from a memory. `curves` measures each claim of how one quantity depends
on another.
"""

from tellapart.theory.critic import Critic, Problem
from tellapart.theory.curve import Curve, Line
from tellapart.theory.gaussians import ExactCritic, Gaussians
from tellapart.theory.optimum import optimum_at_least
from tellapart.theory.retrieval import read, read_error_bound
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
    "read",
    "read_error_bound",
]
