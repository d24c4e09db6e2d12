"""The network that pictures go through, an encoder and a projection head, and the views that it sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tellapart.distributed import share_batch_norm
from tellapart.domains.pictures.backbones import Backbone
from tellapart.domains.pictures.convnet import ConvNet
from tellapart.domains.pictures.views import Augment
from tellapart.errors import InputError
from tellapart.gradient_cache import chunked
from tellapart.progress import each
from tellapart.runs import stacked
from tellapart.scores import unit
from tellapart.training import timed

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float, UInt8

    from tellapart.domains.pictures.options import ImageShape, PictureOptions
    from tellapart.runs import InChunks

    Views = Callable[[UInt8[Tensor, "n c side side"], int], tuple[Float[Tensor, "n c side side"], ...]]

_CHUNK, _PIXELS = 64, 2**18  # embedded at a time: few enough to stay in the cache, 5 pictures of 224 × 224


class Network(nn.Module):
    """`g(f(x))`: in training the projections of views, `z = g(h)`; afterwards the features of pictures, `h = f(x)`.

    `g(h) = BN(W₂ max(0, BN(W₁ h)))`; if `hidden` is 0, `g(h) = BN(W h)`; if `dim` is 0, `g(h) = h`. The seed decides
    the first weights. Of several processes the batch norms are those of all, so that no projection tells where it was
    made. `dim` is the length of the projections.

    Raises:
        InputError: the encoder cannot be made, or does not take pictures of this shape.

    Source: Chen et al. 2020 (SimCLR), §2.1, §4.2 and their code, for the heads with batch norm.
    """

    def __init__(self, options: PictureOptions, shape: ImageShape) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            self.encoder = _encoder(options, shape)
            self.head = _head(self.encoder.dim, options.hidden, options.dim)
        self.dim = options.dim or self.encoder.dim
        self.chunk = options.chunk
        if not self.chunk:  # chunks have a batch norm each
            share_batch_norm(self)

    def forward(self, views: Float[Tensor, "n c side side"]) -> Float[Tensor, "n dim"]:
        """Projections of views; of more than `chunk`, the encoder takes a chunk at a time."""
        if 0 < self.chunk < len(views):
            features = chunked(self.encoder, views, chunk=_without_a_remainder_of_one(len(views), self.chunk))
        else:
            features = self.encoder(views)
        projections: Tensor = self.head(features)
        return projections

    @torch.no_grad()
    def embed(self, pictures: InChunks) -> Float[Tensor, "n features"]:
        """The encoder's features of pictures, of length 1, in chunks."""
        size = max(1, min(_CHUNK, _PIXELS // pictures.shape[-1] ** 2))
        parts = (self.encoder(chunk) for chunk in each(pictures.split(size)))
        return unit(stacked(parts, pictures.shape[0]).float())


def make_views(options: PictureOptions, shape: ImageShape) -> Views:
    """A function of pictures and a number V that makes V random views of each, as the options ask.

    It is no part of the model: what is trained or saved in another precision does not change the views.

    Raises:
        InputError: `kornia` is missing.
    """
    asked = {name: getattr(options, name) for name in ("flip", "turn", "jitter", "grey", "blur")}
    augment = Augment(*shape, crop=(options.crop, 1.0), **asked)

    def views(pictures: Tensor, n_views: int) -> tuple[Tensor, ...]:
        with timed("views"), torch.autocast(pictures.device.type, enabled=False):
            made: tuple[Tensor, ...] = augment(pictures, n_views)
        return made

    return views


def _encoder(options: PictureOptions, shape: ImageShape) -> ConvNet | Backbone:
    if options.has_convnet():
        return ConvNet(None, options.width, shape.channels)
    backbone = Backbone(options.encoder, shape.channels, options.encoder_options or None).eval()
    try:
        with torch.no_grad():
            backbone(torch.zeros(1, shape.channels, shape.side, shape.side))
    except Exception as error:  # there are as many ways to fail as there are models
        what = f"does not take pictures of {shape.side}×{shape.side}"
        raise InputError(f"{options.encoder}: {what}, {' '.join(str(error).split())[:200]}.") from error
    return backbone.train()


def _head(n_features: int, hidden: int, dim: int) -> nn.Sequential:
    if not dim:
        return nn.Sequential()
    n_in = hidden or n_features
    first = [nn.Linear(n_features, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU()] if hidden else []
    return nn.Sequential(*first, nn.Linear(n_in, dim, bias=False), nn.BatchNorm1d(dim))


def _without_a_remainder_of_one(n: int, chunk: int) -> int:
    """The least chunk from this on that leaves no row alone: batch norm has nothing to compare it with."""
    while n % chunk == 1:
        chunk += 1
    return chunk
