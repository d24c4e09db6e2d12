"""Bilingual: sentences and their translations in one space, each finding the other.

A sentence is to find its counterpart, its translation, in a line-up of the batch's, and a translation its sentence; it
has to win by a margin m. Beside this a transformer learns to guess masked tokens of either language:

    L = (L_sources + L_targets) / 2 + w · L_masked
    L_sources = mean_i [ log Σ_j exp(s_ij / τ) − mean over p of s_ip / τ ],    s_ij = u_i·v_j − m·[j is one of p]

with u and v the embeddings of sources and targets at length 1, τ learned, and p the targets of the rows that share with
row i the source or the target; L_targets the same with the roles exchanged. L_masked is the tokens' cross-entropy.

Departs from the papers (Yang et al. 2019, https://arxiv.org/abs/1902.08564, eq. 6; Feng et al. 2022, LaBSE,
https://arxiv.org/abs/2007.01852, §3):
 1. Rows that share their source or their target, but for case and spacing, are each other's positives. This goes by
    rows: of (A, t1), (A, t2), (B, t2), the first has the second row's t2 as a positive, the third's as a negative.
 2. The temperature is learned, where the papers scale by a constant.
 3. Masked tokens are guessed at every step, not before; no pairs are joined to be masked together.
 4. One encoder reads both languages: a bag of hashed n-grams, or the mean over a BERT's tokens. The BERT is from a
    folder, or small and new, and then adds the tokens' input vectors to those of its last layer.
 5. AdamW with a warm-up and half a cosine; even batches; vectors of n-grams that a step does not see stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from tellapart.distributed import world
from tellapart.domains import text
from tellapart.domains.text import (
    Bag,
    Batch,
    Dataset,
    Reading,
    ReadPairs,
    SentenceOptions,
    Transformer,
    make_encoder,
    sentences_of,
)
from tellapart.errors import require_option
from tellapart.objective import Terms, info_nce_terms
from tellapart.planning import PlannedLoss
from tellapart.relations import Relation, same
from tellapart.runs import FinishedRun, Run, TensorEncoder
from tellapart.systems.contract import System
from tellapart.temperature import LearnedTemperature
from tellapart.training import AuxiliaryLoss, Batches, TermsStep, TrainerOptions, begin, fit

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor
    from torch.distributed import ProcessGroup


@dataclass(frozen=True)
class Config(SentenceOptions):
    """Train an encoder of two languages to find a sentence's translation."""

    temperature: float = 0.05
    """Where the learned temperature starts; it stays at 0.01 or above."""
    margin: float = 0.3
    """By how much a translation's cosine has to exceed those of others."""
    masked_weight: float = 0.1
    """Weight of guessing masked tokens beside finding translations, for the transformer; 0 for not at all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_option("temperature", self.temperature >= 0.01, "be at least 0.01", self.temperature)
        require_option("margin", 0 <= self.margin < 2, "lie in [0, 2)", self.margin)
        require_option("masked_weight", self.masked_weight >= 0, "be at least 0", self.masked_weight)
        is_read = self.guesses() or not self.unaligned
        require_option("unaligned", is_read, "be left out with --masked_weight 0: nothing reads it", self.unaligned)

    def guesses(self) -> bool:
        """Whether masked tokens are guessed."""
        return self.encoder == "transformer" and self.masked_weight > 0


class Bilingual(nn.Module):
    """One encoder for both languages, and the temperature at which they are compared."""

    encoder: Bag | Transformer

    def __init__(self, config: Config, tokeniser: str) -> None:
        super().__init__()
        self.encoder = make_encoder(config, tokeniser, guesses=config.guesses())
        self.temperature = LearnedTemperature(config.temperature, minimum=0.01)
        self.margin = config.margin


def positives(source_ids: Int[Tensor, " n"], target_ids: Int[Tensor, " n"]) -> Relation:
    """Rows with the same source, or with the same target."""
    return same(source_ids) | same(target_ids)


def compare(
    sources: Float[Tensor, "n d"],
    targets: Float[Tensor, "n d"],
    positives: Relation,
    temperature: Float[Tensor, ""] | float,
    margin: float,
    group: ProcessGroup | None = None,
) -> Terms:
    """The objective: symmetric InfoNCE over the batch, with a margin."""
    return info_nce_terms(
        sources, targets, positives=positives, temperature=temperature, margin=margin, symmetric=True, group=group
    )


def terms(model: Bilingual, batch: Batch) -> Terms:
    """The objective of a batch."""
    related = positives(batch.source_ids, batch.target_ids)
    embedded = model.encoder(batch.sources), model.encoder(batch.targets)
    return compare(*embedded, related, model.temperature(), model.margin, world())


def masked(model: Bilingual, batch: Batch) -> Float[Tensor, ""]:
    """The auxiliary loss: the cross-entropy of masked tokens, which are to be guessed."""
    assert isinstance(model.encoder, Transformer)
    assert batch.unaligned is not None
    return model.encoder.guess(batch.unaligned)


def plan(batch: int, _: int) -> PlannedLoss:
    """`batch` pairs, no two of which share a sentence."""
    alike = positives(ids := torch.arange(batch), ids)
    negatives = "all other translations of the batch; for a translation, all other sentences"
    return PlannedLoss.of_pairs(batch, lambda u, v, tau: compare(u, v, alike, tau, Config.margin), negatives)


def train(config: Config, run: Run, trainer: TrainerOptions) -> None:
    """Train into a run folder, from its checkpoint if it has one; then evaluate and fill the gallery."""
    begin(run, "bilingual", config, trainer)
    data, guesses = Dataset.load(config, run).with_unaligned(config, run), config.guesses()
    model = Bilingual(config, data.tokeniser(config, run, unaligned=guesses))
    if not run.is_trained():
        pairs = ReadPairs.of(model.encoder, data.training)
        lengths = None if config.encoder == "bag" else pairs.lengths().numpy()
        batches = Batches(len(data.training), config.batch_size, config.epochs, config.seed, lengths)
        step = TermsStep(model, terms, config)
        if guesses:
            sentences = sentences_of(model.encoder.read, data.to_read(unaligned=True))
            reading = Reading(sentences, config.reading)
            auxiliary = AuxiliaryLoss("masked", config.masked_weight, masked)
            step = TermsStep(model, terms, config, lambda _, batch: reading.beside(batch), auxiliary=auxiliary)
        unseen = ReadPairs.of(model.encoder, data.held_out)
        fit(step, batches, pairs.rows, run, trainer, step.held_out(len(data.held_out), unseen.rows))
    commands.finish(config, run, data)


commands = text.commands_for(Bilingual)


def encoders(finished: FinishedRun) -> dict[str, TensorEncoder]:
    """What embeds sentences of either language."""
    return {"sentence": text.text_encoder(finished.model.encoder)}


system = System(
    Config,
    train,
    commands.make_model,
    own_data="sentences and translations, two text files, a .tsv, a .tmx or a table",
    evaluate=commands.evaluate,
    embed=commands.embed,
    search=commands.search,
    ask=commands.ask,
    cluster=commands.cluster,
    score=text.score,
    encoders=encoders,
    query='"a sentence"',
    plan=plan,
)
