"""The cost of a batch through an encoder, whole and in chunks: peak memory and seconds of one step.

    python benchmarks/gradient_cache.py             writes results/gradient_cache.md

SimCLR's step, two views of grey pictures of 28 × 28 through the small residual network, forward + backward, float32,
each case in its own process. Memory is the peak above that before the step: activations, embeddings, gradients and the
loss, but not the pictures, which are random. Gradients are compared with those of the whole batch at 256.

The processes are started with MALLOC_MMAP_THRESHOLD_=1048576. Without it the C library of Linux allocates activations
in one heap with the small nodes of autograd's graph, and fragments it: 8192 pictures in chunks then take three times as
much memory, of which two thirds are holes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from memory import resident
from tellapart import nt_xent
from tellapart.domains.pictures import ConvNet
from tellapart.gradient_cache import chunked

RESULT = Path(__file__).parent / "results" / "gradient_cache.md"
UNPINNED = {"MALLOC_MMAP_THRESHOLD_": str(2**20)}
CASES = ((256, 0), (1024, 0), (256, 64), (1024, 256), (8192, 256))


def model() -> nn.Module:
    torch.manual_seed(0)
    # In training, batch norm would see chunks; in evaluation mode rows are independent.
    return ConvNet(128, 24, channels=1).eval()


def loss_of(encoder: nn.Module, views: list[Tensor], chunk: int) -> Tensor:
    """NT-Xent of two views, encoded at once or chunk by chunk."""
    return nt_xent(*(chunked(encoder, view, chunk=chunk) if chunk else encoder(view) for view in views))


def views_of(batch: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(256, (batch, 1, 28, 28), generator=generator, dtype=torch.uint8) for _ in range(2)]


def measure(batch: int, chunk: int) -> None:
    """One case, in this process; prints peak and seconds."""
    encoder, views = model(), views_of(batch)
    loss_of(encoder, views_of(8), 4).backward()
    encoder.zero_grad()
    before, start = resident(reset=True), time.perf_counter()
    loss_of(encoder, views, chunk).backward()
    print(f"{resident() - before:.0f} {time.perf_counter() - start:.1f}")


def difference() -> float:
    """The largest relative difference between the gradients of 256 pictures in chunks of 64 and at once."""
    gradients = []
    for chunk in (0, 64):
        encoder = model()
        gradients.append(torch.autograd.grad(loss_of(encoder, views_of(256), chunk), list(encoder.parameters())))
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(*gradients, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs=2, type=int, metavar=("BATCH", "CHUNK"), help="used by this script itself")
    given = parser.parse_args()
    if given.case:
        measure(*given.case)
        return
    lines = ["| pictures in the line-up | encoded | peak, MiB | seconds |", "|---|---|---|---|"]
    print(*lines, sep="\n")
    for batch, chunk in CASES:
        command = [sys.executable, __file__, "--case", str(batch), str(chunk)]
        alone = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | UNPINNED)
        peak, seconds = alone.stdout.split()
        how = f"{chunk} at a time" if chunk else "at once"
        lines.append(f"| {batch} | {how} | {peak} | {seconds} |")
        print(lines[-1], flush=True)
    lines.append(f"\nGradients of 256 in chunks of 64 differ from those at once by {difference():.0e}, relative.")
    print(lines[-1])
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
