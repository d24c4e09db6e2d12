"""Pixels: the places of a video; each finds where optical flow carries it, among the cells of all other views.

Of each of a batch's frames two views are made: A of the frame, and B of a frame before or behind it, by independent
warps. A network makes a map of each, with an embedding for each cell of 4 × 4 pixels. A query q is a point x of a first
view. Its counterpart is the place y = B⁻¹(A x + F(A x)) in the second view, where F is the optical flow from frame to
frame; and y lies among four cells. The line-up are the cells of all second views. With w_c the weights of bilinear
interpolation at y,

    L = −mean over queries of log Σ_{c of the 4 cells} w_c p_c,    p_c = exp(q·k_c / τ) / Σ_j exp(q·k_j / τ)

with q and k at length 1. The cells of the same view within `window` of y are no negatives. Points are taken where flow
there and back agrees within a pixel.

Departs from the papers (Pinheiro et al. 2020, VADeR, https://arxiv.org/abs/2011.05499, eq. 2; Xu and Wang 2021, VFS,
https://arxiv.org/abs/2103.17263; Wang et al. 2021, DenseCL, https://arxiv.org/abs/2011.09157):
 1. Two views are of different frames, and a positive is where flow leads, not the same place of the same picture.
 2. The positive is a place between cells: the probability of four cells, weighted, inside the logarithm.
 3. Negatives are the cells of this batch, without a queue and without a momentum encoder.
 4. Flow over many frames is chained; it is that of DIS, which learns nothing.
 5. Each device compares the pairs of its own batch only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from tellapart.distributed import share_batch_norm
from tellapart.domains import pixels
from tellapart.domains.pixels import (
    PYRAMID,
    Dataset,
    DenseConv,
    PixelOptions,
    Sampler,
    Shown,
    Views,
    as_cells,
    seen_at,
)
from tellapart.errors import require_option
from tellapart.objective import Terms, info_nce_terms
from tellapart.runs import Run
from tellapart.systems.contract import System
from tellapart.training import TermsStep, TrainerOptions, begin, fit, timed

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from torch import Tensor

_MEASURED = 64  # held-out frames, each with up to `queries` points


@dataclass(frozen=True)
class Config(PixelOptions):
    """Train an encoder to know a place of a video by its look in another frame."""

    temperature: float = 0.05
    """By what similarities are divided: the lower, the more the hardest negatives count."""
    dim: int = 64
    """Length of the embeddings, of each size of a pyramid."""
    width: int = 64
    """Channels of the convolutions."""
    blocks: int = 3
    """Pairs of convolutions at a quarter of the resolution; each looks twice as far as the one before it."""
    pyramid: bool = True
    """Whether a frame is used at three sizes, and the embeddings of all are put together; training sees one size."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least, most in (("dim", 1, 4096), ("width", 2, 4096), ("blocks", 1, 6)):
            value = getattr(self, name)
            require_option(name, least <= value <= most, f"lie between {least} and {most}", value)
        require_option("temperature", self.temperature >= 0.01, "be at least 0.01", self.temperature)


class Pixels(nn.Module):
    """The network that is trained, and the options that it is trained with."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.encoder = DenseConv(config.width, config.dim, config.blocks)
            share_batch_norm(self)
        self.config = config

    def forward(self, views: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n dim rows cols"]:
        """The map of each view."""
        maps: Tensor = self.encoder(views)
        return maps

    @torch.no_grad()
    def embed(self, frames: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n d rows cols"]:
        """Maps of unit embeddings, one frame at a time; of a pyramid those of all its sizes, put together."""
        sizes = PYRAMID if self.config.pyramid else (1.0,)
        return torch.cat([seen_at(sizes, self, frame[None].float()) for frame in frames])


def terms(model: Pixels, views: Views) -> Terms:
    """The objective: each point of the first views finds its place among the cells of all second views."""
    config = model.config
    first, second = model(torch.cat([views.first, views.second])).chunk(2)
    rows, cols = second.shape[2:]
    positives = views.positives(rows, cols)
    return info_nce_terms(
        views.queries(first),
        as_cells(second),
        positives=positives,
        exclude=views.near(rows, cols, config.window) & ~positives,
        temperature=config.temperature,
        multi_positive="in",
    )


def draw(sampler: Sampler, _: nn.Module, shown: Shown) -> Views:
    """Two views of each frame of a batch."""
    with timed("views"):
        return sampler.draw(shown)


def train(config: Config, run: Run, trainer: TrainerOptions) -> None:
    """Train into a run folder, from its checkpoint if it has one; then evaluate and fill the gallery."""
    begin(run, "pixels", config, trainer)
    data = Dataset.load(config, run)
    sampler, unseen = data.sampler(), data.unseen()
    step = TermsStep(Pixels(config), terms, config, prepare=partial(draw, sampler))
    measured = replace(step, prepare=partial(draw, unseen)).held_out(len(unseen), unseen.frames)
    fit(step, data.batches(), sampler.frames, run, trainer, replace(measured, most=_MEASURED))
    commands.finish(config, run, data)


commands = pixels.commands_for(Pixels)
system = System(
    Config,
    train,
    commands.make_model,
    own_data="videos, a file or a folder",
    evaluate=commands.evaluate,
    embed=commands.embed,
    search=pixels.search,
    ask=commands.ask,
    cluster=commands.cluster,
    match=pixels.matched,
    propagate=pixels.propagated,
    query="FRAME,X,Y",
)
