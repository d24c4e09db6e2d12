"""Skip-gram by a compiled kernel: SGD on `variants.sgns` and `info_nce` of windows of words, without autograd.

Needs numba (extra `words`). The first use on a machine compiles it, which takes some seconds.
"""

from tellapart.skip_gram.block import Vectors
from tellapart.skip_gram.noise import Noise
from tellapart.skip_gram.train import MOST_NEGATIVES, Measured, SkipGram

__all__ = ["MOST_NEGATIVES", "Measured", "Noise", "SkipGram", "Vectors"]
