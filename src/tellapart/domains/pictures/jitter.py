"""Small changes of pictures that have texts, which must stay true: one for drawings on white, one for photographs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from tellapart import reading
from tellapart.domains.pictures.views import Augment

if TYPE_CHECKING:
    from jaxtyping import Int, UInt8

    from tellapart.runs import PictureRows

Kind = Literal["auto", "drawing", "photograph"]
_SEEN, _WHITE = 256, 250
_LEAST_CROP = 0.08


def kind_of(pictures: PictureRows, kind: Kind = "auto") -> Kind:
    """What pictures are: "auto" takes them for drawings if white is most of the border of most, and says so.

    >>> kind_of(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    'photograph'
    """
    if kind != "auto":
        return kind
    found: Kind = "drawing" if _are_on_white(pictures[_spread(len(pictures))]) else "photograph"
    other = "photograph" if found == "drawing" else "drawing"
    reading.note(f"Training changes each picture a little as a {found} (--picture_kind {other} if it is one).")
    return found


def jitter_for(kind: Kind, side: int, strength: float) -> Callable[[Tensor], Tensor]:
    """The change that suits pictures: `jitter` for drawings, for photographs `photograph_jitter`; none if it is 0.

    Raises:
        InputError: they are photographs, and `kornia` is missing.
    """
    if strength == 0:
        return lambda batch: batch
    return (lambda batch: jitter(batch, strength)) if kind == "drawing" else photograph_jitter(side, strength)


def _spread(n: int) -> Int[Tensor, " k"]:
    return torch.arange(n)[:: max(1, n // _SEEN)]


def _are_on_white(pictures: UInt8[Tensor, "n 3 h w"]) -> bool:
    white = (pictures >= _WHITE).all(dim=1)
    sides = torch.cat([white[:, 0], white[:, -1], white[:, :, 0], white[:, :, -1]], dim=1)
    return bool((sides.double().mean(dim=1) > 0.5).double().mean() > 0.5)


def photograph_jitter(side: int, strength: float) -> Callable[[Tensor], Tensor]:
    """Cut out most of each picture, and change its colours; no pixel is invented at the border.

    The part cut out has at least `1 − 2 · strength` of the area. Brightness, contrast and saturation change by up to
    `strength`, as a share, and hue by a quarter of it, as a share of its circle. Pictures are not mirrored: texts may
    say left or right.

    Args:
        side: of the pictures, in pixels.
        strength: a share, below 1.

    Raises:
        InputError: `kornia` is missing.
    """
    crop = (max(_LEAST_CROP, 1 - 2 * strength), 1.0)
    # `Augment` changes brightness by 0.8, and hue by 0.2, times its own strength.
    augment = Augment(side, 3, crop=crop, flip=0, jitter=strength / 0.8, jitter_chance=1, grey=0)

    def changed(batch: UInt8[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n 3 h w"]:
        (view,) = augment(batch, n_views=1)
        rounded: UInt8[Tensor, "n 3 h w"] = (255 * view).round().to(torch.uint8)
        return rounded

    return changed


def jitter(pictures: UInt8[Tensor, "n 3 h w"], strength: float) -> UInt8[Tensor, "n 3 h w"]:
    """Move, turn, scale and fade each picture at random; new pixels at the border are white.

    Each picture gets its own shift (share of the side), angle (radians), change of scale and of the ink
    (shares), all uniform in ±`strength`. With strength 0 the pictures are unchanged.

    >>> jitter(torch.full((2, 3, 8, 8), 255, dtype=torch.uint8), 0.2).min().item()  # white stays white
    255
    """
    if strength == 0:
        return pictures
    n, device = len(pictures), pictures.device
    shift_x, shift_y, angle, scale, ink_change = strength * (
        2 * torch.rand(5, n, dtype=torch.float32, device=device) - 1
    )
    cosine, sine = angle.cos() * (1 + scale), angle.sin() * (1 + scale)
    # affine_grid measures in half sides, hence twice the shift.
    maps = torch.stack([cosine, -sine, 2 * shift_x, sine, cosine, 2 * shift_y], dim=1).reshape(n, 2, 3)
    grid = nn.functional.affine_grid(maps, list(pictures.shape), align_corners=False)
    ink = nn.functional.grid_sample(255 - pictures.float(), grid, align_corners=False)
    moved: Tensor = 255 - ink * (1 + ink_change)[:, None, None, None]
    return moved.clamp(0, 255).round().to(torch.uint8)
