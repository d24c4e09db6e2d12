"""SimCLR: pictures without texts, each view finding the other views of its picture.

V random views of each of n pictures go through an encoder f and a projection head g, z = g(f(x)). Each of the
V·n views asks which of the others show its own picture, and everyone in the batch but itself is in its line-up:

    L = mean_i [ log Σ_{j ≠ i} exp(z_i·z_j / τ) − mean over p of z_i·z_p / τ ]

with z at length 1, and p the other V − 1 views of the picture. What is kept is f: the head throws away what tells
views apart, and with it what might be wanted.

Departs from the paper (Chen et al. 2020, https://arxiv.org/abs/2002.05709, eq. 1, §2 and appendices A and B.9):
 1. There may be more than two views, all of them counterparts, as in Khosla et al. 2020, eq. 2.
 2. The encoder is a small residual network, unless an image model of transformers is asked for.
 3. AdamW at batches of hundreds takes the place of LARS at batches of thousands.
 4. Several devices play one line-up and share their batch norms; if views are encoded in chunks, each has its own.
 5. Batches are split evenly, so that no small last batch plays an easier game.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from tellapart.distributed import world
from tellapart.domains import pictures
from tellapart.domains.pictures import Form, Network, PictureOptions, PictureSet, Study
from tellapart.errors import require_option
from tellapart.objective import Terms, info_nce_terms
from tellapart.relations import other_views, paired
from tellapart.runs import Run, is_first_process
from tellapart.training import TrainerOptions

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from torch import Tensor

QUERY = "PICTURE.png"
OWN_DATA = "pictures, in a folder"


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

    def __init__(self, config: Config, form: Form) -> None:
        super().__init__()
        self.network = Network(config, form)
        self.make_views = pictures.make_views(config, form)
        self.n_views, self.temperature = config.views, config.temperature

    def forward(self, shown: UInt8[Tensor, "n c side side"]) -> Float[Tensor, "views_n dim"]:
        """Projections of random views: of all pictures a first one, then of all a second, and so on."""
        projections: Tensor = self.network(torch.cat(self.make_views(shown, self.n_views)))
        return projections


def terms(model: SimCLR, batch: PictureSet) -> Terms:
    """The objective: NT-Xent over all views of the batch."""
    everyone = model(batch.pictures)
    return info_nce_terms(
        everyone,
        everyone,
        positives=other_views(len(batch)),
        exclude=paired(),
        temperature=model.temperature,
        group=world(),
    )


def train(config: Config, run: Run, trainer: TrainerOptions) -> None:
    """Train into the run folder, from its checkpoint if it has one; then evaluate and fill the gallery.

    Raises:
        InputError: what is wrong with data, options or disk.
        Interrupted: the run was asked to stop; its state is saved.
    """
    study = Study.of_run(config, run)
    batches, model = study.batches(trainer), SimCLR(config, study.form)
    if not run.is_trained():
        from tellapart.training.fit import Recipe, fit

        recipe = Recipe(config.learning_rate, config.weight_decay)
        fit(model, terms, batches, study.training.rows, run, recipe, trainer)
        if not is_first_process():
            return
        run.save_weights(model)
    study.finish(run, *_uses.networks(config, run))


_uses = pictures.Uses(SimCLR)
evaluate, embed, search = _uses.evaluate, _uses.embed, _uses.search
