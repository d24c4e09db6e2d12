"""Training through Lightning, in a run folder from which an interrupted run continues bit for bit.

`tellapart.training.fit` is imported by itself where it is used, since Lightning takes seconds to import.
"""

from tellapart.training.batches import Batches
from tellapart.training.options import Interrupted, TrainerOptions, check_training, name_from_root
from tellapart.training.stopwatch import spent, timed

__all__ = ["Batches", "Interrupted", "TrainerOptions", "check_training", "name_from_root", "spent", "timed"]
