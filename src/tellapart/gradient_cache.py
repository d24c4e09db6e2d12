"""A batch of any size through an encoder that has memory for a chunk of it.

    queries = chunked(encoder, pictures, chunk=256)      # all 8192 embeddings, no activations
    info_nce(queries, keys).backward()                   # chunk by chunk once more, with gradients

The loss sees the whole line-up, so the gradient is that of the whole batch at once. It costs a second
forward pass. Gradients reach each parameter once a step, so that data-parallel training reduces them once.

Without an accelerator, on Linux, set `MALLOC_MMAP_THRESHOLD_=1048576` in the environment: otherwise the C
library's heap keeps holes between what stays of each chunk (see benchmarks/gradient_cache.py).
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
    """`encoder(inputs)`, of which one chunk's activations exist at a time, in the forward and in the backward pass.

    In the backward pass each chunk is encoded again, with the random numbers (dropout) of the first time and
    inside the same autocast. The encoder has to treat rows one by one: what looks at the batch, such as batch
    norm in training, sees a chunk; running statistics are updated once if the encoder is a module. One with
    `SharedBatchNorm` needs as many chunks in every process.

    Args:
        encoder: a module or function of a batch.
        inputs: the whole batch, anything that can be split along its rows.
        chunk: rows at a time.

    Raises:
        ValueError: a chunk of fewer than one row; an encoder that does not return one row per row.

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
    """Leave buffers such as running statistics as they are: they were updated when a chunk was encoded first."""
    modules = encoder.modules() if isinstance(encoder, nn.Module) else ()
    kept = [(module, dict(module.named_buffers(recurse=False))) for module in modules]
    # Others take their place: autograd would notice a change of those that the first pass may have saved.
    for module, buffers in kept:
        for name, value in buffers.items():
            setattr(module, name, value.clone())
    try:
        yield
    finally:
        for module, buffers in kept:
            for name, value in buffers.items():
                setattr(module, name, value)
