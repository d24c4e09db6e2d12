"""Loaders for the formats people have, and the embedded default. Each names the file at fault."""

from tellapart.data.fastx import Record, find_files, read_letters, read_records
from tellapart.data.held_out import load_held_out
from tellapart.data.load import Items, load_items, load_pairs
from tellapart.data.pairs import Pairs, pixel_ids, split, text_id
from tellapart.data.picture_sets import PictureSet, load_pictures, load_splits
from tellapart.data.sequences import Regions, load_sequences, split_regions

__all__ = [
    "Items",
    "Pairs",
    "PictureSet",
    "Record",
    "Regions",
    "find_files",
    "load_held_out",
    "load_items",
    "load_pairs",
    "load_pictures",
    "load_sequences",
    "load_splits",
    "pixel_ids",
    "read_letters",
    "read_records",
    "split",
    "split_regions",
    "text_id",
]
