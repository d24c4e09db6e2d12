"""The temperature τ, which always divides: `logits = score / τ`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from tellapart._traced import is_sharded
from tellapart.errors import requirement

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

_ROUNDING = 1e-6


def cosine_schedule(step: float, period: float, *, low: float, high: float) -> float:
    """A temperature that oscillates between two bounds, `τ(t) = low + (high − low)·(1 + cos 2πt/T) / 2`.

    A high τ favours groups, a low τ separates the members of a group. Pass the value as `temperature` at each step.

    Args:
        step: t, in steps or epochs; τ is `high` at 0 and `low` half a period later.
        period: T, in the same unit.
        low: the smallest τ.
        high: the largest.

    Raises:
        ValueError: not `0 < low <= high`, or a period that is not positive.

    Source: Kukleva et al. 2023 (temperature schedules for long-tailed data).

    >>> [round(cosine_schedule(t, 4, low=0.1, high=0.5), 3) for t in range(5)]
    [0.5, 0.3, 0.1, 0.3, 0.5]
    """
    if not 0 < low <= high < math.inf:
        raise ValueError(requirement("low", f"be positive and at most `high`, {high}", low))
    if not period > 0:
        raise ValueError(requirement("period", "be positive", period))
    return low + (high - low) * (1 + math.cos(2 * math.pi * step / period)) / 2


class LearnedTemperature(nn.Module):
    """A temperature that is trained, `τ = exp(clamp(log τ))`, within `[minimum, maximum]`.

    `log τ` is the parameter, so τ stays positive and steps are relative. At a bound the gradient is blocked only if
    a step would lead further out. So τ can leave a bound again, and the training loop need not clamp after its step.
    An optimizer's momentum may carry the parameter, though never τ, beyond a bound; inward gradients bring it back.
    The default minimum is CLIP's `1/τ ≤ 100`.

    Source: Radford et al. 2021, §2.5 (its `logit_scale` is `−log τ`).

    Raises:
        ValueError: not `0 < minimum <= initial <= maximum`, or an initial τ that is not finite.

    >>> LearnedTemperature(0.07)().item()
    0.07...
    """

    def __init__(self, initial: float = 0.07, *, minimum: float = 0.01, maximum: float = math.inf) -> None:
        super().__init__()
        if not 0 < minimum <= initial <= maximum or math.isinf(initial):
            must = f"be finite and lie between minimum {minimum} > 0 and maximum {maximum}"
            raise ValueError(requirement("initial", must, initial))
        self.minimum, self.maximum = minimum, maximum
        # One entry and not none: FSDP shards parameters along their first dimension.
        self.log_temperature = nn.Parameter(torch.tensor([math.log(initial)]))

    def forward(self) -> Float[Tensor, ""]:
        """The current τ, a 0-d tensor through which gradients reach `log τ`."""
        log_temperature: Tensor = self.log_temperature
        if is_sharded(log_temperature):
            log_temperature = log_temperature.full_tensor()
        bounds = math.log(self.minimum), math.log(self.maximum)
        # A forward derivative does not know which way a step would lead.
        is_forward = forward_ad._current_level >= 0
        bounded: Tensor = log_temperature.clamp(*bounds) if is_forward else _Bounded.apply(log_temperature, *bounds)
        return bounded.exp().reshape(())

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Load also what was saved when the parameter was a scalar."""
        saved = state_dict.get(prefix + "log_temperature")
        if saved is not None and not saved.ndim:
            state_dict[prefix + "log_temperature"] = saved.reshape(1)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def at_bound(self) -> bool:
        """Whether τ is at one of its bounds.

        >>> LearnedTemperature(0.01, minimum=0.01).at_bound(), LearnedTemperature(0.07).at_bound()
        (True, False)
        """
        return bool(self.is_at_bound())

    def is_at_bound(self) -> Bool[Tensor, ""]:
        """The same as a tensor, which the host need not wait for.

        >>> LearnedTemperature(0.01, minimum=0.01).is_at_bound()
        tensor(True)
        """
        tau: Tensor = self().detach()
        return (tau <= self.minimum * (1 + _ROUNDING)) | (tau >= self.maximum * (1 - _ROUNDING))

    def extra_repr(self) -> str:
        """The current value and its bounds, for `print`."""
        return f"{self().item():.4g}, minimum={self.minimum:g}, maximum={self.maximum:g}"


class _Bounded(torch.autograd.Function):
    """Clamp that blocks a gradient only where descent would lead further out."""

    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, low: float, high: float) -> Tensor:
        return value.clamp(low, high)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float, float], output: Tensor) -> None:  # noqa: ARG004
        value, ctx.low, ctx.high = inputs
        ctx.save_for_backward(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (value,) = ctx.saved_tensors
        outward = ((value <= ctx.low) & (gradient > 0)) | ((value >= ctx.high) & (gradient < 0))
        return gradient.masked_fill(outward, 0), None, None
