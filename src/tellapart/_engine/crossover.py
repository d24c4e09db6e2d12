"""Up to which size a loss holds the whole matrix of scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tellapart.errors import check_choice

if TYPE_CHECKING:
    import torch

ENGINES = ("auto", "dense", "tiled")
# Up to here the whole matrix stays in cache, and plain matrix operations are faster than tiles.
ON_CPU = 2**20
# Elsewhere a step in tiles waits for the calls of the host: with 2048² scores it took an H200 as long as with 8192².
ELSEWHERE = 2**22


def is_whole(n: int, c: int, device: torch.device, engine: str = "auto") -> bool:
    """Whether an engine holds the whole matrix of n queries' scores with c candidates.

    Raises:
        ValueError: an unknown engine.

    >>> import torch
    >>> cpu, card = torch.device("cpu"), torch.device("cuda")
    >>> is_whole(1024, 1024, cpu), is_whole(1024, 1025, cpu), is_whole(1024, 1025, card)
    (True, False, True)
    """
    check_choice("engine", engine, ENGINES)
    if engine != "auto":
        return engine == "dense"
    return n * c <= (ON_CPU if device.type == "cpu" else ELSEWHERE)
