"""Plans of systems by their names."""

from tellapart import planning
from tellapart.systems import load


def planned(system, batch, queue=0):
    return load(system).plan(batch, queue)


def plan(system, batch, queue, *measured, **more):
    """The plan of a step of a system, from what is said to have been measured."""
    return planning.plan(system, planned(system, batch, queue), *measured, **more)
