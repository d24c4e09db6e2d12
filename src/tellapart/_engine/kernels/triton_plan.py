"""What is known of a problem's launches once they have been made: the same ones take the host less time."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from torch import Tensor

Made = tuple[Any, tuple[int, ...], dict[str, Any], dict[str, int]]
"""A kernel, its grid, its constants, and what Triton's compiler is told."""


class Plan:
    """Kernels that were compiled for arguments of the same kinds, and are called again without looking at these.

    Triton finds a program by the type, alignment and divisibility of each argument, which takes the host longer than
    the launch. The owner of a plan vouches that they are the same at each launch of a name.
    """

    def __init__(self) -> None:
        self._ready: dict[Hashable, Callable[..., None]] = {}
        self._kept: dict[Hashable, Any] = {}

    def launch(self, name: Hashable, arguments: tuple[Any, ...], make: Callable[[], Made]) -> None:
        """Launch what is planned under a name; it is made at the first launch, with its constants as last arguments.

        Raises:
            RuntimeError: Triton cannot compile the kernel, or the device has too little memory of its own for it.
        """
        if (run := self._ready.get(name)) is not None:
            run(*arguments)
            return
        kernel, grid, constants, options = make()
        program = _first(kernel, grid, arguments, constants | options)
        if program is not None:  # as where it is interpreted
            runner, last = program[(*grid, 1, 1)[:3]], [constants[x] for x in kernel.arg_names if x in constants]
            self._ready[name] = lambda *given: runner(*given, *last)

    def kept(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """What follows from what the plan is for; it is made once."""
        if (found := self._kept.get(name)) is None:
            found = self._kept[name] = make()
        return found


def _first(kernel: Any, grid: tuple[int, ...], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    try:
        return kernel[grid](*arguments, **named)
    except Exception as error:
        # What a pass of Triton's compiler raises is no class of its own.
        if not type(error).__module__.startswith("triton.") and "PassManager" not in str(error):
            raise
        told = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".")
        raise RuntimeError(
            f"Triton cannot run `{kernel.__name__}` here ({type(error).__name__}: {told}). "
            'Compute the loss under `with tellapart.options(kernels="torch"):`, by PyTorch\'s own operations.'
        ) from error


_plans: dict[Hashable, Plan] = {}
_MOST_PLANS = 512


def plan_for(key: Hashable) -> Plan:
    """The plan of problems with the same key, which tells all kinds of arguments.

    >>> plan_for("x") is plan_for("x")
    True
    """
    if (plan := _plans.get(key)) is None:
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        plan = _plans[key] = Plan()
    return plan


def kind_of(argument: Tensor | float | None) -> Hashable:
    """For what of an argument a kernel is compiled: a tensor's type and alignment, a whole number, a number's type.

    >>> import torch
    >>> kind_of(torch.ones(1)), kind_of(3), kind_of(0.5)
    ((torch.float32, 0), 3, <class 'float'>)
    """
    if isinstance(argument, Tensor):
        return argument.dtype, argument.data_ptr() % 16
    return float if isinstance(argument, float) else argument
