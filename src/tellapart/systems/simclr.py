"""SimCLR: pictures without texts, each view finding the other views of its picture.

V random views of each of n pictures go through an encoder f and a projection head g, z = g(f(x)). Each of the
V·n views is to find its counterparts, the other views of its picture, in a line-up of all views but itself:

    L = mean_i [ log Σ_{j ≠ i} exp(z_i·z_j / τ) − mean over p of z_i·z_p / τ ]

with z at length 1, and p the other V − 1 views of the picture. What is kept is f: the head throws away what tells
views apart, and with it what might be wanted.

Departs from the paper (Chen et al. 2020, https://arxiv.org/abs/2002.05709, eq. 1, §2 and appendices A and B.9):
 1. There may be more than two views, all of them positives, as in Khosla et al. 2020, eq. 2.
 2. The encoder is a small residual network, unless an image model of transformers is asked for.
 3. AdamW at batches of hundreds takes the place of LARS at batches of thousands.
 4. Several devices compare all their views and share their batch norms; views encoded in chunks have one a chunk.
 5. Batches are split evenly, so that no small last batch has fewer negatives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from tellapart.distributed import world
from tellapart.domains import pictures
from tellapart.domains.pictures import Dataset, ImageShape, Network, PictureOptions, PictureSet
from tellapart.errors import require_option
from tellapart.objective import Terms, info_nce_terms
from tellapart.planning import PlannedLoss
from tellapart.relations import other_views, paired
from tellapart.runs import Run
from tellapart.systems.contract import System
from tellapart.training import TermsStep, TrainerOptions, begin, fit

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from torch import Tensor
    from torch.distributed import ProcessGroup


@dataclass(frozen=True)
class Config(PictureOptions):
    """Train a picture encoder to know a picture by any view of it."""

    views: int = 2
    """Views of each picture in a batch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_option("views", 2 <= self.views <= 64, "lie between 2 and 64: a view finds others", self.views)


class SimCLR(nn.Module):
    """The network that is trained, and the views and the temperature that it is trained with."""

    def __init__(self, config: Config, shape: ImageShape) -> None:
        super().__init__()
        self.network = Network(config, shape)
        self.make_views = pictures.make_views(config, shape)
        self.n_views, self.temperature = config.views, config.temperature

    def forward(self, shown: UInt8[Tensor, "n c side side"]) -> Float[Tensor, "views_n dim"]:
        """Projections of random views: of all pictures a first one, then of all a second, and so on."""
        projections: Tensor = self.network(torch.cat(self.make_views(shown, self.n_views)))
        return projections


def compare(
    views: Float[Tensor, "views_n dim"], n_pictures: int, temperature: float, group: ProcessGroup | None = None
) -> Terms:
    """The objective: each view finds the others of its picture among all."""
    return info_nce_terms(
        views, views, positives=other_views(n_pictures), exclude=paired(), temperature=temperature, group=group
    )


def terms(model: SimCLR, batch: PictureSet) -> Terms:
    """The objective of a batch."""
    return compare(model(batch.pictures), len(batch), model.temperature, world())


def plan(batch: int, _: int) -> PlannedLoss:
    """Two views of `batch` pictures."""
    negatives = "both views of all other pictures"
    return PlannedLoss.of_two_views(batch, lambda z, _, tau: compare(z, batch, tau), negatives, encoded="views")


def train(config: Config, run: Run, trainer: TrainerOptions) -> None:
    """Train into a run folder, from its checkpoint if it has one; then evaluate and fill the gallery."""
    begin(run, "simclr", config, trainer)
    data = Dataset.load(config, run)
    step = TermsStep(SimCLR(config, data.shape), terms, config)
    fit(step, data.batches(), data.training.rows, run, trainer, step.held_out(len(data.test), data.test.rows))
    commands.finish(config, run, data)


commands = pictures.commands_for(lambda config, run: SimCLR(config, ImageShape.noted(run)))
system = System(
    Config,
    train,
    commands.make_model,
    own_data="pictures, in a folder",
    evaluate=commands.evaluate,
    embed=commands.embed,
    search=commands.search,
    ask=commands.ask,
    cluster=pictures.cluster_with(commands),
    grouped_into=pictures.GROUPED_INTO,
    encoders=pictures.network_encoders,
    query="PICTURE.png",
    plan=plan,
)
