"""Both players, the generator's running average, and what it drew in the course of the training."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_SEEN, _CHUNK = 6, 1000


class Players(nn.Module):
    """A generator and a critic. What draws is `averaged`, the running average of the generator's weights.

    Drawn from the same latent vectors again and again, `seen` shows the training's course; it is saved with the model.

    Args:
        generator: `(n, latent)` to examples.
        critic: examples to `(n, outputs)`.
        latent: the length of random vectors.
        n_seen: how many examples of the course are kept each time.
    """

    of_its_data = ("seen", "seen_at")

    seen: Float[Tensor, "times n ..."]
    seen_at: Int[Tensor, " times"]
    latents: Float[Tensor, "n latent"]

    def __init__(self, generator: nn.Module, critic: nn.Module, latent: int, n_seen: int) -> None:
        super().__init__()
        self.generator, self.critic, self.latent = generator, critic, latent
        self.averaged = copy.deepcopy(generator).requires_grad_(False)
        self.register_buffer("latents", torch.randn(n_seen, latent))
        with torch.no_grad():
            first = generator(self.latents)
        self.register_buffer("seen", torch.zeros(_SEEN, *first.shape))
        self.register_buffer("seen_at", torch.zeros(_SEEN, dtype=torch.long))

    def generate(self, n: int, averaged: bool = False) -> Float[Tensor, "n ..."]:
        """n examples of the generator or of its average, by torch's random numbers and with a gradient."""
        latents = torch.randn(n, self.latent, device=self.latents.device, dtype=self.latents.dtype)
        made: Tensor = (self.averaged if averaged else self.generator)(latents)
        return made

    @torch.no_grad()
    def draw(self, n: int, seed: int) -> Float[Tensor, "n ..."]:
        """n examples of the averaged generator: the first n of a series that the seed decides."""
        random = torch.Generator().manual_seed(seed)
        # Always whole chunks: what `randn` draws first depends on how many it draws.
        latents = [torch.randn(_CHUNK, self.latent, generator=random)[: n - at] for at in range(0, n, _CHUNK)]
        return torch.cat([self.averaged(part.to(self.latents)) for part in latents])

    @torch.no_grad()
    def scores(self, examples: Float[Tensor, "n ..."]) -> Float[Tensor, "n outputs"]:
        """What the critic says of examples."""
        return torch.cat([self.critic(part) for part in examples.to(self.latents).split(_CHUNK)])

    @torch.no_grad()
    def follow(self, share: float, step: int, n_steps: int) -> None:
        """After a step: let the average keep `share` of itself, at first less, and perhaps keep what it draws."""
        towards = max(1 - share, 1 / (step + 1))
        for slow, fast in zip(self.averaged.parameters(), self.generator.parameters(), strict=True):
            slow.lerp_(fast, towards)
        for place in range(_SEEN):
            if step == shown_at(place, n_steps):
                self.seen[place] = self.averaged(self.latents)
                self.seen_at[place] = step


def shown_at(place: int, n_steps: int) -> int:
    """The step after which the course's examples of a place are drawn: the first, the last, and more early than late.

    >>> [shown_at(place, 1000) for place in range(6)]
    [1, 40, 160, 360, 640, 1000]
    """
    return max(1, round(n_steps * (place / (_SEEN - 1)) ** 2))
