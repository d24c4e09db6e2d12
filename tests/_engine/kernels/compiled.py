"""Compiles Triton's kernels for a GPU that need not be there: what the interpreter lets pass, the compiler may not.

python -m tests._engine.kernels.compiled, in a process without TRITON_INTERPRET.
"""

import torch

from tellapart import edges, gaussian, paired, same, within
from tellapart._engine.candidates import Candidates
from tellapart._engine.kernels import triton_masks

N = 8
KINDS = {torch.float32: "*fp32", torch.float64: "*fp64", torch.int32: "*i32", torch.int64: "*i64"}
TILE = {"HEIGHT": 64, "WIDTH": 32, "LENGTH": 40, "PRECISION": "tf32x3"}


def compiled(kernel, pointers, constants, leaves):
    """The program for a kernel's arguments: pointers of those types, constants, tuples of leaves, and whole numbers."""
    import triton  # here, for doctests are looked for where it is missing, too
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature, values = {}, {}
    for place, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name], values[place,] = "constexpr", constants[name]
        else:
            signature[name] = {**pointers, **leaves}.get(name, "i32")
    source = ASTSource(fn=kernel, signature=signature, constexprs=values)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": True}).asm["ptx"]


def mask_of(relation):
    """An expression as kernels read it, and the types of its leaves."""
    made = triton_masks.of_candidates(Candidates(N, N, N, among=relation), torch.device("cpu"))
    return made.coded, tuple(KINDS[x.dtype] if isinstance(x, torch.Tensor) else "i32" for x in made.leaves)


def main():
    from tellapart._engine.kernels.triton_backward import block_kernel, rows_kernel
    from tellapart._engine.kernels.triton_forward import sums_kernel

    times = torch.arange(N) * 0.5
    pairs = edges(torch.stack([torch.arange(N), torch.arange(N).flip(0)]), torch.arange(N) + 1.0)
    among, leaves = mask_of(
        (same(torch.arange(N)) & ~paired()) | (within(times, None, 1.0) & gaussian(times, None, 1.0))
    )
    listed, listed_leaves = mask_of(pairs)
    of_sums = {"of_rows": "*fp32", "of_cols": "*fp32"}
    of_gradient = dict.fromkeys(("row_factor", "row_log", "col_factor", "col_log", "out"), "*fp32")
    of_gradient |= dict.fromkeys(("moments", "row_moments", "col_moments"), "*fp32")
    both = {"leaves": leaves, "positive_leaves": listed_leaves}
    for vectors, form, other in (("*fp32", "logits", True), ("*bf16", "softplus", False)):
        sides = dict.fromkeys(("queries", "keys", "own", "others"), vectors) | {"row_scale": "*fp32"}
        constants = {**TILE, "STEP": 16, "GROUP": 8, "FORM": form, "MASK": among}
        if other:
            constants |= {"key_scale": None}
        else:
            sides |= {"key_scale": "*fp32"}
        how = {**constants, "POSITIVES": listed if other else None, "MIRRORED": other}
        yield "sums", compiled(sums_kernel, {**sides, **of_sums}, how, both)
        how = {**constants, "PADDED": 64, "TURNED": other, "ADDED": other}
        yield "rows", compiled(rows_kernel, {**sides, **of_gradient}, how, both)
    yield "block", compiled(block_kernel, {**sides, **of_gradient, "out": vectors}, constants, both)


if __name__ == "__main__":
    for name, program in main():
        assert ".target sm_90" in program
        assert "mma" in program, "no tensor cores"
        print(name)
