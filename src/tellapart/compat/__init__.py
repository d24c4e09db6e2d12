"""Other libraries' losses, called as there and computed here: change the import, keep the training loop.

Each module has its peer's arguments, defaults and value, from the family of `info_nce`: streamed, exact at low
temperatures, and with an error where the peer is silently 0. What a peer has and we have not is no argument
here, so that asking for it fails at once; where the values differ, the docstring says why.
"""

from tellapart.compat.info_nce_pytorch import InfoNCEPytorch
from tellapart.compat.lightly import LightlyNTXentLoss
from tellapart.compat.metric_learning import MetricLearningNTXentLoss, MetricLearningSupConLoss
from tellapart.compat.open_clip import OpenClipLoss
from tellapart.compat.sentence_transformers import SentenceTransformersMNRL

__all__ = [
    "InfoNCEPytorch",
    "LightlyNTXentLoss",
    "MetricLearningNTXentLoss",
    "MetricLearningSupConLoss",
    "OpenClipLoss",
    "SentenceTransformersMNRL",
]
