"""Compiles the kernels of real losses for GPUs that need not be there: what the interpreter lets pass, those may not.

python -m tests._engine.kernels.compiled h100, in a process without TRITON_INTERPRET.
"""

import re
import subprocess
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple

import torch

from tellapart import info_nce, info_nce_terms, nt_xent, options, variants
from tellapart._engine import loss as loss_of_one_process
from tellapart._engine import one_node
from tellapart._engine.kernels import triton_launch, triton_plan, triton_tiles
from tellapart.negatives import guided
from tellapart.relations import before, edges, gaussian, paired, same, within

N = 1024
KINDS = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16"}
KINDS |= {torch.float64: "*fp64", torch.int32: "*i32", torch.int64: "*i64"}
OF_PRODUCTS = ("sums_kernel", "rows_kernel", "block_kernel")
KERNELS = {*OF_PRODUCTS, "begin_kernel", "losses_kernel", "end_kernel", "temperature_kernel"}
MOST_SPILLED = 400
"""Bytes a thread, where chips keep operands in registers."""


class Card(NamedTuple):
    """Compute capability, and what decides the sizes of tiles."""

    capability: int
    chip: triton_launch.Chip


CARDS = {
    "rtx-3090": Card(86, triton_launch.Chip(82, 101376, "registers")),
    "h100": Card(90, triton_launch.Chip(132, 232448, "shared memory")),
    "b200": Card(100, triton_launch.Chip(148, 232448, "tensor memory")),
    "rtx-5090": Card(120, triton_launch.Chip(170, 101376, "registers")),
}
TENSOR_MEMORY = 512
"""Columns."""


def compiled(card, kernel, arguments, constants, told):
    """The program for arguments as they are: types, numbers that are 1, and what 16 divides."""
    import triton  # here, for doctests are looked for where it is missing, too
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature, values, divided, rest = {}, {}, {}, iter(arguments)
    for place, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name], values[place,] = "constexpr", constants[name]
        else:
            signature[name] = described(next(rest), (place,), values, divided)
    source = ASTSource(fn=kernel, signature=signature, constexprs=values, attrs=divided)
    return triton.compile(source, target=GPUTarget("cuda", card.capability, 32), options=told)


def described(value, path, values, divided):
    """The type of an argument, or of each of a tuple; what else is known of it is noted under its path."""
    if isinstance(value, tuple):
        return tuple(described(x, (*path, i), values, divided) for i, x in enumerate(value))
    if value is None or (isinstance(value, int) and value == 1):
        values[path] = value
        return "constexpr"
    is_tensor = isinstance(value, torch.Tensor)
    if not isinstance(value, float) and (value.data_ptr() if is_tensor else value) % 16 == 0:
        divided[path] = [["tt.divisibility", 16]]
    return KINDS[value.dtype] if is_tensor else "fp32" if isinstance(value, float) else "i32"


def checking(card):
    """Stands for `Plan.launch`: compiles what would be launched, and checks what memory it needs."""

    def launch(plan, name, arguments, make):  # noqa: ARG001
        kernel, _, constants, told = make()
        program = compiled(card, kernel, arguments, constants, told)
        assert program.metadata.shared <= card.chip.shared_memory, (name, program.metadata.shared)
        columns = getattr(program.metadata, "tmem_size", None) or 0
        assert columns <= TENSOR_MEMORY, (name, columns)
        if card.chip.operands == "registers":
            assert spilled(program) <= MOST_SPILLED, (name, spilled(program))
        ptx = program.asm["ptx"]
        assert f".target sm_{card.capability}" in ptx
        assert "mma" in ptx or kernel.__name__ not in OF_PRODUCTS, "no tensor cores"
        print("   ", kernel.__name__, flush=True)
        for x in arguments:
            if isinstance(x, torch.Tensor) and x.is_floating_point():
                x.data.fill_(1.0)  # as if it were written: further on it is read

    return launch


def spilled(program):
    """Bytes of a thread that do not fit into its registers."""
    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with NamedTemporaryFile(suffix=".cubin") as file:
        file.write(program.asm["cubin"])
        file.flush()
        told = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"STACK:(\d+)", told)[1])


def vectors(d, dtype, n=N):
    return torch.randn(n, d).to(dtype).requires_grad_()


def wide():
    return info_nce(*pair(512, torch.bfloat16), symmetric=True, temperature=learned(), engine="tiled")


def narrow():
    return info_nce(*pair(128, torch.bfloat16), symmetric=True, engine="tiled")


def views():
    return nt_xent(*pair(256, torch.float32), temperature=learned(), engine="tiled")


def of_a_guide():
    queries, keys = pair(128, torch.bfloat16)
    exclude = guided(vectors(90, torch.float32), vectors(90, torch.float32))
    return info_nce(queries, keys, exclude=exclude, temperature=learned(), symmetric=True, engine="tiled")


def labels():
    return variants.sup_con(vectors(100, torch.bfloat16), labels=torch.arange(N) // 2, engine="tiled")


def every_relation():
    """Terms of the way that puts a loss together, with all that a mask may read."""
    times, pairs = torch.arange(N) * 0.5, edges(torch.stack([torch.arange(N), torch.arange(N).flip(0)]))
    guide = guided(vectors(90, torch.float32), vectors(90, torch.float32))
    exclude = (same(torch.arange(N) // 2) | within(times, None, 1.0) | before(times, times) | guide) & ~paired()
    queries, keys = pair(40, torch.float32)
    given = {"positives": pairs | paired(), "exclude": exclude, "key_bias": torch.zeros(N, requires_grad=True)}
    return info_nce_terms(queries, keys, **given, symmetric=True, engine="tiled").loss()


def soft():
    times = torch.arange(N) * 0.5
    return info_nce(*pair(40, torch.float16), positives=gaussian(times, None, 1.0), engine="tiled")


def sigmoid():
    return variants.sigmoid(*pair(40, torch.bfloat16), temperature=learned(), bias=learned())


def pair(d, dtype):
    return vectors(d, dtype), vectors(d, dtype)


def learned():
    return torch.tensor(0.07, requires_grad=True)


EVERYWHERE = (views, of_a_guide)
LOSSES = dict.fromkeys(CARDS, (*EVERYWHERE, narrow)) | {
    "h100": (*EVERYWHERE, wide, labels, every_relation, soft, sigmoid)
}


def main(name):
    card = CARDS[name]
    triton_plan.Plan.launch = checking(card)
    triton_tiles.unfit = one_node.unfit = lambda device: None  # noqa: ARG005
    triton_launch.chip = lambda device: card.chip  # noqa: ARG005
    loss_of_one_process.check_loss = lambda loss: loss
    for loss in LOSSES[name]:
        print(loss.__name__, flush=True)
        with options(kernels="triton"):
            loss().backward()


if __name__ == "__main__":
    main(sys.argv[1])
