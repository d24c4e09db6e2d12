"""One training of `gan.py`, in its own process: a `tellapart train gan`, perhaps with the losses of another game.

    python benchmarks/gan_run.py pairing train gan --data … --run …

`pairing` is the system as it is. `binary` is the non-saturating game (Goodfellow et al. 2014), `hinge` that of Lim & Ye
2017, `pacgan` the binary one with a critic of four examples at a time (Lin et al. 2018). Networks, optimizers, batches
and figures are the same for all; with `--penalty 0` none has a gradient penalty. There is no report.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from tellapart import api
from tellapart.cli import main as cli
from tellapart.domains.generated import MIXTURES, Commands, Players, picture_critic
from tellapart.systems import gan

_PACK = 4


def binary_critic(_: gan.Config, real: Tensor, generated: Tensor) -> Tensor:
    """Real or generated? Each example by itself."""
    return softplus(-real).mean() + softplus(generated).mean()


def binary_generator(_: gan.Config, __: Tensor, generated: Tensor) -> Tensor:
    """Non-saturating: generated examples are to pass for real ones."""
    return softplus(-generated).mean()


def hinge_critic(_: gan.Config, real: Tensor, generated: Tensor) -> Tensor:
    """Scores of real examples above 1, of generated ones below −1."""
    return relu(1 - real).mean() + relu(1 + generated).mean()


def hinge_generator(_: gan.Config, __: Tensor, generated: Tensor) -> Tensor:
    """Higher scores of generated examples."""
    return -generated.mean()


class Packed(nn.Module):
    """A critic of four points or pictures at a time; those of a batch that are left over are dropped."""

    def __init__(self, critic: nn.Module) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, examples: Tensor) -> Tensor:
        """A score for each four."""
        packs = examples[: len(examples) // _PACK * _PACK]
        # Points: eight coordinates. Pictures: four times the channels.
        said: Tensor = self.critic(packs.reshape(len(packs) // _PACK, _PACK * packs.shape[1], *packs.shape[2:]))
        return said


def make_packed(self: Commands, config: gan.Config, run: gan.Run) -> Players:
    """Players with a critic of four at a time."""
    players = make_model(self, config, run)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if config.data in MIXTURES:
            assert isinstance(players.critic, nn.Sequential)
            critic: nn.Module = nn.Sequential(nn.Linear(2 * _PACK, players.critic[0].out_features), *players.critic[1:])
        else:
            critic = picture_critic(config.width, 1, run.noted("side"), _PACK * run.noted("channels"))
    players.critic = Packed(critic)
    return players


GAMES: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "pairing": (gan.critic_loss, gan.generator_loss),
    "binary": (binary_critic, binary_generator),
    "hinge": (hinge_critic, hinge_generator),
    "pacgan": (binary_critic, binary_generator),
}
make_model = Commands.make_model

if __name__ == "__main__":
    game, *words = sys.argv[1:]
    gan.critic_loss, gan.generator_loss = GAMES[game]
    if game != "pairing":  # scores of other games are no log density ratios of the same kind
        gan.readings = lambda *_: {}
        Commands._measure = lambda _, finished, data: data.measure(finished.untrained, finished.model, False)  # type: ignore[method-assign]
    if game == "pacgan":
        Commands.make_model = make_packed  # type: ignore[method-assign, assignment]
    api.trained.write_report = lambda run, *_, **__: run.report
    sys.exit(cli(words))
