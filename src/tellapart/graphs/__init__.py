"""What a system of graphs is made of besides its objective: its options, its network, and what becomes of a run."""

from tellapart.graphs.network import Network
from tellapart.graphs.options import GraphOptions
from tellapart.graphs.study import Study
from tellapart.graphs.use import Uses

__all__ = ["GraphOptions", "Network", "Study", "Uses"]
