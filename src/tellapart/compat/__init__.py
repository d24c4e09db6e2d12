"""Other libraries' losses with their signatures, computed by `info_nce`: change the import, keep the training loop.

Each module has its peer's arguments, defaults and value. It is streamed, exact at low temperatures, and raises an
error where the peer silently returns 0. An option of the peer that is not supported is no argument here, so that
passing it fails at once. Where values differ from the peer's, the docstring says why.
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
