"""Other libraries' losses with their signatures, computed by `info_nce`: change the import, keep the training loop.

Each module has its peer's names, arguments, defaults and value, as `from tellapart.compat.lightly import NTXentLoss`;
here they have names that tell them apart. The losses are streamed, and exact at low temperatures. Every argument of
the peer is taken at its default, and implemented where it means something. Flags of distributed training share the
loss among all processes, with exact gradients. Where values differ from the peer's, the docstring says why.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tellapart.compat.info_nce_pytorch import InfoNCEPytorch
    from tellapart.compat.lightly import LightlyNTXentLoss
    from tellapart.compat.metric_learning import MetricLearningNTXentLoss, MetricLearningSupConLoss
    from tellapart.compat.open_clip import OpenClipLoss
    from tellapart.compat.sentence_transformers import SentenceTransformersCachedMNRL, SentenceTransformersMNRL

__all__ = [
    "InfoNCEPytorch",
    "LightlyNTXentLoss",
    "MetricLearningNTXentLoss",
    "MetricLearningSupConLoss",
    "OpenClipLoss",
    "SentenceTransformersCachedMNRL",
    "SentenceTransformersMNRL",
]

_MODULES = {
    "InfoNCEPytorch": "info_nce_pytorch",
    "LightlyNTXentLoss": "lightly",
    "MetricLearningNTXentLoss": "metric_learning",
    "MetricLearningSupConLoss": "metric_learning",
    "OpenClipLoss": "open_clip",
    "SentenceTransformersCachedMNRL": "sentence_transformers",
    "SentenceTransformersMNRL": "sentence_transformers",
}


def __getattr__(name: str) -> object:
    """Import an adapter when it is asked for: one of them imports its peer where that is installed."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
