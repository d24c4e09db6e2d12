"""One loss over several processes: the memory of each if keys go around a ring, and if all rows are gathered.

    python benchmarks/ring.py                      4 processes, 2048 rows of 512 each; writes results/ring.md
    python benchmarks/ring.py --processes 2 --rows 4096

Symmetric InfoNCE, forward + backward, float32, over gloo on one machine. Memory is each process's peak above its inputs
and gradients. The gathered forms give all queries and keys to every process, which computes the losses of its own rows,
streamed or as whole matrices. The largest difference of gradients is relative to one process, in float64.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from memory import resident
from tellapart import edges, info_nce
from tellapart.distributed import gather, world

TAU = 0.07
ROUNDS = 3
RESULT = Path(__file__).parent / "results" / "ring.md"


def ring(q: Tensor, k: Tensor) -> Tensor:
    """Keys go around the ring."""
    return info_nce(q, k, temperature=TAU, symmetric=True, group=world())


def gathered(q: Tensor, k: Tensor, engine: str) -> Tensor:
    """The losses of this rank's rows among the gathered rows of all ranks."""
    first = dist.get_rank() * len(q)
    positives = edges(torch.stack([torch.arange(len(q)), first + torch.arange(len(q))]))
    directions = ((q, gather(k)), (k, gather(q)))
    losses = [info_nce(a, b, temperature=TAU, positives=positives, engine=engine) for a, b in directions]
    return (losses[0] + losses[1]) / 2


FORMS = {
    "ring": ring,
    "gathered, streamed": lambda q, k: gathered(q, k, "tiled"),
    "gathered, whole matrices": lambda q, k: gathered(q, k, "dense"),
}


def inputs(rank: int, rows: int, dim: int, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(rank)
    return [torch.randn(rows, dim, generator=generator).to(dtype).requires_grad_() for _ in range(2)]


def step(form: str, rank: int, rows: int, dim: int, dtype: torch.dtype) -> tuple[float, list[Tensor]]:
    """Seconds of one step, and its gradients."""
    leaves = inputs(rank, rows, dim, dtype)
    dist.barrier()
    start = time.perf_counter()
    FORMS[form](*leaves).backward()
    dist.barrier()
    return time.perf_counter() - start, [x.grad.div_(dist.get_world_size()) for x in leaves if x.grad is not None]


def work(rank: int, processes: int, form: str, rows: int, dim: int, results: mp.SimpleQueue) -> None:
    """One form on one rank; each form has new processes, so that peaks are not mixed."""
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))
    dist.init_process_group("gloo", rank=rank, world_size=processes)
    step(form, rank, 64, dim, torch.float32)  # buffers of the libraries
    given = 2 * 2 * rows * dim * 4 / 2**20  # queries and keys, and their gradients
    before = resident(reset=True)
    seconds = [step(form, rank, rows, dim, torch.float32)[0]]
    peak = resident() - before - given
    seconds += [step(form, rank, rows, dim, torch.float32)[0] for _ in range(ROUNDS - 1)]
    error = difference(form, rank, processes, min(rows, 512), dim)
    results.put((peak, statistics.median(seconds), error))
    dist.barrier()
    dist.destroy_process_group()


def difference(form: str, rank: int, processes: int, rows: int, dim: int) -> float:
    """The largest relative difference of gradients from those of one process with all rows."""
    _, found = step(form, rank, rows, dim, torch.float64)
    shards = [inputs(other, rows, dim, torch.float64) for other in range(processes)]
    q, k = (torch.cat([pair[i] for pair in shards]).detach().requires_grad_() for i in (0, 1))
    info_nce(q, k, temperature=TAU, symmetric=True).backward()
    here = slice(rank * rows, (rank + 1) * rows)
    expected = [x.grad[here] for x in (q, k) if x.grad is not None]
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--rows", type=int, default=2048, help="rows of each process")
    parser.add_argument("--dim", type=int, default=512)
    given = parser.parse_args()
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    lines = [
        f"{given.processes} processes × {given.rows} rows × {given.dim}, torch {torch.__version__}\n",
        "| form | peak of a process, MiB | seconds a step | gradients differ from one process |",
        "|---|---|---|---|",
    ]
    print(*lines, sep="\n")
    for number, form in enumerate(FORMS):
        os.environ["MASTER_PORT"] = str(29600 + number)
        results = mp.get_context("spawn").SimpleQueue()
        arguments = (given.processes, form, given.rows, given.dim, results)
        mp.spawn(work, arguments, nprocs=given.processes)
        peaks, seconds, errors = zip(*(results.get() for _ in range(given.processes)), strict=True)
        lines.append(f"| {form} | {max(peaks):.0f} | {max(seconds):.2f} | {max(errors):.0e} |")
        print(lines[-1], flush=True)
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
