"""open_clip: `from tellapart.compat.open_clip import ClipLoss`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from tellapart.compat.common import inverse
from tellapart.distributed import world
from tellapart.errors import requirement
from tellapart.objective import info_nce

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["ClipLoss", "OpenClipLoss"]


class OpenClipLoss(nn.Module):
    """open_clip's `ClipLoss`: `L = ½ (L_images + L_texts)` with logits `logit_scale · image·text`.

    As in the peer, features are not normalised here: do it before. `logit_bias` adds the same number to every
    logit, which cancels in the softmax: it changes nothing, and its gradient is 0.

    With `world_size > 1` the loss is shared among all processes, and the gradient is the exact one of all their
    features, whatever `local_loss` and `gather_with_grad` are. The peer's is half of it on two ranks by default. Each
    process returns its share: the mean over processes is the loss.

    Args:
        local_loss: how the peer divides the work; here it is always divided.
        gather_with_grad: whether the peer's gradient reaches the features of other processes; here it always does.
        cache_labels: whether the peer keeps its labels; here there are none.
        rank: this process, known from the group.
        world_size: how many processes share the loss.
        use_horovod: False.

    Raises:
        ValueError: `use_horovod`; a world of another size than `torch.distributed` has; `logit_scale` that is not
            positive, or as `info_nce`.

    Source: Radford et al. 2021 (CLIP), fig. 3.

    >>> import torch
    >>> OpenClipLoss()(torch.eye(2), torch.eye(2), 1.0)  # log(1 + e⁻¹)
    tensor(0.3133)
    """

    def __init__(
        self,
        local_loss: bool = False,
        gather_with_grad: bool = False,
        cache_labels: bool = False,
        rank: int = 0,
        world_size: int = 1,
        use_horovod: bool = False,
    ) -> None:
        super().__init__()
        if use_horovod:
            raise ValueError(requirement("use_horovod", "be False: processes meet through torch.distributed", True))
        self.local_loss, self.gather_with_grad, self.cache_labels = local_loss, gather_with_grad, cache_labels
        self.rank, self.world_size, self.use_horovod = rank, world_size, use_horovod

    def forward(
        self,
        image_features: Float[Tensor, "n d"],
        text_features: Float[Tensor, "n d"],
        logit_scale: float | Float[Tensor, ""] | Float[Tensor, " 1"],
        logit_bias: Tensor | None = None,
        output_dict: bool = False,
    ) -> Float[Tensor, ""] | dict[str, Float[Tensor, ""]]:
        """The mean of both directions, or `{"contrastive_loss": …}` of it."""
        if image_features.shape != text_features.shape:
            must = f"have the shape of `image_features`, {tuple(image_features.shape)}"
            raise ValueError(requirement("text_features", must, f"shape {tuple(text_features.shape)}"))
        group = world() if self.world_size > 1 else None
        if self.world_size != (1 if group is None else group.size()):
            must = "be the number of processes of torch.distributed, which is initialised first"
            raise ValueError(requirement("world_size", must, self.world_size))
        temperature = inverse("logit_scale", logit_scale)
        loss = info_nce(
            *(image_features, text_features), score="dot", temperature=temperature, symmetric=True, group=group
        )
        if isinstance(logit_bias, Tensor) and logit_bias.requires_grad:
            loss = loss + 0 * logit_bias.sum()  # Data parallelism waits for a gradient, if only of 0.
        return {"contrastive_loss": loss} if output_dict else loss


ClipLoss = OpenClipLoss
