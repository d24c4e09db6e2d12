"""Pictures as data of a generator: measured by a judge, and shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from tellapart.domains.generated.measure import calibration, frechet_distance, kl_bound
from tellapart.domains.generated.mixture import kl_to_even
from tellapart.domains.generated.networks import PictureGenerator, picture_critic
from tellapart.domains.generated.players import Players
from tellapart.domains.generated.samples import PictureSamples, as_png, as_rows, enlarged
from tellapart.evaluation import Chart, Table
from tellapart.runs import Picture, PictureRows

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8
    from torch import Tensor

    from tellapart.domains.generated.options import GeneratorOptions

_LATENT = 64
_SEEN = 12
_DRAWN = 10_000
_SEED = 2
_LEAST_SHARE = 0.01


class Judge(Protocol):
    """What tells pictures apart: a network that was trained on the same pictures."""

    @property
    def n_classes(self) -> int | None:
        """How many labels it knows, if it was taught any."""

    @property
    def accuracy(self) -> float | None:
        """Its share of right labels of held-out pictures, if it knows labels."""

    def features(self, pictures: PictureRows) -> Float[Tensor, "n d"]:
        """Vectors; their distributions are compared."""

    def classes(self, pictures: PictureRows) -> Int[Tensor, " n"]:
        """The number of the label that each looks like; only if it knows labels."""


@dataclass(frozen=True, eq=False)
class PictureData:
    """Pictures for training and held out, and how to get a judge."""

    source: str
    training_pictures: PictureRows
    held_out: PictureRows
    make_judge: Callable[[], Judge]
    """Trains one on the training pictures: the same one each time."""

    @property
    def training(self) -> BytesAsShades:
        """Pictures to train on, in [−1, 1]."""
        return BytesAsShades(self.training_pictures)

    @property
    def unseen(self) -> BytesAsShades:
        """Pictures that training never sees, in [−1, 1]."""
        return BytesAsShades(self.held_out)

    def watch(self, _: Players) -> dict[str, float]:
        """Nothing: no figure of pictures is quick."""
        return {}

    def measure(self, before: Players, after: Players, scored: bool) -> Table:
        """Fréchet distances to held-out pictures, and which classes are drawn."""
        judge, n = self.make_judge(), min(_DRAWN, max(len(self.held_out), 2))
        target = judge.features(self.held_out[:_DRAWN])
        some = torch.randperm(len(self.training_pictures), generator=torch.Generator().manual_seed(_SEED))[:n]
        kinds = {
            "real, of training": self.training_pictures[some],
            "untrained": as_bytes(before.draw(n, _SEED)),
            "trained": as_bytes(after.draw(n, _SEED)),
        }
        header, formats = ["", "Fréchet distance"], ["", ".2f"]
        notes = [f"Fréchet distances of a judge's features of {n:,} pictures to those of held-out ones."]
        if judge.n_classes is not None:
            header += [f"classes above 1 %, of {judge.n_classes}", "reverse KL"]
            formats += [".0f", ".3f"]
            notes.append(
                f"The judge tells {judge.accuracy:.1%} of the held-out labels. Reverse KL is of its classes' shares."
            )
        rows: list[list[str | float]] = []
        for name, pictures in kinds.items():
            row: list[str | float] = [name, frechet_distance(judge.features(pictures), target)]
            if judge.n_classes is not None:
                shares = torch.bincount(judge.classes(pictures), minlength=judge.n_classes) / len(pictures)
                row += [int((shares > _LEAST_SHARE).sum()), kl_to_even(shares)]
            rows.append(row)
        charts: list[Chart] = []
        if scored:
            said = [after.scores(as_shades(part))[:, 0] for part in (self.held_out[:n], kinds["trained"])]
            n_each = min(map(len, said))
            notes.append(f"By the critic, KL(real‖generated) is at least {kl_bound(said[0], said[1]):.3f} nats.")
            charts = [calibration(said[0][:n_each], said[1][:n_each], None)]
        return Table(f"Generated pictures of {self.source}", header, rows, formats, notes, charts)

    def pictures(self, players: Players) -> list[Picture]:
        """What was drawn in the course of the training, and what is drawn now."""
        course = as_bytes(players.seen.flatten(0, 1))
        side, steps = course.shape[-1], ", ".join(map(str, players.seen_at.tolist()))
        rows = as_rows(course.numpy(), players.seen.shape[1])
        now = as_rows(as_bytes(players.draw(8 * _SEEN, _SEED)).numpy(), _SEEN)
        return [
            Picture(
                f"Generated of the same random vectors after steps {steps}, from above.", as_png(enlarged(rows, side))
            ),
            Picture("Generated after the training.", as_png(enlarged(now, side))),
        ]


@dataclass(frozen=True, eq=False)
class BytesAsShades:
    """Pictures as bytes, of which rows are read as shades in [−1, 1]."""

    pictures: PictureRows

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, rows: Int[Tensor, " k"]) -> Float[Tensor, "k c side side"]:
        return as_shades(self.pictures[rows])


def as_shades(pictures: UInt8[Tensor, "n c side side"]) -> Float[Tensor, "n c side side"]:
    """Bytes as numbers in [−1, 1].

    >>> as_shades(torch.tensor([0, 255], dtype=torch.uint8))
    tensor([-1.,  1.])
    """
    return pictures.float() / 127.5 - 1


def as_bytes(shades: Float[Tensor, "n c side side"]) -> UInt8[Tensor, "n c side side"]:
    """Numbers in [−1, 1] as bytes, on the CPU.

    >>> as_bytes(torch.tensor([-1.0, 1.0]))
    tensor([  0, 255], dtype=torch.uint8)
    """
    return ((shades.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu()


def make_picture_players(options: GeneratorOptions, outputs: int, side: int, channels: int) -> Players:
    """Both players of pictures, with new weights."""
    latent = options.latent or _LATENT
    generator = PictureGenerator(latent, options.width, side, channels)
    return Players(generator, picture_critic(options.width, outputs, side, channels), latent, _SEEN)


def picture_samples(shades: Float[Tensor, "n c side side"]) -> PictureSamples:
    """Generated pictures, as they are saved."""
    return PictureSamples(as_bytes(shades).numpy())
