"""CLIP: pictures and texts in one space, each finding the other.

A picture asks which of the batch's texts is its own, and a text which of the pictures:

    L = (L_pictures + L_texts) / 2,    L_pictures = mean_i [ log Σ_j exp(u_i·v_j / τ) − mean over p of u_i·v_p / τ ]

with u and v the pictures' and texts' embeddings at length 1, τ learned, and p the texts that are the
picture's own; L_texts the same with the roles exchanged.

Departs from the paper (Radford et al. 2021, https://arxiv.org/abs/2103.00020, §2 and figure 3):
 1. Pairs with the same text or the same picture are all counterparts, not negatives of each other.
 2. The encoders are small and trained from nothing: a residual network and a bag of hashed n-grams.
 3. Batches are split evenly, so that no small last batch plays an easier game.
 4. The temperature is bounded where its gradient is taken, not clipped after the step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tellapart.distributed import world
from tellapart.domains.pictures import ConvNet, Pairs, jitter, load_items, load_pairs, split
from tellapart.domains.text import NgramBag
from tellapart.errors import require_option
from tellapart.evaluation import Table, both_ways
from tellapart.objective import Terms, info_nce_terms
from tellapart.relations import Relation, same
from tellapart.runs import Embeddings, Gallery, Hit, Run, is_first_process, thumbnails
from tellapart.scores import unit
from tellapart.temperature import LearnedTemperature
from tellapart.training import Batches, TrainerOptions, check_training, name_from_root, timed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, UInt8

QUERY = '"cat face"'
OWN_DATA = "pictures, with a table of their texts"
_CHUNK = 256


@dataclass(frozen=True)
class Config:
    """Train picture and text encoders to find each other."""

    data: str = "openmoji"
    """"openmoji", or a folder with a table (or the table itself) of the columns image and text."""
    held_out: float = 0.25
    """Share of the pairs that training never sees and evaluation uses."""
    seed: int = 0
    """Decides which pairs are held out, the first weights, the order of the batches and all noise."""
    epochs: int = 60
    """How often every training pair is seen."""
    batch_size: int = 128
    """Pairs in one line-up at most: each picture has one text to find among so many, on each device."""
    learning_rate: float = 2e-3
    """Step size of AdamW at its peak."""
    weight_decay: float = 1.0
    """Pull of the weights towards zero."""
    temperature: float = 0.2
    """Where the learned temperature starts; it stays at 0.01 or above."""
    dim: int = 128
    """Length of the embeddings."""
    picture_size: int = 32
    """Side of the square to which pictures are shrunk, in pixels."""
    picture_width: int = 16
    """Channels of the picture encoder's first layer; the last has eight times as many."""
    text_buckets: int = 16384
    """Vectors for the hashed words and n-grams of the text encoder."""
    text_width: int = 256
    """Length of these vectors."""
    text_dropout: float = 0.5
    """Share of a text's words and n-grams that are left out at each step."""
    picture_jitter: float = 0.15
    """How far pictures are moved, turned (radians), scaled and faded at random, as a share; 0 for not at all."""

    def __post_init__(self) -> None:
        check_training(self)
        for name, most in (("dim", 2**14), ("picture_width", 2**10), ("text_width", 2**14)):
            value = getattr(self, name)
            require_option(name, 1 <= value <= most, f"lie between 1 and {most}", value)
        require_option("text_buckets", 1 <= self.text_buckets <= 2**24, f"lie between 1 and {2**24}", self.text_buckets)
        require_option("picture_size", 8 <= self.picture_size <= 1024, "lie between 8 and 1024", self.picture_size)
        require_option("temperature", self.temperature >= 0.01, "be at least 0.01", self.temperature)
        require_option("picture_jitter", 0 <= self.picture_jitter < 1, "lie between 0 and 1", self.picture_jitter)
        require_option("text_dropout", 0 <= self.text_dropout < 1, "lie between 0 and 1", self.text_dropout)
        name_from_root(self, "data")


class CLIP(nn.Module):
    """Two encoders into one space, and the temperature at which they are compared."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.picture_encoder = ConvNet(config.dim, config.picture_width)
            self.text_encoder = NgramBag(config.dim, config.text_buckets, config.text_width, config.text_dropout)
        self.picture_jitter = config.picture_jitter
        self.temperature = LearnedTemperature(config.temperature, minimum=0.01)

    @torch.no_grad()
    def embed_pictures(self, pictures: UInt8[Tensor, "n 3 size size"]) -> Float[Tensor, "n d"]:
        """Unit embeddings of pictures, in chunks."""
        return unit(torch.cat([self.picture_encoder(chunk) for chunk in pictures.split(_CHUNK)]).float())

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Unit embeddings of texts, in chunks."""
        chunks = [texts[i : i + _CHUNK] for i in range(0, len(texts), _CHUNK)]
        return unit(torch.cat([self.text_encoder(chunk) for chunk in chunks]).float())


def counterparts(pairs: Pairs) -> Relation:
    """Who is whose counterpart: pairs with the same text, or with the same picture."""
    return same(pairs.text_ids()) | same(pairs.picture_ids())


def terms(model: CLIP, batch: Pairs) -> Terms:
    """The objective: symmetric InfoNCE over the batch."""
    with timed("views"):
        seen = jitter(batch.pictures, model.picture_jitter)
    return info_nce_terms(
        model.picture_encoder(seen),
        model.text_encoder(batch.texts),
        positives=counterparts(batch),
        temperature=model.temperature(),
        symmetric=True,
        group=world(),
    )


def train(config: Config, run: Run, trainer: TrainerOptions) -> None:
    """Train into the run folder, from its checkpoint if it has one; then evaluate and fill the gallery.

    Raises:
        InputError: what is wrong with data, options or disk.
        Interrupted: the run was asked to stop; its state is saved.
    """
    pairs = load_pairs(config.data, config.picture_size)
    run.check_data(pairs.fingerprint())
    rows, held_out = split(pairs, config.held_out, config.seed)
    model = CLIP(config)
    if not run.is_trained():
        from tellapart.training.fit import Recipe, fit

        batches = Batches(len(rows), config.batch_size, config.epochs, config.seed)
        recipe = Recipe(config.learning_rate, config.weight_decay)
        fit(model, terms, batches, lambda index: pairs.rows(rows[index]), run, recipe, trainer)
        if not is_first_process():
            return
        run.save_weights(model)
        model = CLIP(config)  # trained in whatever precision, used in the usual one
    run.load_weights(model)
    is_out = torch.zeros(len(pairs), dtype=torch.bool).index_fill(0, held_out, True)
    vectors = model.embed_pictures(pairs.pictures), model.embed_texts(pairs.texts)
    Gallery(pairs.names, pairs.texts, is_out, *vectors, thumbnails(pairs.pictures, is_out)).save(run.gallery)
    _measure_held_out(config, run, model, pairs)


def evaluate(config: Config, run: Run, data: str | None) -> Table:
    """Retrieval among the run's held-out pairs, or among all pairs of other data, in both directions.

    Raises:
        InputError: the run is not trained, or the data missing, broken or changed.
    """
    model = CLIP(config)
    run.load_weights(model)
    pairs = load_pairs(data or config.data, config.picture_size)
    if data is not None:
        return measure(config, model, pairs, f"Retrieval among {len(pairs)} pairs of {data}")
    run.check_data(pairs.fingerprint())
    return _measure_held_out(config, run, model, pairs)


def embed(config: Config, run: Run, source: str) -> Embeddings:
    """Embed pictures, texts or both: unit vectors, comparable across kinds by their inner product.

    Raises:
        InputError: the run is not trained, or there is nothing in `source` that can be embedded.
    """
    model = CLIP(config)
    run.load_weights(model)
    items = load_items(source, config.picture_size)
    parts = [] if items.pictures is None else [model.embed_pictures(items.pictures)]
    parts += [model.embed_texts(items.texts)] if items.texts else []
    kinds = ["picture"] * len(items.names) + ["text"] * len(items.texts)
    return Embeddings(items.names + items.texts, kinds, torch.cat(parts))


def search(config: Config, run: Run, query: str, k: int) -> list[Hit]:
    """The k pictures of the run that match a text best, with their cosine similarity.

    Raises:
        InputError: the run is not trained.
    """
    model = CLIP(config)
    run.load_weights(model)
    return Gallery.load(run.gallery).best(model.embed_texts([query])[0], k)


def measure(config: Config, model: CLIP, pairs: Pairs, title: str) -> Table:
    """Guessing, the untrained and the trained model, side by side."""
    states = {"untrained": CLIP(config).eval(), "trained": model}
    embedded = {name: (m.embed_pictures(pairs.pictures), m.embed_texts(pairs.texts)) for name, m in states.items()}
    return both_ways(("picture", "text"), counterparts(pairs), embedded, title)


def _measure_held_out(config: Config, run: Run, model: CLIP, pairs: Pairs) -> Table:
    rows, held_out = split(pairs, config.held_out, config.seed)
    title = f"Retrieval among {len(held_out)} held-out pairs, after training on {len(rows)} others"
    table = measure(config, model, pairs.rows(held_out), title)
    run.save_results(table.as_dict())
    return table
