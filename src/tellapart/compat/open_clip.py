"""open_clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from tellapart.compat.common import inverse
from tellapart.errors import requirement
from tellapart.objective import info_nce

if TYPE_CHECKING:
    from jaxtyping import Float


class OpenClipLoss(nn.Module):
    """open_clip's `ClipLoss`: `L = ½ (L_images + L_texts)` with logits `logit_scale · image·text`.

    As in the peer, features are not normalised here: do it before. `logit_bias` adds the same number to every
    logit, which cancels in the softmax. It changes nothing and gets no gradient (the peer's is 0).
    Not here: `local_loss`, `gather_with_grad`, `cache_labels`, `rank`, `world_size`, `use_horovod`.

    Raises:
        ValueError: `logit_scale` is not positive, or as `info_nce`.

    Source: Radford et al. 2021 (CLIP), fig. 3.

    >>> import torch
    >>> OpenClipLoss()(torch.eye(2), torch.eye(2), 1.0)  # log(1 + e⁻¹)
    tensor(0.3133)
    """

    def forward(
        self,
        image_features: Float[Tensor, "n d"],
        text_features: Float[Tensor, "n d"],
        logit_scale: float | Float[Tensor, ""] | Float[Tensor, " 1"],
        logit_bias: Tensor | None = None,  # noqa: ARG002
        output_dict: bool = False,
    ) -> Float[Tensor, ""] | dict[str, Float[Tensor, ""]]:
        """The mean of both directions, or `{"contrastive_loss": …}` of it."""
        if image_features.shape != text_features.shape:
            must = f"have the shape of `image_features`, {tuple(image_features.shape)}"
            raise ValueError(requirement("text_features", must, f"shape {tuple(text_features.shape)}"))
        temperature = inverse("logit_scale", logit_scale)
        loss = info_nce(image_features, text_features, score="dot", temperature=temperature, symmetric=True)
        return {"contrastive_loss": loss} if output_dict else loss
