"""The loss on a GPU against plain formulas: values and gradients first, then time, memory and error.

    python benchmarks/loss_gpu.py                  all works, in under four minutes; writes results/loss_gpu.md
    python benchmarks/loss_gpu.py --check          values and gradients alone
    python benchmarks/loss_gpu.py --only symmetric works whose names begin so; writes nothing

Times are of forward + backward with learned temperature, in bfloat16 unless the work says otherwise. Contenders take
turns in one process: medians over rounds, and the median of the ratios. `memeff` takes part if it is installed. Where
no GPU is, the script says so and exits with 2.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import torch

import loss_gpu_works as works
import tellapart
from loss_gpu_works import OURS, Work
from pages import publish

ROUNDS = 7
SECONDS = 5.0
"""Of one work at most, once every contender has had two rounds."""
LARGEST_ERROR = 0.02
SIDE = 8192
"""Of the product against which the share of the card's peak is told."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="values and gradients alone")
    parser.add_argument("--only", metavar="WORK", default="", help="works whose names begin so")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("loss_gpu.py needs a GPU, and PyTorch finds none.", file=sys.stderr)
        sys.exit(2)
    chosen = [work for work in works.ALL if work.name.startswith(arguments.only)]
    if not chosen:
        parser.error(f"--only must be the beginning of a work, got {arguments.only}")
    errors = [errors_of(work) for work in chosen]
    print("Every value and gradient is near float64's.", flush=True)
    if arguments.check:
        return
    rows = [HEAD]
    for work, error in zip(chosen, errors, strict=True):
        rows.append(line(work, error))
        print(rows[-1], flush=True)
    table = "\n".join((about(), "", *rows))
    if not arguments.only:
        publish("loss_gpu", table)


def errors_of(work: Work) -> dict[str, float]:
    """The relative error of each contender's gradient at a small size against float64; too large a one ends the run."""
    with works.precision(work):
        inputs = work.small()
        exact = gradients(work.plain, work, [x.detach().double().requires_grad_(x.requires_grad) for x in inputs])
        found = {}
        for label, loss in work.contenders().items():
            own = gradients(loss, work, inputs)
            found[label] = max(distance(x, y) for x, y in zip(own[1:], exact[1:], strict=False))
            if label == OURS and max(found[label], distance(own[0], exact[0])) > LARGEST_ERROR:
                sys.exit(f"{work.name}: gradient {found[label]:.1e} off, loss {own[0]:.6g} and not {exact[0]:.6g}")
    return found


def gradients(loss: works.Loss, work: Work, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """A loss and its gradients."""
    value = loss(*inputs, **work.constants(inputs))
    return [value.detach(), *differentiated(value, inputs)]


def differentiated(value: torch.Tensor, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """The gradients of those inputs that have one."""
    found = torch.autograd.grad(value, [x for x in inputs if x.requires_grad], allow_unused=True)
    return [gradient for gradient in found if gradient is not None]


def distance(found: torch.Tensor, exact: torch.Tensor) -> float:
    """Of two tensors, relative to the length of the exact one."""
    return float((found.double() - exact).norm() / exact.norm())


def line(work: Work, errors: dict[str, float]) -> str:
    """A line of the table: contenders take turns."""
    with works.precision(work):
        inputs = work.large()
        contenders = {label: loss for label, loss in work.contenders().items() if fits(work, label, loss, inputs)}
        times: dict[str, list[float]] = {label: [] for label in contenders}
        begun = time.perf_counter()
        for number in range(ROUNDS):
            if number >= 2 and time.perf_counter() - begun > SECONDS:
                break
            for label, loss in contenders.items():
                times[label].append(milliseconds(lambda loss=loss: step(loss, work, inputs)))
        memory = peak(contenders[OURS], work, inputs) / 2**20
        share = work.n_flops() / (statistics.median(times[OURS]) * 1e-3) / product_flops(inputs[0].dtype)
    del inputs
    torch.cuda.empty_cache()
    others = [told(label, times, errors) for label in times if label != OURS]
    missing = [f"{label} does not fit" for label in work.contenders() if label not in times]
    own = f"{statistics.median(times[OURS]):.3g} ms"
    return (
        f"| {work.name} | {own} | {memory:.0f} MiB | {share:.0%} | {errors[OURS]:.1e} | {', '.join(others + missing)} |"
    )


HEAD = (
    "| work | tellapart | memory beyond inputs and gradients | of the product's peak | error "
    "| others: time, ratio, error |\n"
    "|---|---|---|---|---|---|"
)


def told(label: str, times: dict[str, list[float]], errors: dict[str, float]) -> str:
    """One contender's time, how many times as long it took, and its error."""
    ratio = statistics.median(b / a for a, b in zip(times[OURS], times[label], strict=True))
    return f"{label} {statistics.median(times[label]):.3g} ms, **{ratio:.2f}**, {errors[label]:.1e}"


def step(loss: works.Loss, work: Work, inputs: list[torch.Tensor]) -> None:
    """Forward and backward."""
    differentiated(loss(*inputs, **work.constants(inputs)), inputs)


def fits(work: Work, label: str, loss: works.Loss, inputs: list[torch.Tensor]) -> bool:
    """Whether a contender can hold the work; the first step compiles its kernels."""
    try:
        for _ in range(3):
            step(loss, work, inputs)
        torch.cuda.synchronize()
    except torch.OutOfMemoryError:
        if label == OURS:
            raise
        torch.cuda.empty_cache()
        return False
    return True


def milliseconds(run: works.Run) -> float:
    """Of one step, over as many as take a few milliseconds."""
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    steps = 1
    while True:
        start.record()
        for _ in range(steps):
            run()
        stop.record()
        stop.synchronize()
        if (taken := start.elapsed_time(stop)) >= 10 or steps >= 64:
            return taken / steps
        steps *= 4


def peak(loss: works.Loss, work: Work, inputs: list[torch.Tensor]) -> int:
    """Bytes at the worst moment of a step, beyond the inputs and their gradients."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step(loss, work, inputs)
    torch.cuda.synchronize()
    own = sum(x.numel() * x.element_size() for x in inputs if x.requires_grad)
    return torch.cuda.max_memory_allocated() - before - own


def product_flops(dtype: torch.dtype) -> float:
    """Operations a second of a large product in that dtype, as the work's precision has it."""
    x = torch.randn(SIDE, SIDE, device="cuda", dtype=dtype)
    x @ x
    return 2 * SIDE**3 / (min(milliseconds(lambda: x @ x) for _ in range(3)) * 1e-3)


def about() -> str:
    """What measured."""
    name, version = torch.cuda.get_device_name(), torch.version.cuda
    return (
        f"One {name}, tellapart {tellapart.__version__}, torch {torch.__version__}, CUDA {version}. Forward and "
        f"backward, medians. Errors are the largest of any gradient, against float64, at {works.SMALL} queries."
    )


if __name__ == "__main__":
    main()
