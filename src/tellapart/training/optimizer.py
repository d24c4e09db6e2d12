"""The usual optimizer, AdamW with a schedule of its step size; of sparse gradients it moves only their rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart.training.options import TrainingOptions

Shape = Literal["cosine", "linear", "constant"]
WARM_UP = 0.05
"""The usual share of the steps in which the step size rises."""


def usual_optimizer(
    model: nn.Module,
    options: TrainingOptions,
    n_steps: int,
    betas: tuple[float, float] = (0.9, 0.999),
    begin: int = 0,
) -> tuple[LazyAdamW, LambdaLR]:
    """AdamW over the weights of a model, with a linear warm-up over 5 % of the steps, then half a cosine to 0.

    Weight decay is for matrices; biases, norms and temperatures are left alone. Of the steps, `begin` are done already.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = LazyAdamW([g for g in groups if g["params"]], lr=options.learning_rate, betas=betas)
    return optimizer, LambdaLR(optimizer, partial(rate, n_steps=n_steps, begin=begin))


def scheduled(optimizer: Optimizer, n_steps: int, shape: Shape, warm_up: float) -> LambdaLR:
    """A schedule for an optimizer of any kind, in the place of the one that it may have."""
    return LambdaLR(optimizer, partial(rate, n_steps=n_steps, shape=shape, warm_up=warm_up))


def rate(step: int, n_steps: int, shape: Shape = "cosine", warm_up: float = WARM_UP, begin: int = 0) -> float:
    """The share of the peak of the step size at a step, counted from 0.

    It rises linearly over the share `warm_up` of the steps. It is multiplied by a `shape` that falls from 1 to 0 over
    all steps, along half a cosine or linearly, or stays constant. Of the steps, `begin` are done already.

    >>> [round(rate(step, 100, "linear", warm_up=0.1), 2) for step in (0, 9, 50, 99)]
    [0.1, 0.91, 0.5, 0.01]
    """
    step += begin
    rise = min(1.0, (step + 1) / max(1.0, warm_up * n_steps))
    if shape == "cosine":
        return rise * (1 + math.cos(math.pi * step / n_steps)) / 2
    return rise * (1 - step / n_steps) if shape == "linear" else rise


def clip(weights: Sequence[Tensor], most: float, length: Float[Tensor, ""]) -> None:
    """Shorten a gradient of this length to at most `most`, in place; its direction stays.

    >>> weight = nn.Parameter(torch.zeros(2))
    >>> weight.grad = torch.tensor([3.0, 4.0])
    >>> clip([weight], most=1.0, length=torch.tensor(5.0))
    >>> weight.grad
    tensor([0.6000, 0.8000])
    """
    factor = torch.where(length > most, most / length, 1.0)
    for weight in weights:
        if weight.grad is not None:
            weight.grad.mul_(factor)


class LazyAdamW(torch.optim.AdamW):
    """AdamW; of a parameter with a sparse gradient, rows without one stay as they are, and so do their moments.

    The moments of a row decay when it has a gradient, not at every step, and the bias of both is corrected by the count
    of all steps, as `torch.optim.SparseAdam` does. The weights of such a row do not decay: it would move all of them.

    >>> bag = torch.nn.EmbeddingBag(5, 2, sparse=True)
    >>> optimizer, before = LazyAdamW(bag.parameters(), lr=0.1), bag.weight.detach().clone()
    >>> bag(torch.tensor([[1, 3]])).sum().backward()
    >>> optimizer.step()
    >>> (bag.weight != before).any(dim=1).tolist()
    [False, True, False, True, False]
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; of dense gradients as AdamW does it."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        sparse = []
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    self._move_rows(parameter, group)
                    sparse.append((parameter, parameter.grad))
                    parameter.grad = None  # for AdamW, which takes none that is sparse
        super().step()
        for parameter, gradient in sparse:
            parameter.grad = gradient
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Also the moments of a temperature that were saved when its parameter was a scalar."""
        super().load_state_dict(state_dict)
        for parameter, state in self.state.items():
            for name in {"exp_avg", "exp_avg_sq"} & state.keys():
                state[name] = state[name].reshape(parameter.shape)

    def _move_rows(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        assert parameter.grad is not None
        gradient, (first, second) = parameter.grad.coalesce(), group["betas"]
        rows, values, step = gradient.indices()[0], gradient.values(), state["step"].item()
        mean = state["exp_avg"][rows].lerp_(values, 1 - first)
        square = state["exp_avg_sq"][rows].mul_(second).addcmul_(values, values, value=1 - second)
        state["exp_avg"][rows], state["exp_avg_sq"][rows] = mean, square
        length = group["lr"] * math.sqrt(1 - second**step) / (1 - first**step)
        parameter.index_add_(0, rows, mean.div_(square.sqrt_().add_(group["eps"])), alpha=-length)
