"""Encode a large batch with the activations of only one chunk in memory.

    queries = chunked(encoder, pictures, chunk=256)      # all 8192 embeddings, no activations
    info_nce(queries, keys).backward()                   # chunk by chunk once more, with gradients

The loss sees the whole batch, so its gradient is exact. It costs a second forward pass. Each parameter gets its
gradient once a step, so that data-parallel training reduces it once.

On Linux without an accelerator, set `MALLOC_MMAP_THRESHOLD_=1048576` in the environment. Otherwise the C
library's heap fragments between chunks (see benchmarks/gradient_cache.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import copy
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tellapart.errors import requirement

if TYPE_CHECKING:
    from jaxtyping import Float


def chunked(encoder: Callable[[Any], Tensor], inputs: Any, *, chunk: int | Sequence[int]) -> Float[Tensor, "n d"]:
    """`encoder(inputs)`, with only one chunk's activations in memory at a time, forward and backward.

    In the backward pass each chunk is encoded again, with the same random numbers (dropout) and the same autocast.
    The encoder has to treat rows independently: batch norm in training, for example, sees a chunk and not the batch.
    Running statistics of a module are updated once. With `SharedBatchNorm` all processes need the same number of
    chunks.

    Args:
        encoder: a module or function of a batch.
        inputs: the whole batch as the encoder takes it. A tensor or array is split along its first dimension, a list
            is a batch of items of any kind and size, and of a tuple, a mapping (such as a `BatchEncoding`) or a
            dataclass each part is split. Parts without rows (numbers, texts, `None`) go to every chunk.
        chunk: the number of rows encoded at a time, or those of each chunk in turn.

    Raises:
        TypeError: inputs that have no rows.
        ValueError: a chunk below 1, or chunks that do not add up to all rows; parts that differ in their number of
            rows; an encoder that does not return one embedding per row.

    Source: Gao et al. 2021 (GradCache), §3; the memory, by Chen et al. 2016 (checkpointing).

    >>> weight = torch.ones(2, 2, requires_grad=True)
    >>> chunked(lambda x: x @ weight, torch.eye(3, 2), chunk=2).sum().backward()
    >>> weight.grad
    tensor([[1., 1.],
            [1., 1.]])
    """
    n, parts, start = _n_rows(inputs), [], 0
    for size in _sizes(chunk, n):
        part, start = _rows(inputs, slice(start, start + size)), start + size
        encoded: Tensor = checkpoint(
            encoder, part, use_reentrant=False, context_fn=lambda: (nullcontext(), _statistics_kept(encoder))
        )
        if len(encoded) != size:
            must = f"return one embedding for each of {size} rows (an item of a list is one, a part of a tuple has n)"
            raise ValueError(requirement("encoder", must, len(encoded)))
        parts.append(encoded)
    return torch.cat(parts)


def _sizes(chunk: int | Sequence[int], n: int) -> list[int]:
    """The number of rows of each chunk; of no rows there is one that is empty."""
    if isinstance(chunk, (int, np.integer)):
        size = int(chunk)
        sizes = [size] * (n // size) + [n % size] * (n % size > 0) if size > 0 else [size]
    else:
        sizes = list(chunk)
    if any(size < 1 for size in sizes):
        raise ValueError(requirement("chunk", "be at least 1", chunk))
    if sum(sizes) != n:
        raise ValueError(requirement("chunk", f"add up to {n} rows", sum(sizes)))
    return sizes or [0]


def _n_rows(inputs: object) -> int:
    """How many rows a batch has.

    Raises:
        TypeError: it has none.
        ValueError: its parts have different numbers of them.
    """
    found: dict[str, int] = {}
    _count(inputs, "inputs", found)
    if not found:
        must = "be a tensor, an array or a list of n items, or a tuple, mapping or dataclass of these"
        raise TypeError(requirement("inputs", must, type(inputs).__name__))
    if len(set(found.values())) > 1:
        counts = ", ".join(f"{name}: {n}" for name, n in found.items())
        raise ValueError(requirement("inputs", "have as many rows in all parts", counts))
    return next(iter(found.values()))


def _count(inputs: object, name: str, found: dict[str, int]) -> None:
    """Enter the number of rows of each part, by its name."""
    if _has_rows(inputs):
        found[name] = len(inputs)
    for key, part in _parts(inputs):
        _count(part, f"{name}[{key!r}]", found)


def _rows(inputs: Any, rows: slice) -> Any:
    """Some rows of a batch, in a container of its own kind."""
    if _has_rows(inputs):
        return inputs[rows]
    chosen = {key: _rows(part, rows) for key, part in _parts(inputs)}
    if not chosen:
        return inputs
    if isinstance(inputs, tuple):
        return type(inputs)(*chosen.values()) if hasattr(inputs, "_fields") else tuple(chosen.values())
    if not isinstance(inputs, Mapping):
        return replace(inputs, **chosen)
    if not isinstance(inputs, MutableMapping):
        return chosen
    result: MutableMapping[Any, Any] = copy(inputs)  # with what else it knows, as a BatchEncoding does
    for key, part in chosen.items():
        result[key] = part
    return result


def _has_rows(inputs: object) -> TypeGuard[Tensor | np.ndarray | list[Any] | tuple[Any, ...]]:
    """Whether it is split as it is: a tensor or an array, a list of items, or a tuple of nothing that has rows."""
    if isinstance(inputs, (Tensor, np.ndarray)):
        return inputs.ndim > 0
    if isinstance(inputs, tuple) and not hasattr(inputs, "_fields"):
        return bool(inputs) and not any(_has_rows(part) or _parts(part) for part in inputs)
    return isinstance(inputs, list)


def _parts(inputs: object) -> list[tuple[Any, Any]]:
    """The parts of a container that is split part by part, with their names."""
    if isinstance(inputs, Mapping):
        return list(inputs.items())
    if isinstance(inputs, tuple):
        return [] if _has_rows(inputs) else list(enumerate(inputs))
    if is_dataclass(inputs) and not isinstance(inputs, type):
        return [(field.name, getattr(inputs, field.name)) for field in fields(inputs) if field.init]
    return []


@contextmanager
def _statistics_kept(encoder: object) -> Iterator[None]:
    """Keep buffers such as running statistics unchanged: the first pass has updated them already."""
    modules = encoder.modules() if isinstance(encoder, nn.Module) else ()
    kept = [(module, dict(module.named_buffers(recurse=False))) for module in modules]
    # Copies are swapped in, because autograd would reject a change of buffers that the first pass saved.
    for module, buffers in kept:
        for name, value in buffers.items():
            setattr(module, name, value.clone())
    try:
        yield
    finally:
        for module, buffers in kept:
            for name, value in buffers.items():
                setattr(module, name, value)
