"""Genomics: reads of DNA, each finding another read of its locus, from whichever strand.

Of each of n loci two reads are taken that begin within a window of each other, with errors of their own and each from
either strand: from a genome, from contigs, or from long reads; of short reads, their overlapping pieces. Each of the
2n reads asks which of the others is from its neighbourhood:

    L = mean_i [ log Σ_{j ≠ i} exp(z_i·z_j / τ) − mean over p of z_i·z_p / τ ]

with z at length 1, and p all reads of the same sequence that begin within the window of read i. Neighbours on a genome
share its composition, so that what is learned is what a species, and a stretch of it, has of its own.

Departs from the papers (van den Oord et al. 2018, https://arxiv.org/abs/1807.03748, §3.4, whose task is another, and
Chen et al. 2020, https://arxiv.org/abs/2002.05709, eq. 1):
 1. All reads from within the window are counterparts, and not one another's negatives, however they came to be.
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
from tellapart.domains.genomes import DilatedConv, GenomeOptions, Loci, Reads, Study, Uses, read_twice
from tellapart.errors import require_option
from tellapart.objective import Terms, info_nce_terms
from tellapart.relations import Relation, paired, same, within
from tellapart.runs import Run, is_first_process
from tellapart.scores import unit
from tellapart.training import TrainerOptions, timed

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

QUERY = "READ.fasta"
OWN_DATA = "genomes, contigs or reads, a file or a folder"
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
    """The encoder that is trained, and how its counterparts are made."""

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
        return unit(torch.cat([self(part) for part in reads.split(chunk)]).float())


def ask(model: Genomics, loci: Loci) -> Reads:
    """Two reads of each locus."""
    with timed("views"):
        return read_twice(loci, model.config)


def counterparts(reads: Reads, window: int) -> Relation:
    """Who is whose counterpart: all others of the same sequence that begin within the window, or half a read."""
    reach = max(window, reads.bases.shape[1] // 2)
    return same(reads.sequence) & within(reads.begin, None, reach) & ~paired()


def terms(model: Genomics, reads: Reads) -> Terms:
    """The objective: InfoNCE over all reads of the batch."""
    everyone = model(reads.bases)
    return info_nce_terms(
        everyone,
        everyone,
        positives=counterparts(reads, model.config.window),
        exclude=paired(),
        temperature=model.config.temperature,
        group=world(),
    )


def train(config: Config, run: Run, trainer: TrainerOptions) -> None:
    """Train into the run folder, from its checkpoint if it has one; then evaluate and fill the gallery.

    Raises:
        InputError: what is wrong with data, options or disk.
        Interrupted: the run was asked to stop; its state is saved.
    """
    study = Study.of_run(config, run)
    batches, model = study.batches(trainer), Genomics(config)
    if not run.is_trained():
        from tellapart.training.fit import Recipe, fit

        recipe = Recipe(config.learning_rate, config.weight_decay)
        fit(model, terms, batches, study.loci, run, recipe, trainer, prepare=ask)
        if not is_first_process():
            return
        run.save_weights(model)
    study.finish(run, *_uses.encoders(config, run))


_uses = Uses(Genomics)
evaluate, embed, search = _uses.evaluate, _uses.embed, _uses.search
