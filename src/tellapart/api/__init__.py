"""Training and using systems from Python: `tellapart.train` and `tellapart.load`.

    run = tellapart.train("simclr", data="pictures", run="runs/mine", epochs=30)
    run = tellapart.load("runs/mine")
    run.embed("more pictures").vectors, run.search("cat.png"), run.results, run.log, run.report()

The command line is a thin layer over this module.
"""

from tellapart.api.trained import Trained, load
from tellapart.api.training import plan, train

__all__ = [
    "Trained",
    "load",
    "plan",
    "train",
]
