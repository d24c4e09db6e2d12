"""The kernel of a block: the first that can compute it, of those that `options` admits."""

from __future__ import annotations

import logging
from functools import cache

from tellapart._engine.kernels.interface import Block, Kernel
from tellapart._engine.kernels.torch_tiles import TorchTiles
from tellapart._engine.kernels.triton_tiles import TritonTiles
from tellapart.errors import prefers_triton

KERNELS: list[Kernel] = [TritonTiles(), TorchTiles()]
"""In the order in which they are tried; the last one can compute every block."""

_log = logging.getLogger(__name__)


def kernel_for(block: Block) -> Kernel:
    """The first kernel that supports a block; why others do not is logged at debug level, each reason once.

    Raises:
        TypeError: none does.

    >>> import torch
    >>> from tellapart._engine.candidates import Candidates
    >>> from tellapart._engine.kernels.grid import tiling
    >>> kernel_for(Block(torch.ones(2, 1), torch.ones(2, 1), 1.0, Candidates(2, 2, 2), "exp", tiling())).name
    'torch_tiles'
    """
    reasons = []
    for kernel in KERNELS:
        if isinstance(kernel, TritonTiles) and not prefers_triton(block.queries.device, block.kernels):
            continue
        if (reason := kernel.supports(block)) is None:
            return kernel
        reasons.append(f"{kernel.name}: {reason}")
        _say(reasons[-1])
    raise TypeError(f"No kernel computes these scores. {'; '.join(reasons)}.")


def takes_halves(block: Block) -> bool:
    """Whether Triton's kernels multiply the half vectors of a block as they are; if not, the reason is logged.

    >>> import torch
    >>> from tellapart._engine.candidates import Candidates
    >>> from tellapart._engine.kernels.grid import tiling
    >>> from tellapart.relations import dense
    >>> candidates = Candidates(2, 2, 2, among=dense(torch.eye(2)))
    >>> takes_halves(Block(torch.ones(2, 1).half(), torch.ones(2, 1).half(), 1.0, candidates, "exp", tiling()))
    False
    """
    kernel = TritonTiles()
    if (reason := kernel.supports(block)) is not None:
        _say(f"{kernel.name}: {reason}")
    return reason is None


@cache
def _say(reason: str) -> None:
    _log.debug(reason)
