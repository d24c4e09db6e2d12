"""Loaders for the formats people have, and the embedded default. Each names the file at fault."""

from tellapart.data.load import Items, load_items, load_pairs
from tellapart.data.pairs import Pairs, split, text_id

__all__ = ["Items", "Pairs", "load_items", "load_pairs", "split", "text_id"]
