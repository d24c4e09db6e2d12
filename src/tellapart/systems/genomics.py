"""Genomics: reads of DNA, each finding another read of its locus, from whichever strand.

Of each of n loci two reads are taken that begin within a window of each other, each with other errors and from
either strand: from a genome, from contigs, or from long reads; of short reads, their overlapping pieces. Each of the
2n reads is to find its counterpart, a read of its neighbourhood, in a line-up of all others:

    L = mean_i [ log Σ_{j ≠ i} exp(z_i·z_j / τ) − mean over p of z_i·z_p / τ ]

with z at length 1, and p all reads of the same sequence that begin within the window of read i. Neighbours on a genome
share its composition, so that what is learned is what is peculiar to a species, and to a stretch of it.

Departs from the papers (van den Oord et al. 2018, https://arxiv.org/abs/1807.03748, §3.4, for another task, and
Chen et al. 2020, https://arxiv.org/abs/2002.05709, eq. 1):
 1. All reads from within the window are positives, and not one another's negatives, of whichever locus.
 2. Strand invariance is exact by default, f(x) + f(x̄) of a read and its reverse complement; or it is learned.
 3. The encoder is small: convolutions over one-hot bases, with ambiguous ones shared among what they may be.
 4. AdamW and even batches, as in `simclr`; in a batch all reads are of similar lengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from tellapart.distributed import share_batch_norm, world
from tellapart.domains import genomes
from tellapart.domains.genomes import Dataset, DilatedConv, GenomeOptions, Loci, Reads, read_twice
from tellapart.errors import require_option
from tellapart.objective import Terms, info_nce_terms
from tellapart.planning import PlannedLoss
from tellapart.progress import each
from tellapart.relations import Relation, paired, same, within
from tellapart.runs import FinishedRun, Run, TensorEncoder, stacked
from tellapart.scores import unit
from tellapart.systems.contract import System
from tellapart.training import TermsStep, TrainerOptions, begin, fit, timed

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from torch.distributed import ProcessGroup

_POSITIONS = 2**14


@dataclass(frozen=True)
class Config(GenomeOptions):
    """Train an encoder of DNA to know the reads of a neighbourhood by one another."""

    strands: Literal["exact", "learned"] = "exact"
    """Whether embeddings are the same for both strands by construction, or only as far as training makes them."""
    temperature: float = 0.1
    """By what similarities are divided: the lower, the more the hardest negatives count."""
    dim: int = 64
    """Length of the embeddings."""
    width: int = 96
    """Channels of the convolutions."""
    layers: int = 3
    """Convolutions after the first; each looks twice as far as the one before it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, most in (("dim", 2**14), ("width", 2**14), ("layers", 12)):
            value = getattr(self, name)
            require_option(name, 1 <= value <= most, f"lie between 1 and {most}", value)
        require_option("temperature", self.temperature >= 0.01, "be at least 0.01", self.temperature)


class Genomics(nn.Module):
    """The encoder that is trained, and how its reads are made."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            dilations = tuple(2**layer for layer in range(config.layers))
            self.encoder = DilatedConv(config.width, dilations, both_strands=config.strands == "exact")
            # What all reads have in common is most of their features: the norm takes it away.
            self.head = nn.Sequential(nn.BatchNorm1d(config.width), nn.Linear(config.width, config.dim))
            share_batch_norm(self)
        self.config = config

    def forward(self, reads: UInt8[Tensor, "n length"]) -> Float[Tensor, "n dim"]:
        """What is compared."""
        compared: Tensor = self.head(self.encoder(reads))
        return compared

    @torch.no_grad()
    def embed(self, reads: UInt8[Tensor, "n length"]) -> Float[Tensor, "n dim"]:
        """Unit embeddings, in chunks."""
        chunk = max(1, _POSITIONS // reads.shape[1])
        return unit(stacked((self(part) for part in each(reads.split(chunk))), len(reads)).float())


def prepare(model: Genomics, loci: Loci) -> Reads:
    """Two reads of each locus."""
    with timed("views"):
        return read_twice(loci, model.config)


def positives(reads: Reads, window: int) -> Relation:
    """All other reads of the same sequence that begin within the window, or half a read."""
    reach = max(window, reads.bases.shape[1] // 2)
    return same(reads.sequence) & within(reads.begin, None, reach) & ~paired()


def compare(
    reads: Float[Tensor, "n dim"], near: Relation, temperature: float, group: ProcessGroup | None = None
) -> Terms:
    """The objective: each read finds its neighbours among all others."""
    return info_nce_terms(reads, reads, positives=near, exclude=paired(), temperature=temperature, group=group)


def terms(model: Genomics, reads: Reads) -> Terms:
    """The objective of a batch."""
    near = positives(reads, model.config.window)
    return compare(model(reads.bases), near, model.config.temperature, world())


def plan(batch: int, _: int) -> PlannedLoss:
    """Two reads of `batch` loci, none of which is near another."""
    begin = 2 * Config.window * torch.arange(batch).repeat(2)
    near = positives(Reads(begin[:, None], torch.zeros_like(begin), begin), Config.window)
    negatives = "both reads of all other loci, if none of them is near"
    return PlannedLoss.of_two_views(batch, lambda z, _, tau: compare(z, near, tau), negatives)


def train(config: Config, run: Run, trainer: TrainerOptions) -> None:
    """Train into a run folder, from its checkpoint if it has one; then evaluate and fill the gallery."""
    begin(run, "genomics", config, trainer)
    data = Dataset.load(config, run)
    step = TermsStep(Genomics(config), terms, config, prepare=prepare)
    unseen = data.unseen()
    fit(step, data.batches(), data.loci, run, trainer, step.held_out(unseen.n_loci(), unseen.loci))
    commands.finish(config, run, data)


commands = genomes.commands_for(Genomics)


def encoders(finished: FinishedRun) -> dict[str, TensorEncoder]:
    """What embeds reads."""
    return {"read": genomes.read_encoder(finished.model)}


system = System(
    Config,
    train,
    commands.make_model,
    own_data="genomes, contigs or reads, a file or a folder",
    evaluate=commands.evaluate,
    embed=commands.embed,
    search=commands.search,
    ask=commands.ask,
    cluster=genomes.cluster,
    grouped_into=genomes.ENDINGS,
    encoders=encoders,
    query="READ.fasta",
    plan=plan,
)
