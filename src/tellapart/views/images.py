"""Views of pictures, made for a whole batch at once on the device where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from torch import Tensor


def jitter(pictures: UInt8[Tensor, "n 3 h w"], strength: float) -> UInt8[Tensor, "n 3 h w"]:
    """Move, turn, scale and fade each picture at random; what comes in from outside is white.

    Each picture gets its own shift (share of the side), angle (radians), change of scale and of the ink
    (shares), all uniform in ±`strength`. With strength 0 the pictures stay as they are.

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
