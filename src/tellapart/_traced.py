"""What PyTorch traces or transforms: tensors of which only plain operations may be taken.

The loss reads values, writes in place and has gradients of its own. `torch.compile`, `torch.func`, forward-mode
differentiation and tensors without values allow none of this. There the whole matrix is computed by plain operations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeGuard, TypeVar

import torch
from torch.autograd import forward_ad

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed.tensor import DTensor

P = ParamSpec("P")
R = TypeVar("R")

_ORDINARY = (torch.Tensor, torch.nn.Parameter)
_transform, _mode = torch._C._functorch.peek_interpreter_stack, torch._C._get_dispatch_mode
_n_modes, _is_compiling = torch._C._len_torch_dispatch_stack, torch.compiler.is_compiling
_FAKE, _PROXY = torch._C._TorchDispatchModeKey.FAKE, torch._C._TorchDispatchModeKey.PROXY


def is_traced(tensor: Tensor) -> bool:
    """Whether only plain operations may be taken of this tensor, and its values not be read.

    So it is inside `torch.compile`, `torch.export`, `make_fx`, the transforms of `torch.func`, `forward_ad.dual_level`
    and `FakeTensorMode`, and of meta and fake tensors.

    >>> is_traced(torch.ones(1)), is_traced(torch.ones(1, device="meta"))
    (False, True)
    """
    if _is_compiling():
        return True
    return (
        _transform() is not None
        or forward_ad._current_level >= 0
        or tensor.is_meta
        or (_n_modes() > 0 and (_mode(_FAKE) is not None or _mode(_PROXY) is not None))
        or (type(tensor) not in _ORDINARY and _is_fake(tensor))
    )


def makes_ordinary() -> bool:
    """Whether a tensor that is made here is an ordinary one, which may be kept and used anywhere.

    >>> with torch.inference_mode():
    ...     makes_ordinary()
    False
    """
    return not (
        _is_compiling()
        or _n_modes()
        or _transform() is not None
        or forward_ad._current_level >= 0
        or torch.is_inference_mode_enabled()
    )


def must_be_whole() -> bool:
    """Whether what is traced leaves no way to the streamed loss: only `torch.compile` does, by a graph break.

    >>> must_be_whole()
    True
    """
    return not torch.compiler.is_compiling() or is_exporting()


def is_exporting() -> bool:
    """Whether `torch.export` traces, and not `torch.compile`.

    The compiler of torch 2.11 takes `torch.compiler.is_exporting()` for true always; the flag behind it is right.

    >>> is_exporting()
    False
    """
    return torch.compiler._is_exporting_flag


def untraced(function: Callable[P, R]) -> Callable[P, R]:
    """The same function; `torch.compile` breaks the graph there and calls it as it is.

    >>> untraced(abs)(-1)
    1
    """
    return torch.compiler.disable(function) if torch.compiler.is_compiling() else function


def is_sharded(tensor: Tensor) -> TypeGuard[DTensor]:
    """Whether it is a `DTensor`, with parts in several processes.

    >>> is_sharded(torch.ones(1))
    False
    """
    kind = type(tensor)
    return kind not in _ORDINARY and kind.__module__.startswith("torch.distributed")


def _is_fake(tensor: Tensor) -> bool:
    from torch._subclasses.fake_tensor import FakeTensor  # here, for few have another kind of tensor

    return isinstance(tensor, FakeTensor)
