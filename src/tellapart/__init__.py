"""tellapart: learning by comparison with the InfoNCE loss.

Importing it loads the loss and nothing heavier than torch. Systems, report and command line live in
subpackages that are imported when they are used: `train` and `load`, of `tellapart.api`, import what they need.
"""

from typing import TYPE_CHECKING

from tellapart import variants
from tellapart._engine import Terms
from tellapart.distributed import check_distributed
from tellapart.errors import InputError, options
from tellapart.objective import InfoNCE, info_nce, info_nce_terms, nt_xent
from tellapart.relations import (
    Relation,
    before,
    dense,
    edges,
    everyone,
    gaussian,
    listed,
    other_views,
    paired,
    same,
    within,
)
from tellapart.scores import Bilinear
from tellapart.temperature import LearnedTemperature
from tellapart.version import __version__

if TYPE_CHECKING:
    from tellapart.api import load, train

__all__ = [
    "Bilinear",
    "InfoNCE",
    "InputError",
    "LearnedTemperature",
    "Relation",
    "Terms",
    "__version__",
    "before",
    "check_distributed",
    "dense",
    "edges",
    "everyone",
    "gaussian",
    "info_nce",
    "info_nce_terms",
    "listed",
    "load",
    "nt_xent",
    "options",
    "other_views",
    "paired",
    "same",
    "train",
    "variants",
    "within",
]


def __getattr__(name: str) -> object:
    if name in ("load", "train"):
        from tellapart import api  # here, because it needs more than the loss does

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
