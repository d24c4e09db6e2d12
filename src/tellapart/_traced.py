"""What PyTorch traces or transforms: tensors of which only plain operations may be taken.

The loss reads values, writes in place and has gradients of its own. `torch.compile`, `torch.func`, forward-mode
differentiation and tensors without values allow none of this. There the whole matrix is computed by plain operations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.autograd import forward_ad

if TYPE_CHECKING:
    from torch import Tensor

_ORDINARY = (torch.Tensor, torch.nn.Parameter)
_transform = torch._C._functorch.peek_interpreter_stack


def is_traced(tensor: Tensor) -> bool:
    """Whether only plain operations may be taken of this tensor, and its values not be read.

    So it is inside `torch.compile`, `torch.export`, the transforms of `torch.func`, `forward_ad.dual_level`, and of
    meta and fake tensors.

    >>> is_traced(torch.ones(1)), is_traced(torch.ones(1, device="meta"))
    (False, True)
    """
    if torch.compiler.is_compiling():
        return True
    return (
        _transform() is not None
        or forward_ad._current_level >= 0
        or tensor.is_meta
        or (type(tensor) not in _ORDINARY and _is_fake(tensor))
    )


def sharded(tensor: object) -> bool:
    """Whether it is a `DTensor`, whose parts lie in several processes.

    >>> sharded(torch.ones(1))
    False
    """
    kind = type(tensor)
    return kind not in _ORDINARY and kind.__module__.startswith("torch.distributed")


def _is_fake(tensor: Tensor) -> bool:
    from torch._subclasses.fake_tensor import FakeTensor  # here, for few have another kind of tensor

    return isinstance(tensor, FakeTensor)
