"""Listens to the attention of a model, and tells each head's energies and what it looks for.

    with attention(model) as heard:
        model(tokens)
    for head in heard.heads():
        print(head.layer, head.number, head.effective_keys, head.losses["induction"])

Each call of `F.scaled_dot_product_attention` is heard; the model computes what it computes without it.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from tellapart.diagnostics.energy import Energies, energies
from tellapart.diagnostics.targets import token_targets

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

SATURATED_KEYS = 1.01
UNIFORM_SHARE = 0.99


@dataclass(frozen=True, eq=False)
class Heard:
    """One call of attention: the energies of all its heads, and the loss of each against each target."""

    layer: str
    """The module that called it, as `named_modules` names it."""
    energies: Energies
    """Of shape `(sequences, heads, queries, keys)`."""
    losses: dict[str, Float[Tensor, "batch heads n"]]
    """`−log` of the share that each target has, in nats; NaN where there is no such key."""
    blind: dict[str, Float[Tensor, "batch heads n"]]
    """The same of equal shares."""
    real: Bool[Tensor, "batch 1 n"]
    """Which queries are tokens, and not padding."""


@dataclass(frozen=True)
class Head:
    """One head, on average over the queries; energies, entropy and losses in nats."""

    layer: str
    number: int
    energy: float
    """`U`, the mean of `−q·k/√d` under the shares."""
    free_energy: float
    """`F = U − H = −log Z`."""
    entropy: float
    effective_keys: float
    """`exp H`, of queries with at least two keys."""
    evenness: float
    """`H / log(number of keys)`, in [0, 1], of queries with at least two keys."""
    losses: Mapping[str, float]
    """`−log` of the share of each target, of the queries that have it; NaN if none has."""
    masses: Mapping[str, float]
    """The share of each target."""
    blind: Mapping[str, float]
    """The losses of equal shares."""

    @property
    def warning(self) -> str:
        """What is to be warned of: "saturated" or "uniform", or "".

        Saturated: one key has all the weight, and hardly a gradient comes back. Uniform: all keys have the same weight.
        """
        if self.effective_keys < SATURATED_KEYS:
            return "saturated"
        return "uniform" if self.evenness > UNIFORM_SHARE else ""


class Attention:
    """What was heard of a model's attention. Made by `attention`."""

    def __init__(self) -> None:
        self.calls: list[Heard] = []
        self.missed: list[str] = []
        """Modules that compute attention in a way that cannot be heard, with their classes."""
        self.tokens: Int[Tensor, "batch n"] | None = None
        self.mask: Tensor | None = None

    def heads(self) -> list[Head]:
        """All heads, in the order in which they were computed."""
        return [_head(heard, number) for heard in self.calls for number in range(heard.energies.logits.shape[1])]

    def hear(
        self,
        layer: str,
        query: Float[Tensor, "*batch n d"],
        key: Float[Tensor, "*batch m d"],
        value: Tensor,  # noqa: ARG002 - the arguments of scaled_dot_product_attention
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,  # noqa: ARG002
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> None:
        """Note one call of `scaled_dot_product_attention`, with its arguments."""
        query, key = (_of_heads(x) for x in (query, key))
        if enable_gqa:
            key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
        n, m = query.shape[-2], key.shape[-2]
        exclude = torch.ones(n, m, dtype=torch.bool, device=query.device).triu(1) if is_causal else None
        bias = None
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            exclude = ~attn_mask
        elif attn_mask is not None:
            # A mask of the dtype's least number excludes, too.
            bias = attn_mask.masked_fill(attn_mask <= torch.finfo(attn_mask.dtype).min, -torch.inf)
        temperature = math.sqrt(query.shape[-1]) if scale is None else 1 / scale
        found = energies(query, key, temperature=temperature, exclude=exclude, bias=bias)
        targets = self._targets(len(query), n, m)
        losses = {name: found.loss(target) for name, target in targets.items()}
        blind = {name: found.blind_loss(target) for name, target in targets.items()}
        self.calls.append(Heard(layer, found, losses, blind, self._real(len(query), n, query.device)))

    def _targets(self, batch: int, n: int, m: int) -> dict[str, Bool[Tensor, "batch 1 n m"]]:
        """The targets, if queries and keys are the tokens that the model was given."""
        if self.tokens is None or self.tokens.shape != (batch, m) or n != m:
            return {}
        return {name: target[:, None] for name, target in token_targets(self.tokens).items()}

    def _real(self, batch: int, n: int, device: torch.device) -> Bool[Tensor, "batch 1 n"]:
        if self.mask is not None and self.mask.shape == (batch, n):
            return self.mask[:, None] > 0
        return torch.ones(batch, 1, n, dtype=torch.bool, device=device)


@contextmanager
def attention(model: nn.Module) -> Iterator[Attention]:
    """Listen to the attention of a model while the block runs.

    Energies are those of the softmax over keys before dropout, without gradient, of every head by itself; grouped
    queries count as heads. Tokens are what the model gets as `input_ids`, or its first argument of integers. They
    decide the targets: "previous", the token before; "same", other places of the same token; "induction", the token
    after an earlier place of the same token. Padding (`attention_mask` is 0) is left out of the heads' means.

    Whole matrices are kept, of 4 bytes for each head, query and key: pass one text, and not a training's batch.

    Args:
        model: any module with the attention `F.scaled_dot_product_attention`; of transformers, a model with
            `attn_implementation="sdpa"`, the usual one.

    Warns:
        UserWarning: modules named attention that never called it, such as flash, flex or eager ones.

    Source: energies: Ramsauer et al. 2020; induction heads: Olsson et al. 2022.
    """
    heard, stack = Attention(), _Stack(model)
    mode = _Listener(lambda *arguments, **named: heard.hear(stack.enter_call(), *arguments, **named))
    with ExitStack() as hooks:
        hooks.callback(model.register_forward_pre_hook(partial(_note_tokens, heard), with_kwargs=True).remove)
        for handle in stack.listen():
            hooks.callback(handle.remove)
        with mode:
            yield heard
    heard.missed = stack.missed()
    if heard.missed or not heard.calls:
        named = f"{', '.join(heard.missed[:3])}{' …' * (len(heard.missed) > 3)}" if heard.missed else "the model"
        what = f"{named}: computes attention without F.scaled_dot_product_attention, and was not heard."
        warnings.warn(f"{what} Load it with attn_implementation='sdpa', in eval mode.", stacklevel=3)


class _Listener(TorchFunctionMode):
    """Tells every call of attention before it is made."""

    def __init__(self, tell: Callable[..., None]) -> None:
        self.tell = tell

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is scaled_dot_product_attention:
            with torch.no_grad():
                self.tell(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


class _Stack:
    """Which modules are at work, and which of those named attention have never called it."""

    def __init__(self, model: nn.Module) -> None:
        self.names = {module: name for name, module in model.named_modules()}
        self.at_work: list[nn.Module] = []
        self.ran: dict[nn.Module, bool] = {}

    def listen(self) -> Iterator[Any]:
        for module in self.names:
            yield module.register_forward_pre_hook(self._enter)
            yield module.register_forward_hook(self._leave, always_call=True)

    def enter_call(self) -> str:
        """The name of the module that calls, which with all around it has now called."""
        self.ran.update(dict.fromkeys(self.at_work, True))
        return self.names[self.at_work[-1]] if self.at_work else ""

    def missed(self) -> list[str]:
        silent = [module for module, called in self.ran.items() if not called and _is_attention(module)]
        innermost = [m for m in silent if not any(m is not other and other in set(m.modules()) for other in silent)]
        return [f"{self.names[module] or 'the model'} ({type(module).__name__})" for module in innermost]

    def _enter(self, module: nn.Module, _: Any) -> None:
        self.at_work.append(module)
        self.ran.setdefault(module, False)

    def _leave(self, *_: Any) -> None:
        self.at_work.pop()


def _is_attention(module: nn.Module) -> bool:
    return "attention" in type(module).__name__.lower()


def _note_tokens(heard: Attention, model: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Note the tokens and the mask of padding among a model's arguments."""
    try:
        bound = inspect.signature(model.forward).bind(*args, **named).arguments
    except TypeError:
        return  # the model's own complaint is better
    given = {**bound, **bound.get("kwargs", {})}
    tokens = given.get(
        "input_ids", next((x for x in args if isinstance(x, Tensor) and not x.is_floating_point()), None)
    )
    heard.tokens = tokens if isinstance(tokens, Tensor) and tokens.ndim == 2 else None
    heard.mask = given.get("attention_mask")


def _of_heads(x: Float[Tensor, "*batch n d"]) -> Float[Tensor, "batch heads n d"]:
    """Of other ranks than 4: without heads one, of more batch dimensions all in one."""
    x = x.detach()
    if x.ndim < 4:
        x = x.unsqueeze(-3)
    return x.reshape(-1, *x.shape[-3:])


def _head(heard: Heard, number: int) -> Head:
    found = Energies(heard.energies.logits[:, number])
    real = heard.real[:, 0] & (found.n_candidates > 0)
    several = real & (found.n_candidates > 1)

    def mean(values: Tensor, of: Tensor = real) -> float:
        kept = values[of & ~values.isnan()]
        return kept.mean().item() if len(kept) else math.nan

    log_n = found.n_candidates.clamp(min=2).to(found.logits.dtype).log()
    losses = {name: loss[:, number] for name, loss in heard.losses.items()}
    return Head(
        heard.layer,
        number,
        energy=mean(found.mean_energy),
        free_energy=mean(found.free_energy),
        entropy=mean(found.entropy),
        effective_keys=mean(found.effective_candidates, several),
        evenness=mean(found.entropy / log_n, several),
        losses={name: mean(loss) for name, loss in losses.items()},
        masses={name: mean((-loss).exp()) for name, loss in losses.items()},
        blind={name: mean(blind[:, number]) for name, blind in heard.blind.items()},
    )
