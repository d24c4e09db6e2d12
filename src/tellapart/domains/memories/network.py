"""Two encoders: of what asks, and of what is asked for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tellapart.domains.memories.options import MemoryOptions, Side, Sides
from tellapart.errors import require_option
from tellapart.scores import unit
from tellapart.temperature import LearnedTemperature

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped

_AT_ONCE = 2048


class Memory(nn.Module):
    """An encoder of queries, one of keys, and the temperature at which they are compared."""

    def __init__(self, options: MemoryOptions, sides: Sides, temperature: float) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            self.queries = _Encoder(options, sides.queries)
            self.keys = _Encoder(options, sides.keys)
        self.temperature = LearnedTemperature(temperature, minimum=0.01)

    @torch.no_grad()
    def embed_queries(self, items: Shaped[Tensor, "n *query"]) -> Float[Tensor, "n d"]:
        """Unit vectors of what asks."""
        return torch.cat([unit(self.queries(part)) for part in items.split(_AT_ONCE)]).cpu()

    @torch.no_grad()
    def embed_keys(self, items: Shaped[Tensor, "n *key"]) -> Float[Tensor, "n d"]:
        """Unit vectors of what is asked for."""
        return torch.cat([unit(self.keys(part)) for part in items.split(_AT_ONCE)]).cpu()


class _Encoder(nn.Module):
    """Items, standardised by one mean and one deviation, to vectors."""

    def __init__(self, options: MemoryOptions, side: Side) -> None:
        super().__init__()
        self.mean, self.deviation = side.mean, side.deviation
        n, width, dim = math.prod(side.shape), options.width, options.dim
        if options.encoder == "linear":
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(n, dim))
            return
        first: nn.Module = nn.Flatten()
        if options.encoder == "conv":
            first = _Convolution(side.shape, options.channels)
            n = first.dim
        hidden = (_hidden(n, width, options.dropout), _hidden(width, width, options.dropout))
        self.body = nn.Sequential(first, *hidden, nn.Linear(width, dim))

    def forward(self, items: Shaped[Tensor, "n *shape"]) -> Float[Tensor, "n d"]:
        weight = next(self.parameters())
        vectors: Tensor = self.body((items.to(weight.device, weight.dtype) - self.mean) / self.deviation)
        return vectors


def _hidden(n: int, width: int, dropout: float) -> nn.Module:
    return nn.Sequential(nn.Linear(n, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout))


class _Convolution(nn.Module):
    """Three 3×3 convolutions, the last two on halved sides; the places are kept, for where an edge ends matters."""

    def __init__(self, shape: tuple[int, ...], channels: int) -> None:
        super().__init__()
        must = "be linear or mlp: a convolution takes pictures, (n, h, w) or (n, c, h, w) of 4 pixels or more a side"
        require_option("encoder", len(shape) in (2, 3) and min(shape[-2:]) >= 4, must, f"conv for items of {shape}")
        c = shape[0] if len(shape) == 3 else 1
        self.stages = nn.Sequential(
            _convolve(c, channels), _Halve(), _convolve(channels, 2 * channels), _Halve(),
            _convolve(2 * channels, 4 * channels), nn.Flatten(),
        )  # fmt: skip
        height, width = ((side + 3) // 4 for side in shape[-2:])
        self.dim = 4 * channels * height * width

    def forward(self, pictures: Float[Tensor, "n *shape"]) -> Float[Tensor, "n dim"]:
        maps: Tensor = self.stages(pictures if pictures.ndim == 4 else pictures[:, None])
        return maps


def _convolve(n: int, m: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(n, m, 3, padding=1), nn.GroupNorm(1, m), nn.GELU())


class _Halve(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(maps, 2, ceil_mode=True)
