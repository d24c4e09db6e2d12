"""torchvision beside a torch of another build: its own operators cannot be loaded, and importing it then fails.

PyPI's torchvision is built for CUDA, and a torch without CUDA is often installed from elsewhere. timm needs
torchvision, and transformers imports it where it is installed. Neither calls these operators here; two have to be
known by name.
"""

from importlib.util import find_spec
from pathlib import Path

import torch

_vision = find_spec("torchvision")
assert _vision is not None
assert _vision.origin is not None
try:
    torch.ops.load_library(str(Path(_vision.origin).with_name("_C.so")))
except OSError:
    _named = torch.library.Library("torchvision", "DEF")  # for as long as this module lives
    for _name in ("nms", "qnms"):
        _named.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
