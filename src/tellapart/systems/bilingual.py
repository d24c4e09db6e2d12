"""Bilingual: sentences and their translations in one space, each finding the other.

A sentence asks which of the batch's translations is its own, and a translation which of the sentences; its own has to
win by a margin m. Beside this a transformer learns to guess masked tokens of either language:

    L = (L_sources + L_targets) / 2 + w · L_masked
    L_sources = mean_i [ log Σ_j exp(s_ij / τ) − mean over p of s_ip / τ ],    s_ij = u_i·v_j − m·[j is one of p]

with u and v the embeddings of sources and targets at length 1, τ learned, and p the targets of the rows that share with
row i the source or the target; L_targets the same with the roles exchanged. L_masked is the tokens' cross-entropy.

Departs from the papers (Yang et al. 2019, https://arxiv.org/abs/1902.08564, eq. 6; Feng et al. 2022, LaBSE,
https://arxiv.org/abs/2007.01852, §3):
 1. Rows that share their source or their target, but for case and spacing, are each other's counterparts. This goes by
    rows: of (A, t1), (A, t2), (B, t2), the first has the second row's t2 as a counterpart, the third's as a negative.
 2. The temperature is learned, where the papers scale by a constant.
 3. Masked tokens are guessed at every step, not before; no pairs are joined to be masked together.
 4. One encoder reads both languages: a bag of hashed n-grams, or the mean over a BERT's tokens. The BERT is from a
    folder, or small and new, and then adds the tokens' own vectors to what its last layer says.
 5. AdamW with a warm-up and half a cosine; even batches; vectors of n-grams that a step does not see stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from tellapart.distributed import world
from tellapart.domains.text import Bag, Batch, Reading, SentenceOptions, Study, Transformer, Uses, make_encoder
from tellapart.errors import require_option
from tellapart.objective import Terms, info_nce_terms
from tellapart.relations import Relation, same
from tellapart.runs import Run, is_first_process
from tellapart.temperature import LearnedTemperature
from tellapart.training import Batches, TrainerOptions

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

QUERY = '"a sentence"'
OWN_DATA = "sentences and translations, two text files, a .tsv or a .tmx"


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


def counterparts(batch: Batch) -> Relation:
    """Who is whose counterpart: rows with the same source, or with the same target."""
    return same(batch.source_ids) | same(batch.target_ids)


def terms(model: Bilingual, batch: Batch) -> Terms:
    """The objective: symmetric InfoNCE over the batch, with a margin."""
    return info_nce_terms(
        model.encoder(batch.sources),
        model.encoder(batch.targets),
        positives=counterparts(batch),
        temperature=model.temperature(),
        margin=model.margin,
        symmetric=True,
        group=world(),
    )


def masked(model: Bilingual, batch: Batch) -> Float[Tensor, ""]:
    """The second objective: tokens that are masked are to be guessed."""
    assert isinstance(model.encoder, Transformer)
    assert batch.unaligned is not None
    return model.encoder.guess(batch.unaligned)


def train(config: Config, run: Run, trainer: TrainerOptions) -> None:
    """Train into the run folder, from its checkpoint if it has one; then evaluate and fill the gallery.

    Raises:
        InputError: what is wrong with data, options or disk.
        Interrupted: the run was asked to stop; its state is saved.
    """
    study, guesses = Study.of_run(config, run).with_unaligned(config, run), config.guesses()
    model = Bilingual(config, study.tokeniser(config, run, unaligned=guesses))
    if not run.is_trained():
        from tellapart.training.fit import Another, Recipe, fit

        pairs = Batch.of(model.encoder, study.training)
        lengths = None if config.encoder == "bag" else pairs.lengths().numpy()
        batches = Batches(len(study.training), config.batch_size, config.epochs, config.seed, lengths)
        recipe = Recipe(config.learning_rate, config.weight_decay)
        if guesses:
            reading = Reading(model.encoder.read(study.to_read(unaligned=True)), config.reading)
            recipe = Recipe(config.learning_rate, config.weight_decay, Another("masked", config.masked_weight, masked))
        prepare = (lambda _, batch: reading.beside(batch)) if guesses else None
        fit(model, terms, batches, pairs.rows, run, recipe, trainer, prepare=prepare)
        if not is_first_process():
            return
        run.save_weights(model)
    study.finish(run, *_uses.encoders(config, run))


_uses = Uses(Bilingual)
evaluate, embed, search = _uses.evaluate, _uses.embed, _uses.search
