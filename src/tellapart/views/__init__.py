"""Where counterparts come from: other views of the same thing."""

from tellapart.views.images import jitter
from tellapart.views.pictures import Augment

__all__ = ["Augment", "jitter"]
