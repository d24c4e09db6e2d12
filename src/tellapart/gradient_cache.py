"""Encode a large batch with the activations of only one chunk in memory.

    queries = chunked(encoder, pictures, chunk=256)      # all 8192 embeddings, no activations
    info_nce(queries, keys).backward()                   # chunk by chunk once more, with gradients

The loss sees the whole batch, so its gradient is exact. It costs a second forward pass. Each parameter gets its
gradient once a step, so that data-parallel training reduces it once.

On Linux without an accelerator, set `MALLOC_MMAP_THRESHOLD_=1048576` in the environment. Otherwise the C
library's heap fragments between chunks (see benchmarks/gradient_cache.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tellapart.errors import requirement

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped


def chunked(
    encoder: Callable[[Any], Tensor], inputs: Shaped[Tensor, "n *shape"], *, chunk: int
) -> Float[Tensor, "n d"]:
    """`encoder(inputs)`, with only one chunk's activations in memory at a time, forward and backward.

    In the backward pass each chunk is encoded again, with the same random numbers (dropout) and the same autocast.
    The encoder has to treat rows independently: batch norm in training, for example, sees a chunk and not the batch.
    Running statistics of a module are updated once. With `SharedBatchNorm` all processes need the same number of
    chunks.

    Args:
        encoder: a module or function of a batch.
        inputs: the whole batch, split along its rows.
        chunk: the number of rows encoded at a time.

    Raises:
        ValueError: a chunk below 1; an encoder that does not return one embedding per row.

    Source: Gao et al. 2021 (GradCache), §3; the memory, by Chen et al. 2016 (checkpointing).

    >>> weight = torch.ones(2, 2, requires_grad=True)
    >>> chunked(lambda x: x @ weight, torch.eye(3, 2), chunk=2).sum().backward()
    >>> weight.grad
    tensor([[1., 1.],
            [1., 1.]])
    """
    if chunk < 1:
        raise ValueError(requirement("chunk", "be at least 1", chunk))
    parts = []
    for part in inputs.split(chunk):
        encoded: Tensor = checkpoint(
            encoder, part, use_reentrant=False, context_fn=lambda: (nullcontext(), _statistics_kept(encoder))
        )
        if len(encoded) != len(part):
            raise ValueError(requirement("encoder", f"return one embedding for each of {len(part)} rows", len(encoded)))
        parts.append(encoded)
    return torch.cat(parts)


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
