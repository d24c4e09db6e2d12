"""Small reference encoders, one file a kind of input. Any `nn.Module` that returns embeddings will do."""

from tellapart.encoders.backbones import Backbone
from tellapart.encoders.batch_norm import SharedBatchNorm, share_batch_norm
from tellapart.encoders.dna import DilatedConv
from tellapart.encoders.graph import GraphNet
from tellapart.encoders.image import ConvNet
from tellapart.encoders.kmers import kmer_profile
from tellapart.encoders.ragged import Ragged
from tellapart.encoders.text import NgramBag, hashed
from tellapart.encoders.transformer import Transformer
from tellapart.encoders.wordpieces import WordPieces

__all__ = [
    "Backbone",
    "ConvNet",
    "DilatedConv",
    "GraphNet",
    "NgramBag",
    "Ragged",
    "SharedBatchNorm",
    "Transformer",
    "WordPieces",
    "hashed",
    "kmer_profile",
    "share_batch_norm",
]
