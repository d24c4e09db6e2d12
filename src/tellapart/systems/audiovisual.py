"""Audiovisual: a sound and the picture of the same moment find each other, though the clocks disagree.

A sound is to find its counterpart in a line-up of pictures: the one of the same event. Recorder and camera write down
when they worked, but their clocks differ by an error of standard deviation σ, so the counterpart is not known. The
clocks are its prior, and stand inside the logarithm:

    L = (L_sounds + L_pictures) / 2,    L_sounds = −mean_i log ( Σ_j w_ij p_ij / Σ_j w_ij )
    w_ij = exp(−(t_i − δ − u_j)² / 2σ²),    p_ij = softmax_j (s_i·v_j / τ)

with s and v the embeddings of sounds and pictures at length 1, t and u their times, δ how far the recorder's clock is
ahead, and τ learned; L_pictures the same with the roles exchanged. Only one of the pictures that the clocks allow has
to be found, and the embeddings decide which: this is the likelihood of a mixture. `--clock learned` fits δ, one for
each recorder, and σ, too, by EM (`domains/sound/clock.py`).

A batch is a block of time. Its pictures reach beyond it by a margin, or sounds at its ends would miss theirs.

Departs from the paper on MIL-NCE (Miech et al. 2020, https://arxiv.org/abs/1912.06430, eq. 1):
 1. The candidates have weights by their times, where MIL-NCE counts all within a stretch of time alike. For that choose
    `--positives within`: all pictures within 2σ, but for a constant of each query.
 2. Clocks may be wrong, and are learned. There narration and video have one clock.
 3. Each direction has a softmax of its own, where the paper has both in one denominator.
 4. `--positives nearest` believes the clocks, and `--multi_positive out` asks for all pictures at once in the shares w
    (soft targets). They are here to be compared with.
 5. The encoders are small and trained from nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from tellapart.distributed import world
from tellapart.domains import sound
from tellapart.domains.picture_files import SUFFIXES
from tellapart.domains.pictures import ConvNet, jitter, read_whole
from tellapart.domains.sound import (
    Block,
    Clips,
    Dataset,
    Moments,
    PictureFiles,
    Recorders,
    SoundNet,
    SoundOptions,
    frames_in,
)
from tellapart.errors import require_option
from tellapart.objective import Terms, info_nce_terms
from tellapart.relations import Relation, gaussian, listed, within
from tellapart.runs import PictureRows, Run
from tellapart.scores import unit
from tellapart.systems.contract import System
from tellapart.temperature import LearnedTemperature
from tellapart.training import TermsStep, TrainerOptions, begin, fit, timed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float
    from torch.distributed import ProcessGroup

_CHUNK = 256
FILES = PictureFiles(read_whole, SUFFIXES)


@dataclass(frozen=True)
class Config(SoundOptions):
    """Train sound and picture encoders to find each other by the time of recording."""

    epochs: int = 24
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    temperature: float = 0.05
    """Where the learned temperature starts; it stays at 0.01 or above."""
    positives: Literal["gaussian", "within", "nearest"] = "gaussian"
    """Which pictures may be a sound's: by the Gaussian of the clocks' error, all within two sigma, or the nearest."""
    multi_positive: Literal["in", "out"] = "in"
    """Whether one of them has to be found ("in"), or all at once, in the shares of their weights ("out")."""
    dim: int = 64
    """Length of the embeddings."""
    picture_width: int = 8
    """Channels of the picture encoder's first layer; the last has eight times as many."""
    sound_width: int = 8
    """Channels of the sound encoder's first layer; the last has four times as many."""
    picture_jitter: float = 0.1
    """How far pictures are moved, turned (radians), scaled and faded at random, as a share; 0 for not at all."""
    noise: float = 0.4
    """Loudness of the white noise in sounds, as a share: 1 for up to the sound's own, 0 for none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, most in (("dim", 2**14), ("picture_width", 2**10), ("sound_width", 2**10)):
            value = getattr(self, name)
            require_option(name, 1 <= value <= most, f"lie between 1 and {most}", value)
        require_option("temperature", self.temperature >= 0.01, "be at least 0.01", self.temperature)
        require_option("picture_jitter", 0 <= self.picture_jitter < 1, "lie between 0 and 1", self.picture_jitter)
        require_option("noise", 0 <= self.noise <= 1, "lie between 0 and 1", self.noise)
        is_prior = self.positives == "gaussian" and self.multi_positive == "in"
        must = 'be known unless the positives are "gaussian" and "in": only these are a prior'
        require_option("clock", is_prior or not self.is_learned(), must, self.clock)


class AudioVisual(nn.Module):
    """Two encoders into one space, the temperature at which they are compared, and the clocks."""

    of_its_data = ("clock",)

    def __init__(self, config: Config, recorders: Recorders) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.sound_encoder = SoundNet(config.dim, config.sound_width)
            self.picture_encoder = ConvNet(config.dim, config.picture_width)
        self.temperature = LearnedTemperature(config.temperature, minimum=0.01)
        self.clock = recorders.clock(config)

    @torch.no_grad()
    def embed_sounds(self, clips: Clips) -> Float[Tensor, "n d"]:
        """Unit embeddings of the middle of each clip, in chunks."""
        n_frames, rows = frames_in(self.config.seconds), torch.arange(len(clips)).split(_CHUNK)
        return unit(torch.cat([self.sound_encoder(clips.rows(some).middle(n_frames)) for some in rows]).float())

    @torch.no_grad()
    def embed_pictures(self, shown: PictureRows) -> Float[Tensor, "n d"]:
        """Unit embeddings of pictures, in chunks."""
        return unit(torch.cat([self.picture_encoder(chunk) for chunk in shown.split(_CHUNK)]).float())


def belonging(
    config: Config, sound_times: Float[Tensor, " n"], picture_times: Float[Tensor, " m"], sigma: float
) -> Relation:
    """Which pictures may be a sound's, and how likely each is by the clocks; the sounds' times are corrected."""
    if config.positives == "gaussian":
        return gaussian(sound_times, picture_times, sigma)
    if config.positives == "within":
        return within(sound_times, picture_times, 2 * sigma)
    return listed((sound_times[:, None] - picture_times).abs().argmin(dim=1))


def compare(
    sounds: Float[Tensor, "n d"],
    shown: Float[Tensor, "m d"],
    positives: Relation,
    temperature: Float[Tensor, ""] | float,
    multi_positive: str = "in",
    group: ProcessGroup | None = None,
) -> Terms:
    """The objective: symmetric InfoNCE over the block, with the clocks' weights inside the logarithm."""
    return info_nce_terms(
        *(sounds, shown),
        positives=positives,
        temperature=temperature,
        multi_positive=multi_positive,
        symmetric=True,
        group=group,
    )


def terms(model: AudioVisual, batch: Moments) -> Terms:
    """The objective of a batch."""
    config = model.config
    with timed("views"):
        seen = jitter(batch.pictures, config.picture_jitter)
    times = model.clock.corrected(batch.sound_times, batch.recorders)
    positives = belonging(config, times, batch.picture_times, model.clock.sigma)
    embedded = model.sound_encoder(batch.sounds), model.picture_encoder(seen)
    return compare(*embedded, positives, model.temperature(), config.multi_positive, world())


def observe(model: AudioVisual, batch: Moments, found: Terms) -> Mapping[str, Tensor | float]:
    """A step of EM on the clocks, and where they are."""
    model.clock.learn(found, batch.sound_times, batch.recorders, batch.picture_times)
    return {"clock_offset": model.clock.offsets().mean(), "clock_width": model.clock.sigma}


def train(config: Config, run: Run, trainer: TrainerOptions) -> None:
    """Train into a run folder, from its checkpoint if it has one; then evaluate and fill the gallery."""
    is_wide = trainer.precision != "bf16-true" or not config.is_learned()
    require_option("trainer.precision", is_wide, "not be bf16-true: clocks need more digits", trainer.precision)
    begin(run, "audiovisual", config, trainer)
    data = Dataset.load(FILES, config, run)

    def prepare(_: AudioVisual, block: Block) -> Moments:
        with timed("views"):
            return data.moments(block, config.noise)

    step = TermsStep(
        AudioVisual(config, data.recorders),
        terms,
        config,
        prepare=prepare,
        observe=observe if config.is_learned() else None,
    )
    held_out = step.held_out(len(data.unseen), data.unseen_block, in_blocks=True)
    fit(step, data.batches(), data.block, run, trainer, held_out)
    commands.finish(config, run, data)


commands = sound.commands_for(AudioVisual, FILES)
system = System(
    Config,
    train,
    commands.make_model,
    own_data="sounds and pictures with the times of their recording, in a folder",
    evaluate=commands.evaluate,
    embed=commands.embed,
    search=commands.search,
    ask=commands.ask,
    cluster=commands.cluster,
    query="SOUND.wav",
)
