"""Pictures, with texts or without: folders, tables and arrays, random views, image encoders, evaluation."""

from tellapart.domains.pictures.backbones import Backbone
from tellapart.domains.pictures.captions import Pairs, split
from tellapart.domains.pictures.client_options import ClientOptions, Split
from tellapart.domains.pictures.clients import ClientData
from tellapart.domains.pictures.commands import commands_for
from tellapart.domains.pictures.convnet import ConvNet
from tellapart.domains.pictures.dataset import Dataset
from tellapart.domains.pictures.few_labels import Batch, FewLabels
from tellapart.domains.pictures.given import as_pictures
from tellapart.domains.pictures.held_out import load_held_out
from tellapart.domains.pictures.images import read_pictures, read_whole
from tellapart.domains.pictures.jitter import jitter, jitter_for, kind_of
from tellapart.domains.pictures.judge import Judge, train_judge
from tellapart.domains.pictures.load import Items, load_items, load_pairs
from tellapart.domains.pictures.network import Network, make_views
from tellapart.domains.pictures.options import ImageShape, PairOptions, PictureOptions
from tellapart.domains.pictures.pair_commands import commands_for_pairs
from tellapart.domains.pictures.pair_dataset import PairDataset
from tellapart.domains.pictures.picture_groups import ENDINGS as GROUPED_INTO
from tellapart.domains.pictures.picture_groups import cluster_with
from tellapart.domains.pictures.picture_sets import Form, PictureSet, load_pictures, load_splits
from tellapart.domains.pictures.stored import pixel_ids
from tellapart.domains.pictures.tensors import network_encoders, picture_encoder
from tellapart.domains.pictures.views import Augment

__all__ = [
    "GROUPED_INTO",
    "Augment",
    "Backbone",
    "Batch",
    "ClientData",
    "ClientOptions",
    "ConvNet",
    "Dataset",
    "FewLabels",
    "Form",
    "ImageShape",
    "Items",
    "Judge",
    "Network",
    "PairDataset",
    "PairOptions",
    "Pairs",
    "PictureOptions",
    "PictureSet",
    "Split",
    "as_pictures",
    "cluster_with",
    "commands_for",
    "commands_for_pairs",
    "jitter",
    "jitter_for",
    "kind_of",
    "load_held_out",
    "load_items",
    "load_pairs",
    "load_pictures",
    "load_splits",
    "make_views",
    "network_encoders",
    "picture_encoder",
    "pixel_ids",
    "read_pictures",
    "read_whole",
    "split",
    "train_judge",
]
