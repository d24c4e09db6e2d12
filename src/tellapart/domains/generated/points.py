"""Points of a mixture as data of a generator: drawn, measured and shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.domains.generated.measure import calibration, kl_bound, log_kernel_density
from tellapart.domains.generated.mixture import MIXTURES, PROTOCOL, Mixture
from tellapart.domains.generated.networks import point_critic, point_generator
from tellapart.domains.generated.players import Players
from tellapart.domains.generated.samples import PointSamples, as_png, draw_points
from tellapart.errors import InputError
from tellapart.evaluation import Chart, Table
from tellapart.runs import Picture

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from tellapart.domains.generated.options import GeneratorOptions

_POINTS = 125_000  # a fifth of which is held out, unless it is said otherwise
_LATENT = 2
_SEEN, _DENSE = 500, 20_000
_FAR = 10.0  # nats
_WATCH_SEED, _MEASURE_SEED, _DENSE_SEED = 1, 2, 3


@dataclass(frozen=True)
class PointData:
    """A mixture's points, for training and held out."""

    options: GeneratorOptions
    name: str

    @property
    def mixture(self) -> Mixture:
        """What the points are drawn from."""
        return MIXTURES[self.name]

    @cached_property
    def _drawn(self) -> tuple[Tensor, Tensor]:
        n_out = max(2, round(self.options.held_out * _POINTS))
        points = self.mixture.draw(_POINTS, self.options.seed)
        return points[n_out:], points[:n_out]

    @property
    def training(self) -> Float[Tensor, "n 2"]:
        """Points to train on, of unit size."""
        return self._drawn[0] / self.mixture.scale

    @property
    def unseen(self) -> Float[Tensor, "m 2"]:
        """Points that training never sees, of unit size."""
        return self.held_out / self.mixture.scale

    @property
    def held_out(self) -> Float[Tensor, "m 2"]:
        """Points that training never sees, as they are."""
        return self._drawn[1]

    def watch(self, players: Players) -> dict[str, float]:
        """How well generated points cover the modes, for the log."""
        quality = self.mixture.quality(self._made(players, PROTOCOL, _WATCH_SEED))
        return {name: float(value) for name, value in quality._asdict().items()}

    def measure(self, before: Players, after: Players, scored: bool) -> Table:
        """PacGAN's figures of held-out, untrained and trained points; what the critic's scores are worth."""
        made = self._made(after, PROTOCOL, _MEASURE_SEED)
        rows: list[list[str | float]] = [
            [name, *self.mixture.quality(points)]
            for name, points in (
                ("real, held out", self.held_out[:PROTOCOL]),
                ("untrained", self._made(before, PROTOCOL, _MEASURE_SEED)),
                ("trained", made),
            )
        ]
        title = f"Generated points of {self.name}, {PROTOCOL:,} of each kind"
        header = ["", f"modes, of {len(self.mixture.means)}", "within 3σ", "reverse KL"]
        notes = ["A mode is found if a point lies within 3σ of its mean. Reverse KL is of the shares per nearest mode."]
        charts: list[Chart] = []
        if scored:
            told, chart = self._scores(after)
            notes, charts = [*notes, *told], [chart]
        return Table(title, header, rows, ["", ".0f", ".3f", ".4f"], notes, charts)

    def pictures(self, players: Players) -> list[Picture]:
        """What was drawn in the course of the training."""
        real = self.held_out[:PROTOCOL].numpy()
        steps = players.seen_at.tolist()
        drawn = [draw_points(points, real) for points in (players.seen * self.mixture.scale).numpy()]
        rows = [np.concatenate(drawn[i : i + 3], axis=1) for i in range(0, len(drawn), 3)]
        caption = (
            f"Generated points in blue, over real ones in grey, after steps {', '.join(map(str, steps))}, row by row."
        )
        return [Picture(caption, as_png(np.concatenate(rows)))]

    def _scores(self, players: Players) -> tuple[list[str], Chart]:
        real, made = self.held_out[:PROTOCOL], self._made(players, PROTOCOL, _MEASURE_SEED)
        said = [players.scores(points / self.mixture.scale)[:, 0] for points in (real, made)]
        # Both densities after the same noise: then that of the samples can be told, and the mixture's is exact.
        both, width = torch.cat([real, made]), self.mixture.sigma
        known = self.mixture.log_density(both, width)
        known -= log_kernel_density(both, self._made(players, _DENSE, _DENSE_SEED), width)
        known = known.clamp(-_FAR, _FAR)  # where one of the two is nowhere near, noise decides
        scores = torch.cat(said)
        correlation = float(torch.corrcoef(torch.stack([scores, known]))[0, 1])
        notes = [
            f"By the critic, KL(real‖generated) is at least {kl_bound(said[0], said[1]):.3f} nats.",
            f"Correlation of its scores with log p_r/p_g, blurred by σ and at most ±{_FAR:g}: {correlation:.2f}.",
        ]
        return notes, calibration(said[0], said[1], known)

    def _made(self, players: Players, n: int, seed: int) -> Float[Tensor, "n 2"]:
        return players.draw(n, seed).cpu() * self.mixture.scale


def make_point_players(options: GeneratorOptions, outputs: int) -> Players:
    """Both players of points, with new weights."""
    latent = options.latent or _LATENT
    generator = point_generator(latent, options.width)
    return Players(generator, point_critic(options.width, outputs), latent, _SEEN)


def point_samples(name: str, points: Float[Tensor, "n 2"]) -> PointSamples:
    """Generated points of a mixture, as they are saved."""
    mixture = MIXTURES[name]
    return PointSamples((points * mixture.scale).numpy(), mixture.draw(PROTOCOL, 0).numpy())


def check_mixture(name: str, own: str) -> str:
    """A name of a mixture, to measure a run of points on.

    Raises:
        InputError: it is none.
    """
    if name not in MIXTURES:
        listed = " or ".join(MIXTURES)
        raise InputError(f"data: a generator of {own}'s points is measured on {listed}. Got {name}.")
    return name
