"""A picture encoder as a function of tensors, for `export`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tellapart.domains.pictures.given import as_pictures
from tellapart.domains.pictures.options import ImageShape
from tellapart.runs import FinishedRun, TensorEncoder, Unit

if TYPE_CHECKING:
    from torch import nn


def picture_encoder(encoder: nn.Module, shape: ImageShape) -> TensorEncoder:
    """Pictures of a shape to unit embeddings.

    Args:
        encoder: takes `UInt8[Tensor, "n c side side"]`.
        shape: side and channels.
    """
    side, channels = shape
    example = np.arange(2 * side * side * channels, dtype=np.uint8).reshape(2, channels, side, side)
    return TensorEncoder(
        Unit(encoder),
        inputs={"pictures": f"uint8 (n, {channels}, {side}, {side}), from 0 to 255"},
        read=lambda given: (as_pictures(given, shape).pictures,),
        example=example,
    )


def network_encoders(finished: FinishedRun) -> dict[str, TensorEncoder]:
    """What embeds pictures in a run of which the model has a `Network` as `network`, without its projection head."""
    return {"picture": picture_encoder(finished.model.network.encoder, ImageShape.noted(finished.run))}
