"""Compiles Triton's kernels for a GPU that need not be there: what the interpreter lets pass, the compiler may not.

python -m tests._engine.kernels.compiled, in a process without TRITON_INTERPRET.
"""

import torch

from tellapart import edges, gaussian, other_views, paired, same, within
from tellapart._engine.candidates import Candidates
from tellapart._engine.kernels import triton_masks
from tellapart.negatives import alike
from tellapart.relations import beside

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
    from tellapart._engine.kernels.triton_backward import block_kernel
    from tellapart._engine.kernels.triton_forward import sums_kernel
    from tellapart._engine.kernels.triton_rows import rows_kernel

    times = torch.arange(N) * 0.5
    pairs = edges(torch.stack([torch.arange(N), torch.arange(N).flip(0)]), torch.arange(N) + 1.0)
    among, leaves = mask_of(
        (same(torch.arange(N)) & ~paired())
        | (within(times, None, 1.0) & gaussian(times, None, 1.0))
        | alike(torch.eye(N), None, 0.5)
    )
    diagonals, diagonals_leaves = mask_of(~other_views(N // 2) & ~paired())
    listed, listed_leaves = mask_of(pairs)
    labels, labels_leaves = mask_of(same(torch.arange(N)) & ~paired())
    far, far_leaves = mask_of(beside(~alike(torch.eye(N), torch.eye(N), 0.5), N, ~same(torch.arange(N))))
    of_several = far_leaves, labels_leaves
    apart, apart_leaves = mask_of(~paired())
    of_sums = {"of_rows": "*fp32", "of_cols": "*fp32", "own_tops": "*fp32"}
    of_gradient = dict.fromkeys(("row_factor", "row_log", "col_factor", "col_log", "out", "rest"), "*fp32")
    of_near = "low", "top", "near_row", "near_col"
    of_gradient |= dict.fromkeys(("row_share", "col_share", *of_near), "*fp32")
    of_gradient |= dict.fromkeys(("moments", "row_moments", "col_moments"), "*fp32") | {"share": "fp32"}
    both = {"leaves": leaves, "positive_leaves": listed_leaves}
    for vectors, form, other in (("*fp32", "logits", True), ("*bf16", "softplus", False)):
        sides = dict.fromkeys(("queries", "keys", "own", "others"), vectors) | {"row_scale": "*fp32"}
        constants = {**TILE, "STEP": 16, "GROUP": 8, "FORM": form, "MASK": among, "EACH": other, "WEIGHTED": other}
        if other:
            constants |= {"key_scale": None}
        else:
            sides |= {"key_scale": "*fp32"}
        how = {**constants, "POSITIVES": listed if other else None, "SEVERAL": False, "TOPS": other, "MIRRORED": other}
        how |= {"WIDTH": TILE["HEIGHT"] if other else TILE["WIDTH"], "own_tops": None}
        one_each = {x: y for x, y in how.items() if x != "own_tops"} | {"POSITIVES": apart, "TOPS": True}
        theirs = both | {"positive_leaves": apart_leaves}
        yield "sums of one positive each", compiled(sums_kernel, {**sides, **of_sums}, one_each, theirs)
        if other:
            several, theirs = (
                how | {"SEVERAL": True, "POSITIVES": labels, "MASK": far},
                dict(zip(both, of_several, strict=True)),
            )
            yield "sums of several positives", compiled(sums_kernel, {**sides, **of_sums}, several, theirs)
        yield "sums", compiled(sums_kernel, {**sides, **of_sums}, how, both)
        constants |= {"POSITIVES": listed if other else None}
        if not other:
            constants |= dict.fromkeys(("row_share", "col_share", *of_near))
        how = {**constants, "PADDED": 64, "TURNED": other, "ADDED": other, "OF_EACH": other, "LOCAL": False}
        yield "rows", compiled(rows_kernel, {**sides, **of_gradient}, how, both)
        how |= {"MASK": diagonals, "LOCAL": True} | dict.fromkeys(("col_factor", "col_log", *of_near))
        yield (
            "rows by diagonals",
            compiled(rows_kernel, {**sides, **of_gradient}, how, both | {"leaves": diagonals_leaves}),
        )
        how = constants | ({} if other else {"rest": None})
        yield "block", compiled(block_kernel, {**sides, **of_gradient, "out": vectors}, how, both)
        one_sided = {"col_factor": None, "col_log": None, "col_moments": None, "rest": None}
        yield "block of one side", compiled(block_kernel, {**sides, **of_gradient}, constants | one_sided, both)
    yield from of_ends()


def of_ends():
    """The kernels before and behind products."""
    from tellapart._engine.kernels import triton_ends

    names = ("row_scale", "key_scale", "positives", "of_rows", "of_cols", "running", "losses", "weights", "shares")
    names += ("logs", "sums", "own_factor", "other_factor", "own_scale", "other_scale", "upstream", "moments")
    pointers = dict.fromkeys((*names, "factors", "temperature", "out"), "*fp32") | {"share": "fp32"}
    pointers |= dict.fromkeys(("queries", "keys", "own", "others"), "*bf16") | {"positive_of": "*i64"}
    sizes = {"LENGTH": 40, "STEP": 16, "HEIGHT": 16, "PADDED": 64, "SOME": 16, "WIDTH": 64, "COSINE": True}
    for how in ({"LEARNED": True, "MIRRORED": True, "FIRST": False, "LAST": True}, dict.fromkeys(KINDS_OF_ENDS, False)):
        more = {} if how["MIRRORED"] else {"of_cols": None, "key_scale": None, "positive_of": None, "upstream": None}
        more |= {"positives": None} if how["MIRRORED"] else {"shares": None}
        for name in ("begin", "losses", "end", "temperature"):
            kernel = getattr(triton_ends, f"{name}_kernel")
            given = {k: x for k, x in (sizes | how | more).items() if k in kernel.arg_names}
            taken = pointers if how["LEARNED"] or name == "temperature" else pointers | {"temperature": "fp32"}
            yield name, compiled(kernel, taken, given, {})


KINDS_OF_ENDS = ("LEARNED", "MIRRORED", "FIRST", "LAST", "COSINE")

if __name__ == "__main__":
    for name, program in main():
        assert ".target sm_90" in program
        assert "mma" in program or name in ("begin", "losses", "end", "temperature"), "no tensor cores"
        print(name)
