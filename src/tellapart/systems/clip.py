"""CLIP: pictures and texts in one space, each finding the other.

A picture is to find its counterpart in a line-up of the batch's texts, and a text in one of the pictures:

    L = (L_pictures + L_texts) / 2,    L_pictures = mean_i [ log Σ_j exp(u_i·v_j / τ) − mean over p of u_i·v_p / τ ]

with u and v the pictures' and texts' embeddings at length 1, τ learned, and p the texts of the
picture; L_texts the same with the roles exchanged.

Departs from the paper (Radford et al. 2021, https://arxiv.org/abs/2103.00020, §2 and figure 3):
 1. Pairs with the same text or the same picture are each other's positives, not negatives.
 2. The encoders are small and trained from nothing, a residual network and a bag of hashed n-grams; or they are models
    of `transformers` or `timm` from a folder, of which one may be locked (LiT, Zhai et al. 2022,
    https://arxiv.org/abs/2111.07991, §3), with a linear layer behind each.
 3. Batches are split evenly, so that no small last batch has fewer negatives.
 4. The temperature is bounded where its gradient is taken, not clipped after the step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from tellapart.distributed import world
from tellapart.domains import pictures
from tellapart.domains.pictures import Backbone, ConvNet, ImageShape, PairDataset, PairOptions, Pairs, jitter_for
from tellapart.domains.text import NgramBag, PretrainedText, text_encoder
from tellapart.errors import require_option
from tellapart.objective import Terms, info_nce_terms
from tellapart.planning import PlannedLoss
from tellapart.pretrained import Tower
from tellapart.progress import each
from tellapart.relations import Relation, same
from tellapart.runs import FinishedRun, PictureRows, Run, TensorEncoder, stacked
from tellapart.scores import unit
from tellapart.systems.contract import System
from tellapart.temperature import LearnedTemperature
from tellapart.training import TermsStep, TrainerOptions, begin, fit, name_from_root, timed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch.distributed import ProcessGroup

_CHUNK, _CHANNELS = 256, 3
_CONVNET, _BAG = "convnet", "bag"


@dataclass(frozen=True)
class Config(PairOptions):
    """Train picture and text encoders to find each other."""

    epochs: int = 60
    learning_rate: float = 2e-3
    weight_decay: float = 1.0
    temperature: float = 0.2
    """Where the learned temperature starts; it stays at 0.01 or above."""
    dim: int = 128
    """Length of the embeddings."""
    picture_width: int = 16
    """Channels of the picture encoder's first layer; the last has eight times as many."""
    text_buckets: int = 16384
    """Vectors for the hashed words and n-grams of the text encoder."""
    text_width: int = 256
    """Length of these vectors."""
    text_dropout: float = 0.5
    """Share of a text's words and n-grams that are left out at each step."""
    picture_encoder: str = _CONVNET
    """"convnet", or a local folder with an image model of transformers or timm, such as a ViT."""
    text_encoder: str = _BAG
    """"bag", or a local folder with a text model of transformers and its tokeniser, such as a BERT."""
    locked: Literal["none", "picture", "text", "both"] = "none"
    """Which of two such models training leaves as it is, but for a linear layer behind it; others are tuned."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, most in (("dim", 2**14), ("picture_width", 2**10), ("text_width", 2**14)):
            value = getattr(self, name)
            require_option(name, 1 <= value <= most, f"lie between 1 and {most}", value)
        require_option("text_buckets", 1 <= self.text_buckets <= 2**24, f"lie between 1 and {2**24}", self.text_buckets)
        require_option("temperature", self.temperature >= 0.01, "be at least 0.01", self.temperature)
        require_option("text_dropout", 0 <= self.text_dropout < 1, "lie between 0 and 1", self.text_dropout)
        for side, ours in (("picture", _CONVNET), ("text", _BAG)):
            if getattr(self, f"{side}_encoder") != ours:
                name_from_root(self, f"{side}_encoder")
                continue
            must = f"leave the {ours} to be trained: it begins at random"
            require_option("locked", not self.locks(side), must, self.locked)

    def locks(self, side: str) -> bool:
        """Whether the encoder of pictures or texts stays as it is."""
        return self.locked in (side, "both")


class CLIP(nn.Module):
    """Two encoders into one space, and the temperature at which they are compared."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.picture_encoder = _picture_encoder(config)
            self.text_encoder = _text_encoder(config)
        self.temperature = LearnedTemperature(config.temperature, minimum=0.01)

    @torch.no_grad()
    def embed_pictures(self, pictures: PictureRows) -> Float[Tensor, "n d"]:
        """Unit embeddings of pictures, in chunks."""
        parts = (self.picture_encoder(chunk) for chunk in each(pictures.split(_CHUNK)))
        return unit(stacked(parts, len(pictures)).float())

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Unit embeddings of texts, in chunks."""
        chunks = [texts[i : i + _CHUNK] for i in range(0, len(texts), _CHUNK)]
        return unit(stacked((self.text_encoder(chunk) for chunk in each(chunks)), len(texts)).float())


def _picture_encoder(config: Config) -> nn.Module:
    if config.picture_encoder == _CONVNET:
        return ConvNet(config.dim, config.picture_width)
    return Tower(Backbone(config.picture_encoder, _CHANNELS), config.dim, locked=config.locks("picture"))


def _text_encoder(config: Config) -> nn.Module:
    if config.text_encoder == _BAG:
        return NgramBag(config.dim, config.text_buckets, config.text_width, config.text_dropout)
    return Tower(PretrainedText(config.text_encoder), config.dim, locked=config.locks("text"))


def compare(
    pictures: Float[Tensor, "n d"],
    texts: Float[Tensor, "n d"],
    positives: Relation,
    temperature: Float[Tensor, ""] | float,
    group: ProcessGroup | None = None,
) -> Terms:
    """The objective: symmetric InfoNCE over the batch."""
    return info_nce_terms(pictures, texts, positives=positives, temperature=temperature, symmetric=True, group=group)


def terms(model: CLIP, batch: Pairs) -> Terms:
    """The objective of a batch."""
    embedded = model.picture_encoder(batch.pictures), model.text_encoder(batch.texts)
    return compare(*embedded, batch.matches(), model.temperature(), world())


def plan(batch: int, _: int) -> PlannedLoss:
    """`batch` pairs, no two of which share picture or text."""
    alike = same(ids := torch.arange(batch)) | same(ids)
    negatives = "all other texts of the batch; for a text, all other pictures"
    return PlannedLoss.of_pairs(batch, lambda u, v, tau: compare(u, v, alike, tau), negatives, encoded="pictures")


def train(config: Config, run: Run, trainer: TrainerOptions) -> None:
    """Train into a run folder, from its checkpoint if it has one; then evaluate and fill the gallery."""
    begin(run, "clip", config, trainer)
    data = PairDataset.load(config, run)
    change = jitter_for(data.kind, config.picture_size, config.picture_jitter)

    def prepare(_: CLIP, batch: Pairs) -> Pairs:
        with timed("views"):
            return replace(batch, content=change(batch.pictures))

    step = TermsStep(CLIP(config), terms, config, prepare=prepare)
    fit(step, data.batches(), data.training, run, trainer, step.held_out(len(data.held_out), data.unseen))
    commands.finish(config, run, data)


commands = pictures.commands_for_pairs(CLIP)


def encoders(finished: FinishedRun) -> dict[str, TensorEncoder]:
    """What embeds pictures, and what embeds texts."""
    model, shape = finished.model, ImageShape(finished.config.picture_size, _CHANNELS)
    tower = model.text_encoder
    texts = (tower.encoder, tower.head) if isinstance(tower, Tower) else (tower, None)
    return {"picture": pictures.picture_encoder(model.picture_encoder, shape), "text": text_encoder(*texts)}


system = System(
    Config,
    train,
    commands.make_model,
    own_data="pictures, with a table of their texts",
    evaluate=commands.evaluate,
    embed=commands.embed,
    search=commands.search,
    ask=commands.ask,
    cluster=pictures.cluster_with(commands),
    grouped_into=pictures.GROUPED_INTO,
    encoders=encoders,
    query='"cat face"',
    plan=plan,
)
