"""The usual optimizer: AdamW with a warm-up and half a cosine; of sparse gradients it moves only their rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

if TYPE_CHECKING:
    from tellapart.training.options import TrainingOptions

_WARM_UP = 0.05


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
    return optimizer, LambdaLR(optimizer, partial(_warm_up_then_cosine, n_steps=n_steps, begin=begin))


def _warm_up_then_cosine(step: int, n_steps: int, begin: int = 0) -> float:
    step += begin
    warm_up = min(1.0, (step + 1) / max(1.0, _WARM_UP * n_steps))
    return warm_up * (1 + math.cos(math.pi * step / n_steps)) / 2


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
