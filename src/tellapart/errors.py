"""The message format of all errors, the argument checks, and the switch for costly checks.

Library calls raise `ValueError` or `TypeError`. A mistake outside Python (a file, a folder, a full disk) is an
`InputError`: the command line shows its one line and exits with code 2.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tellapart._traced import is_sharded, is_traced

if TYPE_CHECKING:
    from torch import Tensor

_debug: ContextVar[bool] = ContextVar("tellapart_debug", default=False)
_memory_budget: ContextVar[int] = ContextVar("tellapart_memory_budget", default=2**30)
_kernels: ContextVar[str] = ContextVar("tellapart_kernels", default="auto")
KERNEL_SETS = ("auto", "torch", "triton")


class InputError(ValueError):
    """A user's mistake: the message names the file or option, what is wrong with it, and the remedy."""


class NotFiniteError(ValueError):
    """A NaN or an infinity in embeddings or a temperature: broken data, or a training that diverged."""


@contextmanager
def options(
    *, debug: bool | None = None, memory_budget: int | None = None, kernels: str | None = None
) -> Iterator[None]:
    """Set library-wide options for the calls inside the `with` block; options not named are unchanged.

    Args:
        debug: run value checks on accelerators, too, where they cost a synchronisation. On the CPU they always run.
            Off by default.
        memory_budget: bytes of scores that the streamed loss may keep from its forward for its backward pass. It
            keeps them where computing them again would take longer. 1 GiB by default; 0 keeps none.
        kernels: what computes the streamed loss: "auto", the default, Triton's kernels on a GPU and plain operations
            elsewhere; "torch", plain operations; "triton", Triton's kernels wherever they can, on the CPU under
            `TRITON_INTERPRET=1`.

    Raises:
        InputError: `kernels="triton"` where Triton is not installed.
        ValueError: a negative memory budget, or unknown kernels.

    >>> with options(memory_budget=0):
    ...     memory_budget()
    0
    """
    if memory_budget is not None and memory_budget < 0:
        raise ValueError(requirement("memory_budget", "be at least 0 bytes", memory_budget))
    if kernels is not None:
        check_choice("kernels", kernels, KERNEL_SETS)
        if kernels == "triton" and find_spec("triton") is None:
            raise InputError('kernels="triton" needs Triton, which is not installed: pip install "triton>=3.7"')
    given: list[tuple[ContextVar[Any], object]] = [
        (_debug, debug),
        (_memory_budget, memory_budget),
        (_kernels, kernels),
    ]
    tokens = [(variable, variable.set(value)) for variable, value in given if value is not None]
    try:
        yield
    finally:
        for variable, token in tokens:
            variable.reset(token)


def kernel_set() -> str:
    """Which kernels were asked for: see `options`.

    >>> kernel_set()
    'auto'
    """
    return _kernels.get()


def prefers_triton(device: torch.device, kernels: str | None = None) -> bool:
    """Whether Triton's kernels are tried first on a device. `kernels` is what `options` was given; else what holds now.

    >>> prefers_triton(torch.device("cpu")), prefers_triton(torch.device("cuda"))
    (False, True)
    """
    kernels = kernel_set() if kernels is None else kernels
    return kernels == "triton" or (kernels == "auto" and device.type == "cuda")


def memory_budget() -> int:
    """Bytes of scores that may be kept from the forward for the backward pass: see `options`.

    >>> memory_budget() == 2**30
    True
    """
    return _memory_budget.get()


def values_are_checked(tensor: Tensor) -> bool:
    """Whether checks may read a tensor's values: on the CPU, elsewhere under `options(debug=True)`; not when traced.

    >>> values_are_checked(torch.zeros(2))
    True
    """
    return not is_traced(tensor) and (at_hand(tensor) or _debug.get())


def at_hand(tensor: Tensor) -> bool:
    """Whether values can be read without waiting for a device, as those on the CPU.

    >>> at_hand(torch.zeros(2))
    True
    """
    return tensor.is_cpu


def requirement(parameter: str, must: str, got: object) -> str:
    """A message in the common format: parameter, requirement, value found.

    >>> requirement("temperature", "be positive", -0.1)
    '`temperature` must be positive. Got -0.1.'
    """
    return f"`{parameter}` must {must}. Got {got}."


def require_option(option: str, holds: bool, must: str, got: object) -> None:
    """Raise `InputError` in the common format unless the option's requirement `holds`.

    >>> require_option("epochs", 0 >= 1, "be at least 1", 0)
    Traceback (most recent call last):
    tellapart.errors.InputError: `epochs` must be at least 1. Got 0.
    """
    if not holds:
        raise InputError(requirement(option, must, got))


def check_choice(parameter: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise `ValueError` unless `value` is one of `choices`.

    >>> check_choice("reduction", "mean", ("mean", "sum"))
    """
    if value not in choices:
        raise ValueError(requirement(parameter, f"be one of {', '.join(map(repr, choices))}", repr(value)))


def check_embeddings(parameter: str, value: Tensor, dims: tuple[int, ...] = (2,), *, empty: bool = False) -> None:
    """Raise unless `value` is a finite, non-empty floating-point tensor with a number of dimensions in `dims`.

    With `empty`, it may have no rows.

    Raises:
        TypeError: not a floating-point tensor.
        ValueError: a wrong number of dimensions, an empty tensor, or a row that is not finite.

    >>> check_embeddings("queries", torch.ones(3, 2))
    """
    check_vectors(parameter, value, dims, empty=empty)
    check_finite(parameter, value)


def check_vectors(parameter: str, value: Tensor, dims: tuple[int, ...] = (2,), *, empty: bool = False) -> None:
    """As `check_embeddings`, without reading the values; with `empty`, the last but one dimension may be 0.

    >>> check_vectors("queries", torch.ones(3, 2))
    """
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        got = value.dtype if isinstance(value, torch.Tensor) else type(value).__name__
        raise TypeError(requirement(parameter, "be a floating-point tensor", got))
    if is_sharded(value):
        must = "be a tensor of this process: `.full_tensor()`, or `.to_local()` with `group=` the processes that share"
        raise TypeError(requirement(parameter, must, type(value).__name__))
    shape = tuple(value.shape)
    if value.ndim not in dims:
        raise ValueError(requirement(parameter, f"have {' or '.join(map(str, dims))} dimensions", f"shape {shape}"))
    if 0 in ((*shape[:-2], shape[-1]) if empty else shape):
        raise ValueError(requirement(parameter, "not be empty", f"shape {shape}"))


def check_finite(parameter: str, value: Tensor) -> None:
    """Raise `NotFiniteError` that names the first row of `value` with a NaN or an infinity.

    >>> check_finite("keys", torch.tensor([[0.0], [float("nan")]]))
    Traceback (most recent call last):
    tellapart.errors.NotFiniteError: `keys` must be finite. Got nan in row 1.
    """
    if not values_are_checked(value):
        return
    # A NaN or an infinity survives in the sum. Finite numbers can overflow in it, hence the second test.
    if math.isfinite(value.detach().sum().item()) or bool((value := value.to_dense()).isfinite().all()):
        return
    flat = value.detach().reshape(value.shape[0], -1) if value.ndim else value.detach().reshape(1, 1)
    row = int((~flat.isfinite()).any(dim=1).nonzero()[0, 0])
    bad = flat[row][~flat[row].isfinite()][0].item()
    raise NotFiniteError(requirement(parameter, "be finite", f"{bad} in row {row}"))


def check_loss(loss: Tensor) -> Tensor:
    """The same loss; raise `NotFiniteError` if it is NaN or infinite, as finite embeddings make it by overflow.

    >>> check_loss(torch.tensor(float("nan")))
    Traceback (most recent call last):
    tellapart.errors.NotFiniteError: `queries` must have logits that torch.float32 can hold (...). Got a loss of nan.
    """
    if values_are_checked(loss):
        total = (loss.detach().sum() if loss.ndim else loss).item()
        if not math.isfinite(total) and not bool(loss.isfinite().all()):
            must = f"have logits that {loss.dtype} can hold (scale them down, raise τ or pass float64)"
            raise NotFiniteError(requirement("queries", must, f"a loss of {total}"))
    return loss


def as_temperature(temperature: object, n_queries: int) -> float | Tensor:
    """τ as a number, a 0-d tensor, or a tensor with one entry per query; raise unless it is positive and finite.

    One number may come in any shape, and in NumPy's types.

    Raises:
        TypeError: neither a number nor a tensor or an array.
        ValueError: not positive, not finite, or of another shape.

    >>> as_temperature(torch.tensor([[0.5]]), 4)
    tensor(0.5000)
    >>> as_temperature(-0.1, 4)
    Traceback (most recent call last):
    ValueError: `temperature` must be positive and finite. Got -0.1.
    """
    must = "be positive and finite"
    if not isinstance(temperature, (torch.Tensor, float, int)):
        if not isinstance(temperature, (np.ndarray, np.generic)) or temperature.dtype.kind not in "fiu":
            what = "be a number or a tensor (of a LearnedTemperature, the value that calling it returns)"
            raise TypeError(requirement("temperature", what, type(temperature).__name__))
        temperature = temperature.item() if temperature.size == 1 else torch.as_tensor(temperature)
    if not isinstance(temperature, torch.Tensor):
        if not 0 < temperature < float("inf"):
            raise ValueError(requirement("temperature", must, temperature))
        return float(temperature)
    values: Tensor = temperature.full_tensor() if is_sharded(temperature) else temperature
    shape = tuple(values.shape)
    if shape not in ((), (n_queries,)):
        if values.numel() != 1:
            must = f"be a scalar or one per query ({n_queries},)"
            raise ValueError(requirement("temperature", must, f"shape {shape}"))
        values = values.reshape(())
    if values_are_checked(values):
        # One number is compared in Python: in a small loss each call of PyTorch counts.
        numbers = values[~((values > 0) & values.isfinite())] if values.ndim else values
        bad = [number for number in numbers.reshape(-1).tolist() if not 0 < number < math.inf]
        if bad:
            # An infinite learned temperature means that the training diverged.
            raise (ValueError if math.isfinite(bad[0]) else NotFiniteError)(requirement("temperature", must, bad[0]))
    return values


def exists(name: str) -> bool:
    """Whether there is a file or folder of this name; False for text too long to be a name.

    >>> exists("."), exists(100 * "ACGT")
    (True, False)
    """
    try:
        return Path(name).exists()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise


def existing(source: str) -> Path:
    """The path of a file or folder that a user named.

    Raises:
        InputError: there is none.

    >>> existing("nowhere")
    Traceback (most recent call last):
    tellapart.errors.InputError: nowhere: there is no such file or folder.
    """
    if not exists(source):
        raise InputError(f"{source}: there is no such file or folder.")
    return Path(source)


_DISK = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would exceed the size limit",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the disk is read-only",
    errno.ENOTDIR: "a part of its path is a file, not a folder",
    errno.EEXIST: "a part of its path is a file, not a folder",
    errno.EISDIR: "it is a folder",
}


def cannot_write(path: Path, error: OSError) -> InputError:
    """The `InputError` for a failed write: the file, the cause, and the remedy.

    >>> print(cannot_write(Path("out.npz"), OSError(errno.ENOSPC, "No space left on device")))
    out.npz: cannot write, the disk is full. Make room or choose another place, and run the command again.
    """
    why = _DISK.get(error.errno or 0, error.strerror or str(error))
    return InputError(f"{path}: cannot write, {why}. Make room or choose another place, and run the command again.")
