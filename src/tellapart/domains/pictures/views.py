"""Random views of pictures, a batch at a time: crop, flip, turn, colour and blur, as of SimCLR."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tellapart.errors import InputError, requirement

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

_SIGMA = (0.1, 2.0)


class Augment(nn.Module):
    """Random views of pictures, a batch at a time, drawn independently for each view and picture.

    A view is a random rectangle of the picture, resized to `size`. It may then be mirrored, turned, changed in
    brightness, contrast, saturation and hue, made grey, and blurred. Of grey pictures only brightness and contrast
    change.
    All randomness comes from torch's default generator.

    Args:
        size: side of the views, in pixels. Larger pictures are sampled, not averaged: shrink them when loading.
        channels: the pictures' channels, 1 or 3.
        crop: least and largest area of the rectangle, as shares of the picture; its aspect ratio lies between 3:4
            and 4:3.
        flip: probability of the mirror image.
        turn: probability of a turn by one, two or three quarters of a circle.
        jitter: strength of the change of brightness, contrast and saturation, each by up to 80 % times this, and of
            hue, by up to 20 % of its circle times this. Their order is drawn anew for each batch.
        jitter_chance: probability of that change.
        grey: probability that the view loses its colours.
        blur: probability of a Gaussian blur with a deviation of 0.1 to 2 pixels and a kernel of a tenth of the side.

    Raises:
        InputError: `kornia` is missing.
        ValueError: an argument out of range.

    Source: Chen et al. 2020 (SimCLR, https://arxiv.org/abs/2002.05709), appendix A; the defaults are those of
    appendix B.9 for small pictures. Large ones take `jitter=1` and `blur=0.5` there.

    >>> first, second = Augment(size=8, channels=1)(torch.zeros(4, 1, 9, 9, dtype=torch.uint8))
    >>> first.shape, first.dtype
    (torch.Size([4, 1, 8, 8]), torch.float32)
    """

    def __init__(
        self,
        size: int,
        channels: int,
        *,
        crop: tuple[float, float] = (0.08, 1.0),
        flip: float = 0.5,
        turn: float = 0.0,
        jitter: float = 0.5,
        jitter_chance: float = 0.8,
        grey: float = 0.2,
        blur: float = 0.0,
    ) -> None:
        super().__init__()
        _require("size", size >= 2, "be at least 2", size)
        _require("channels", channels in (1, 3), "be 1 or 3", channels)
        _require("crop", 0 < crop[0] <= crop[1] <= 1, "be two shares, 0 < least <= largest <= 1", crop)
        _require("jitter", 0 <= jitter <= 1.25, "lie in [0, 1.25]", jitter)
        chances = {"flip": flip, "turn": turn, "jitter_chance": jitter_chance, "grey": grey, "blur": blur}
        for name, chance in chances.items():
            _require(name, 0 <= chance <= 1, "lie in [0, 1]", chance)
        self.size, self.channels = size, channels
        self.steps = _steps(size, channels == 3, crop, jitter, chances)

    @torch.no_grad()
    def forward(
        self, pictures: UInt8[Tensor, "n c h w"] | Float[Tensor, "n c h w"], n_views: int = 2
    ) -> tuple[Float[Tensor, "n c size size"], ...]:
        """`n_views` views of each picture, in [0, 1]; the pictures are bytes, or floating-point in [0, 1].

        Raises:
            ValueError: pictures with another number of channels.
        """
        shape = tuple(pictures.shape)
        _require("pictures", len(shape) == 4 and shape[1] == self.channels, f"be (n, {self.channels}, h, w)", shape)
        shades = pictures if pictures.is_floating_point() else pictures.float() / 255
        views: tuple[Tensor, ...] = self.steps(shades.repeat(n_views, 1, 1, 1)).clamp(0, 1).split(len(pictures))
        return views


def _steps(
    size: int, in_colour: bool, crop: tuple[float, float], jitter: float, chances: dict[str, float]
) -> nn.Sequential:
    """The transforms, without those of probability 0."""
    try:
        from kornia import augmentation
    except ImportError as error:
        remedy = "pip install 'tellapart[views]'"
        raise InputError(f"views of pictures: the package {error.name} is missing. {remedy}.") from error
    colours = (0.8 * jitter, 0.2 * jitter) if in_colour else (0.0, 0.0)
    kernel = max(3, size // 10 | 1)  # odd
    steps = {
        # One warp for the batch; cutting out each rectangle takes twice as long.
        "crop": augmentation.RandomResizedCrop((size, size), scale=crop, cropping_mode="resample"),
        "flip": augmentation.RandomHorizontalFlip(p=chances["flip"]),
        "turn": augmentation.RandomRotation90((1, 3), p=chances["turn"]),
        "jitter": augmentation.ColorJitter(0.8 * jitter, 0.8 * jitter, *colours, p=chances["jitter_chance"]),
        "grey": augmentation.RandomGrayscale(p=chances["grey"]),
        "blur": augmentation.RandomGaussianBlur((kernel, kernel), _SIGMA, p=chances["blur"]),
    }
    wanted = {
        "crop": True,
        "flip": chances["flip"] > 0,
        "turn": chances["turn"] > 0,
        "jitter": jitter > 0 and chances["jitter_chance"] > 0,
        "grey": in_colour and chances["grey"] > 0,
        "blur": chances["blur"] > 0,
    }
    return nn.Sequential(*(step for name, step in steps.items() if wanted[name]))


def _require(parameter: str, holds: bool, must: str, got: object) -> None:
    if not holds:
        raise ValueError(requirement(parameter, must, got))
