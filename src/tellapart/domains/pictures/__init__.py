"""Pictures, with texts or without: folders, tables and arrays, random views, image encoders, evaluation."""

from tellapart.domains.pictures.backbones import Backbone
from tellapart.domains.pictures.captions import Pairs, pixel_ids, split
from tellapart.domains.pictures.convnet import ConvNet
from tellapart.domains.pictures.held_out import load_held_out
from tellapart.domains.pictures.load import Items, load_items, load_pairs
from tellapart.domains.pictures.network import Network, make_views
from tellapart.domains.pictures.options import Form, PictureOptions
from tellapart.domains.pictures.picture_sets import PictureSet, load_pictures, load_splits
from tellapart.domains.pictures.study import Study
from tellapart.domains.pictures.use import Uses
from tellapart.domains.pictures.views import Augment, jitter

__all__ = [
    "Augment",
    "Backbone",
    "ConvNet",
    "Form",
    "Items",
    "Network",
    "Pairs",
    "PictureOptions",
    "PictureSet",
    "Study",
    "Uses",
    "jitter",
    "load_held_out",
    "load_items",
    "load_pairs",
    "load_pictures",
    "load_splits",
    "make_views",
    "pixel_ids",
    "split",
]
