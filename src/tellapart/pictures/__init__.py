"""What the systems of pictures without texts share: their options, their network, and what becomes of a run."""

from tellapart.pictures.network import Network, make_views
from tellapart.pictures.options import Form, PictureOptions
from tellapart.pictures.study import Study
from tellapart.pictures.use import Uses

__all__ = ["Form", "Network", "PictureOptions", "Study", "Uses", "make_views"]
