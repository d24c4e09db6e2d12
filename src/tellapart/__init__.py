"""tellapart: learning by comparison with the InfoNCE loss.

Importing it loads the loss and nothing heavier than torch. The command-line tool, the systems and the
report live in subpackages that are imported when they are used.
"""

from tellapart import variants
from tellapart._engine import Terms
from tellapart.distributed import check_distributed
from tellapart.errors import InputError, options
from tellapart.objective import InfoNCE, info_nce, info_nce_terms, nt_xent
from tellapart.relations import Relation, dense, edges, everyone, gaussian, listed, other_views, paired, same, within
from tellapart.scores import Bilinear
from tellapart.temperature import LearnedTemperature

__version__ = "0.1.0"

__all__ = [
    "Bilinear",
    "InfoNCE",
    "InputError",
    "LearnedTemperature",
    "Relation",
    "Terms",
    "__version__",
    "check_distributed",
    "dense",
    "edges",
    "everyone",
    "gaussian",
    "info_nce",
    "info_nce_terms",
    "listed",
    "nt_xent",
    "options",
    "other_views",
    "paired",
    "same",
    "variants",
    "within",
]
