"""Microstructure: patches of a micrograph that find one another, however each is turned.

Of each of n places of micrographs a patch is cut, and a second one from elsewhere on the same specimen, each turned by
an angle of its own, with other focus, light and noise, and seen through a disc. Each of the 2n patches is to find its
counterpart in a line-up of all:

    L = mean_i [ log Σ_{j ≠ i} exp(z_i·z_j / τ) − mean over p of z_i·z_p / τ ]

with z at length 1, and p all other patches of the same specimen. What two places have in common is the structure: the
sizes and shapes of grains, phases, lamellae, pores. The same place turned has its very grains in common, and teaches to
recognise these; of the structure it teaches nothing.

Departs from the paper (Chen et al. 2020, https://arxiv.org/abs/2002.05709, eq. 1, §2 and appendix A):
 1. A counterpart is another place of the specimen, not another view of the same picture.
 2. All patches of a specimen are positives, and none of them are negatives of each other.
 3. Patches are turned by any angle, cut from the larger field and seen through a disc, so that no corner tells the
    angle. They are not scaled: size is what is to be seen.
 4. The encoder is of plain convolutions at four scales, of which mean and deviation are kept; no place is.
 5. Embeddings are the projections z, not the features before the head; what the head drops here is the place.
 6. AdamW at batches of tens takes the place of LARS at batches of thousands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from tellapart.distributed import share_batch_norm, world
from tellapart.domains import micrographs
from tellapart.domains.micrographs import Blocks, Dataset, MicrographOptions, Patches, TextureNet, cut_twice
from tellapart.errors import require_option
from tellapart.objective import Terms, info_nce_terms
from tellapart.planning import PlannedLoss
from tellapart.progress import each
from tellapart.relations import Relation, paired, same
from tellapart.runs import Run
from tellapart.scores import unit
from tellapart.systems.contract import System
from tellapart.training import TermsStep, TrainerOptions, begin, fit, timed

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch.distributed import ProcessGroup

_CHUNK = 256


@dataclass(frozen=True)
class Config(MicrographOptions):
    """Train an encoder of micrographs to know the structure of a specimen at any place and angle."""

    quarter_turns: Literal["learned", "exact"] = "learned"
    """Whether embeddings are the mean over four quarter turns, and so exactly the same for each; costs four times."""
    temperature: float = 0.2
    """By what similarities are divided: the lower, the more the hardest negatives count."""
    width: int = 16
    """Channels of the convolution at the finest scale; the next ones have two, four and four times as many."""
    hidden: int = 256
    """Width of the projection head between its two layers."""
    dim: int = 64
    """Length of the embeddings."""
    learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, most in (("dim", 2**14), ("hidden", 2**16), ("width", 2**10)):
            value = getattr(self, name)
            require_option(name, 1 <= value <= most, f"lie between 1 and {most}", value)
        require_option("temperature", self.temperature >= 0.01, "be at least 0.01", self.temperature)


class Microstructure(nn.Module):
    """The encoder that is trained, with its head, and how its patches are made."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.encoder = TextureNet(micrographs.aperture(config), config.width)
            self.head = nn.Sequential(
                nn.BatchNorm1d(self.encoder.dim),
                nn.Linear(self.encoder.dim, config.hidden, bias=False),
                nn.BatchNorm1d(config.hidden),
                nn.ReLU(),
                nn.Linear(config.hidden, config.dim),
            )
            share_batch_norm(self)
        self.config = config

    def forward(self, patches: Float[Tensor, "n side side"]) -> Float[Tensor, "n dim"]:
        """What is compared."""
        compared: Tensor = self.head(self.encoder(patches))
        return compared

    @torch.no_grad()
    def embed(self, patches: Float[Tensor, "n side side"]) -> Float[Tensor, "n dim"]:
        """Unit embeddings, in chunks; with exact quarter turns, of the mean of those of all four."""
        turns = range(4) if self.config.quarter_turns == "exact" else range(1)

        def mean(chunk: Tensor) -> Tensor:
            return torch.stack([unit(self(chunk.rot90(turn, (1, 2))).float()) for turn in turns]).mean(dim=0)

        return unit(torch.cat([mean(chunk) for chunk in each(patches.split(_CHUNK))]))


def prepare(model: Microstructure, blocks: Blocks) -> Patches:
    """A patch of each block and a counterpart."""
    device = blocks.device or torch.device("cpu")
    with timed("views"), torch.autocast(device.type, enabled=False):
        return cut_twice(blocks, model.config)


def positives(specimen: Tensor) -> Relation:
    """All other patches of the same specimen."""
    return same(specimen) & ~paired()


def compare(
    patches: Float[Tensor, "n dim"], specimen: Tensor, temperature: float, group: ProcessGroup | None = None
) -> Terms:
    """The objective: each patch finds those of its specimen among all others."""
    return info_nce_terms(
        patches, patches, positives=positives(specimen), exclude=paired(), temperature=temperature, group=group
    )


def terms(model: Microstructure, cut: Patches) -> Terms:
    """The objective of a batch."""
    return compare(model(cut.patches), cut.specimen, model.config.temperature, world())


def plan(batch: int, _: int) -> PlannedLoss:
    """Two patches of each of `batch` specimens."""
    specimen = torch.arange(batch).repeat(2)
    negatives = "both patches of all other places, if they are of other specimens"
    return PlannedLoss.of_two_views(batch, lambda z, _, tau: compare(z, specimen, tau), negatives)


def train(config: Config, run: Run, trainer: TrainerOptions) -> None:
    """Train into a run folder, from its checkpoint if it has one; then evaluate and fill the gallery."""
    begin(run, "microstructure", config, trainer)
    data = Dataset.load(config, run)
    step = TermsStep(Microstructure(config), terms, config, prepare=prepare)
    unseen = data.unseen()
    fit(step, data.batches(), data.blocks, run, trainer, step.held_out(unseen.n_rows(), unseen.blocks))
    commands.finish(config, run, data)


commands = micrographs.commands_for(Microstructure)
system = System(
    Config,
    train,
    commands.make_model,
    own_data="micrographs, a file or a folder",
    evaluate=commands.evaluate,
    embed=commands.embed,
    search=commands.search,
    ask=commands.ask,
    cluster=micrographs.cluster,
    grouped_into=micrographs.ENDINGS,
    query="PATCH.png",
    plan=plan,
)
