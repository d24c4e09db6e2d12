"""Where counterparts come from: other views of the same thing."""

from tellapart.views.images import jitter

__all__ = ["jitter"]
