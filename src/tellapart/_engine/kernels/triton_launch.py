"""How the Triton kernels are launched: vectors as tensor cores take them, and sizes of tiles for a device."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from tellapart._engine.factors import HALF

if TYPE_CHECKING:
    from tellapart._engine.kernels.interface import Block

IN_REGISTERS = 256
"""Length of the longest vectors for which a program keeps the gradient in registers."""
BYTES_IN_REGISTERS = 256
"""Of a vector, where operands are in registers, too."""
GROUP = 8
"""Bands of tiles that are computed together, for the vectors that they share."""
PARTS = 2**23
"""Numbers that the tiles of a band come to, to either side: 32 MiB."""
ROOM = 1024
"""Bytes of shared memory that are left to the compiler."""


def is_interpreted() -> bool:
    """Whether Triton interprets kernels on the CPU instead of compiling them.

    >>> is_interpreted() == (os.environ.get("TRITON_INTERPRET") == "1")
    True
    """
    return os.environ.get("TRITON_INTERPRET") == "1"


class Vectors(NamedTuple):
    """The vectors of a block as they are multiplied; sums and gradients are in float32."""

    queries: Tensor
    keys: Tensor
    precision: str
    """Of products in float32."""

    @classmethod
    def of(cls, block: Block) -> Vectors:
        """Those of a block: half vectors as they are, others rounded to TF32 where torch's own switch allows it.

        Tensor cores cut off the digits that TF32 lacks, and a sum of numbers all too small is too small. Rounded
        before, they are as often too large.
        """
        return cls.made(block.queries, block.keys, precision_of(block.queries.dtype))

    @classmethod
    def made(cls, queries: Tensor, keys: Tensor, precision: str) -> Vectors:
        """The same of queries and keys, for products of that precision."""
        is_rounded = precision == "tf32" and queries.dtype == torch.float32
        of_queries = rounded(queries) if is_rounded else queries
        if is_one(queries, keys):
            return cls(of_queries, of_queries, precision)
        return cls(of_queries, rounded(keys) if is_rounded else keys, precision)

    @property
    def is_half(self) -> bool:
        """Whether they are in half precision."""
        return self.queries.dtype in HALF


def precision_of(dtype: torch.dtype) -> str:
    """How Triton multiplies vectors of a dtype at present, for torch's switch may change.

    >>> precision_of(torch.float32) in ("tf32", "tf32x3", "ieee")
    True
    """
    if dtype in HALF:
        return "interpreted" if is_interpreted() else "tf32"
    return "tf32" if tf32_is_allowed() else "ieee" if torch.version.hip else "tf32x3"


def is_one(queries: Tensor, keys: Tensor) -> bool:
    """Whether queries and keys are the same numbers in memory.

    >>> x = torch.ones(2, 2)
    >>> is_one(x, x.view_as(x)), is_one(x, x.clone())
    (True, False)
    """
    same_place = queries.data_ptr() == keys.data_ptr() and queries.dtype == keys.dtype
    return same_place and queries.shape == keys.shape and queries.stride() == keys.stride()


def tf32_is_allowed() -> bool:
    """Whether torch may multiply float32 matrices on a GPU in TF32.

    >>> tf32_is_allowed() in (True, False)
    True
    """
    return bool(torch.backends.cuda.matmul.fp32_precision == "tf32")


def rounded(vectors: Tensor) -> Tensor:
    """Float32 numbers rounded to the 10 binary digits of TF32 behind the point.

    >>> rounded(torch.tensor([1 + 2**-10, 1 + 0.75 * 2**-10])).sub(1).mul(2**10).tolist()
    [1.0, 1.0]
    """
    bits = vectors.contiguous().view(torch.int32)
    return bits.add(0x1000).bitwise_and_(~0x1FFF).view(torch.float32)


def power_from(length: int) -> int:
    """The smallest power of two that is as large, and 16 at least.

    >>> power_from(5), power_from(64), power_from(65)
    (16, 64, 128)
    """
    return max(16, 1 << (length - 1).bit_length())


def power_for(bound: Tensor) -> Tensor:
    """A power of two by which numbers up to a bound fill the range of float16; 1 of a bound of 0.

    >>> power_for(torch.tensor(2.0**-20)).log2()
    tensor(34.)
    """
    exponent = (14 - bound.log2()).floor().clamp(-100, 100)
    return torch.where(bound > 0, exponent, 0).exp2()


class Sizes(NamedTuple):
    """Of a tile, how many features are multiplied at a time, and what a program has."""

    height: int
    width: int
    step: int
    warps: int
    stages: int

    def launch(self) -> dict[str, int]:
        """What Triton's compiler is told."""
        return {"num_warps": self.warps, "num_stages": self.stages, "enable_fp_fusion": True}

    def band(self, n: int, c: int, n_kinds: int) -> int:
        """Rows whose parts of sums over c columns are held at a time, for each kind of sum.

        >>> Sizes(128, 128, 64, 4, 3).band(100_000, 32_768, n_kinds=2)
        16384
        """
        n_high = PARTS // (n_kinds * max(1, cdiv(c, self.width))) // self.height
        return min(max(1, n), max(1, n_high) * self.height)

    def fitting(self, device: torch.device, element_size: int, fixed: int = 0) -> Sizes:
        """The same with as many stages as fit into the device's shared memory, beside so many fixed bytes."""
        stage = (self.height + self.width) * self.step * element_size
        stages = (chip(device).shared_memory - ROOM - fixed) // stage
        return self._replace(stages=max(1, min(self.stages, stages)))


# So small that a small matrix has many tiles, of which some reach beyond it.
_INTERPRETED = Sizes(16, 32, 16, 4, 1)


def for_tiles(vectors: Vectors, *, is_square: bool = False, is_full: bool = False) -> Sizes:
    """Of kernels that multiply some features at a time; full tiles hold more than their scores.

    >>> for_tiles(Vectors(torch.ones(1, 1), torch.ones(1, 1), "tf32")).step >= 16
    True
    """
    if is_interpreted():
        return _INTERPRETED._replace(width=_INTERPRETED.height) if is_square else _INTERPRETED
    (_, length), size, device = vectors.queries.shape, vectors.queries.element_size(), vectors.queries.device
    in_registers, is_exact = chip(device).operands == "registers", vectors.precision != "tf32"
    step, stages = (32, 4) if length <= 256 or in_registers else (64, 3)
    if not vectors.is_half:
        step, stages = 32, 3
    # Three products in place of one take registers that eight warps have, or a small tile.
    warps = 8 if is_exact and not in_registers else 4
    # What a full tile holds besides takes so many registers that a large one does not keep its scores.
    side = 64 if is_full or (is_exact and in_registers) else 128
    return Sizes(side, side, step, warps, stages).fitting(device, size)


def for_rows(vectors: Vectors, padded: int, *, is_plain: bool, is_full: bool = False) -> Sizes:
    """Of the kernel in which a program keeps rows and their gradient, with all features; full as in `for_tiles`.

    >>> for_rows(Vectors(torch.ones(1, 1), torch.ones(1, 1), "tf32"), 16, is_plain=True).height >= 16
    True
    """
    if is_interpreted():
        return _INTERPRETED
    size, device = vectors.queries.element_size(), vectors.queries.device
    if chip(device).operands == "registers":
        # There own rows are operands, too: with more warps, and few other rows at a time, least of them is spilled.
        return Sizes(128, 64 if vectors.is_half and not is_full else 32, padded, 8, 2)
    width = (128 if padded <= 128 and not is_full else 64) // (1 if vectors.is_half else 2)
    # Four warps multiply 64 rows at a time: with eight, an H200 took twice as long for half vectors under a mask.
    is_small = vectors.is_half or (is_plain and padded <= 64)
    sizes = Sizes(64, width, padded, 4 if is_small else 8, 2)
    return sizes.fitting(device, size, fixed=64 * (padded + width) * size)


def keeps_rows(vectors: Vectors) -> bool:
    """Whether a program keeps rows and their gradient, with all features: of short vectors, where memory suffices.

    >>> keeps_rows(Vectors(torch.ones(1, 300), torch.ones(1, 300), "tf32"))
    False
    """
    length, size = vectors.queries.shape[1], vectors.queries.element_size()
    if length > IN_REGISTERS or is_interpreted():
        return length <= IN_REGISTERS
    padded, on = power_from(length), chip(vectors.queries.device)
    if on.operands == "registers":
        return padded * size <= BYTES_IN_REGISTERS
    if on.operands == "tensor memory" and vectors.precision == "tf32x3" and padded > 128:
        return False  # sums of three products would take 832 of its 512 columns
    sizes = for_rows(vectors, padded, is_plain=False)
    needed = (sizes.height * (padded + sizes.width) + (sizes.height + sizes.width) * padded) * size
    return needed + ROOM <= on.shared_memory


class Chip(NamedTuple):
    """What of a device decides the sizes of tiles."""

    processors: int
    shared_memory: int
    """Bytes that a program may have."""
    operands: str
    """Where tensor cores find what they multiply, and sums: "registers", "shared memory" or "tensor memory"."""


@cache
def chip(device: torch.device) -> Chip:
    """A device's chip; for the interpreter, one with few processors.

    >>> chip(torch.device("cpu")).processors
    4
    """
    if device.type != "cuda":
        return Chip(4, 2**16, "shared memory")
    properties = torch.cuda.get_device_properties(device)
    # ROCm's devices have no more than every program gets.
    shared = getattr(properties, "shared_memory_per_block_optin", 2**16)
    by_generation = {9: "shared memory", 10: "tensor memory", 11: "tensor memory"}
    operands = "shared memory" if torch.version.hip else by_generation.get(properties.major, "registers")
    return Chip(properties.multi_processor_count, shared, operands)


def how(vectors: Vectors, sizes: Sizes) -> dict[str, int | str]:
    """How a kernel of tiles is compiled.

    >>> how(Vectors(torch.ones(1, 1), torch.ones(1, 1), "tf32"), Sizes(16, 32, 16, 4, 1))["HEIGHT"]
    16
    """
    tile = {"HEIGHT": sizes.height, "WIDTH": sizes.width, "STEP": sizes.step, "GROUP": GROUP}
    return {**tile, "PRECISION": vectors.precision}


def scales_of(block: Block) -> tuple[Tensor, int, Tensor | None]:
    """What the products of a block are multiplied by, as kernels read it: numbers of rows, their step, those of keys.

    A number of the host becomes one of the device; one of the device is not read by the host.

    >>> from tellapart._engine.candidates import Candidates
    >>> from tellapart._engine.kernels.grid import tiling
    >>> from tellapart._engine.kernels.interface import Block
    >>> scales_of(Block(torch.ones(2, 1), torch.ones(2, 1), 0.5, Candidates(2, 2, 2), "exp", tiling()))
    (tensor(0.5000), 0, None)
    """
    scale = block.scale
    if not isinstance(scale, Tensor):
        scale = torch.full((), scale, dtype=torch.float32, device=block.queries.device)
    key_scale = None if block.key_scale is None else block.key_scale.contiguous()
    return scale.float().contiguous(), scale.ndim, key_scale


def cdiv(size: int, step: int) -> int:
    """How many steps a size takes.

    >>> cdiv(9, 4)
    3
    """
    return -(-size // step)
