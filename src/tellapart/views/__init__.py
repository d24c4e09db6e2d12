"""Where counterparts come from: other views of the same thing."""

from tellapart.views.features import drop_features
from tellapart.views.graphs import drop_from_graph
from tellapart.views.images import jitter
from tellapart.views.pictures import Augment

__all__ = ["Augment", "drop_features", "drop_from_graph", "jitter"]
