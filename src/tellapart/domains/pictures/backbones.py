"""Image backbones of `transformers` and `timm` as encoders, from a configuration or a folder; nothing is downloaded."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from tellapart.errors import InputError, requirement

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from transformers import PretrainedConfig

_ANY_SIDE = 64  # the side of the trial picture for models that take any size


class Backbone(nn.Module):
    """Pictures to the pooled features of a `transformers` model.

    Pictures are resized to the configuration's `image_size`, if it has one. Grey pictures are repeated for a model
    of three channels. They are normalised with mean and deviation 0.5, or as in the folder's
    `preprocessor_config.json`. The features are the model's `pooler_output`. If there is no pooler, or no weights for
    it, they are the mean over all places of the last layer.

    Args:
        model: a model type such as "vit" or "resnet", or a configuration, for random weights; or a folder with its
            weights as safetensors, as `save_pretrained` or timm's `save_for_hf` write it (the latter needs timm).
        channels: the pictures' channels, 1 or 3.
        options: options of a model type's configuration, as a mapping or as JSON.

    Shapes: `UInt8[Tensor, "n channels h w"]`, or floating-point in [0, 1], to `Float[Tensor, "n dim"]`; `dim` is an
    attribute.

    Raises:
        InputError: `transformers` is missing; no such model type or folder; unknown or impossible options; weights
            missing or not as safetensors; a model for other inputs, or for another number of channels.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, model: str | Path | PretrainedConfig, channels: int, options: Mapping[str, object] | str | None = None
    ) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise ValueError(requirement("channels", "be 1 or 3", channels))
        name = str(model) if isinstance(model, (str, Path)) else type(model).__name__
        with _failing_as(f"{name}: cannot build the model"):
            built = _build(model, channels, _parsed(options))
        self.model, self.has_pooler = built.model, built.has_pooler
        self.channels, self.model_channels = channels, int(getattr(built.model.config, "num_channels", channels))
        if self.model_channels not in (channels, 3):
            raise InputError(f"{name}: takes pictures of {self.model_channels} channels. Convert yours.")
        self.side = _side(built.model.config, name)
        self.register_buffer("mean", torch.tensor(built.mean).reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(built.deviation).reshape(1, -1, 1, 1), persistent=False)
        with _failing_as(f"{name}: cannot make features of a picture"):
            self.dim = self._try_out()

    def forward(self, pictures: UInt8[Tensor, "n c h w"] | Float[Tensor, "n c h w"]) -> Float[Tensor, "n dim"]:
        """Pooled features of pictures."""
        weight = next(self.model.parameters())
        shade = pictures.to(weight.device, weight.dtype)
        shade = shade if pictures.is_floating_point() else shade / 255
        if self.side is not None and shade.shape[-2:] != (self.side, self.side):
            shade = nn.functional.interpolate(shade, size=(self.side, self.side), mode="bilinear", antialias=True)
        shade = shade.expand(-1, self.model_channels, -1, -1)
        output = self.model(pixel_values=(shade - self.mean) / self.deviation)
        if self.has_pooler and getattr(output, "pooler_output", None) is not None:
            features: Tensor = output.pooler_output
            return features.flatten(1)  # convolutional networks leave a side of 1
        places: Tensor = output.last_hidden_state
        return places.mean(dim=1) if places.ndim == 3 else places.flatten(2).mean(dim=2)

    @torch.no_grad()
    def _try_out(self) -> int:
        """The length of the features, from one empty picture; a model that does not fit fails here."""
        self.eval()
        side = self.side or _ANY_SIDE
        dim = self(torch.zeros(1, self.channels, side, side)).shape[1]
        self.train()
        return int(dim)


class _Built(NamedTuple):
    """A model, whether its pooler has weights, and the normalisation of its pictures, one or one a channel."""

    model: Any
    has_pooler: bool = True
    mean: tuple[float, ...] = (0.5,)
    deviation: tuple[float, ...] = (0.5,)


def _build(model: str | Path | PretrainedConfig, channels: int, options: dict[str, object]) -> _Built:
    try:
        from transformers import AutoModel, PretrainedConfig
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    except ImportError as error:
        remedy = "pip install 'tellapart[transformers]'"
        raise InputError(f"{model}: the package {error.name} is missing. {remedy}.") from error
    if isinstance(model, (str, Path)) and str(model) in CONFIG_MAPPING:
        config = _config(CONFIG_MAPPING[str(model)], channels, options)
        return _Built(AutoModel.from_config(config, trust_remote_code=False))
    if options:
        raise InputError(f"{model}: options go with a model type, such as vit. Leave them out.")
    if isinstance(model, PretrainedConfig):
        return _Built(AutoModel.from_config(model, trust_remote_code=False))
    folder = Path(model)
    if not folder.is_dir():
        remedy = "Name a model type of transformers, such as vit or resnet, or a folder with a model"
        raise InputError(f"{model}: neither a model type nor a folder. {remedy}.")
    network, has_pooler = _load(folder)
    return _Built(network, has_pooler, *_normalisation(folder / "preprocessor_config.json", network.config))


def _config(kind: Any, channels: int, options: dict[str, object]) -> Any:
    """A model type's configuration; unknown options, which the library would ignore, are refused."""
    usual = kind()
    if unknown := [name for name in options if not hasattr(usual, name)]:
        raise InputError(f"{kind.model_type}: no option {' and no option '.join(unknown)}. See {kind.__name__}.")
    given = {"num_channels": channels} if hasattr(usual, "num_channels") else {}
    return kind(**given | options)


def _load(folder: Path) -> tuple[Any, bool]:
    """A model from a folder, and whether the folder has weights for its pooler."""
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    config.transformers_weights = None  # a configuration must not name another file, which might be a pickle
    if of_timm := getattr(config, "model_args", None):  # transformers asks timm for no classes itself
        config.model_args = {name: value for name, value in of_timm.items() if name != "num_classes"}
    with _quiet():
        model, found = AutoModel.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # they are found below
            output_loading_info=True,
        )
    missing = {*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])}
    poolers = {key for key in missing if "pooler" in key}
    if required := sorted(missing - poolers):
        what = f"{len(required)} weights of another shape or missing, such as {required[0]}"
        raise InputError(f"{folder}: {what}. Save the whole model anew.")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not (poolers and "pooler" in name))  # an unused pooler never gets a gradient
    return model, not poolers


def _normalisation(file: Path, config: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of a preprocessor's configuration or, for a model of timm, of its own, in [0, 1]."""
    if not file.is_file():
        of_timm = getattr(config, "pretrained_cfg", None) or {}
        return tuple(of_timm.get("mean", (0.5,))), tuple(of_timm.get("std", (0.5,)))
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        mean, deviation = (_numbers(settings.get(f"image_{name}", 0.5)) for name in ("mean", "std"))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file}: not a preprocessor's configuration, {_line(error)}. Restore or remove it."
        ) from error
    if not all(number > 0 for number in deviation):
        raise InputError(f"{file}: image_std must be positive. Got {deviation}.")
    return ((0.0,), (1.0,)) if settings.get("do_normalize") is False else (mean, deviation)


def _numbers(value: Any) -> tuple[float, ...]:
    numbers = tuple(float(number) for number in (value if isinstance(value, list) else [value]))
    if not all(map(math.isfinite, numbers)):
        raise ValueError("it holds a number that is not finite")
    return numbers


def _parsed(options: Mapping[str, object] | str | None) -> dict[str, object]:
    try:
        parsed = json.loads(options) if isinstance(options, str) else dict(options or {})
    except ValueError as error:
        raise InputError(requirement("options", "be JSON", f"{options!r}: {error}")) from error
    if not isinstance(parsed, dict):
        raise InputError(requirement("options", 'be a JSON object, such as {"patch_size": 4}', repr(options)))
    return parsed


def _side(config: Any, name: str) -> int | None:
    """The side of the squares that a model takes, or `None` for any."""
    image_size: object = getattr(config, "image_size", None)
    of_timm = getattr(config, "pretrained_cfg", None) or {}
    if of_timm.get("fixed_input_size"):
        image_size = of_timm["input_size"][1:]
    sides = {image_size} if image_size is None or isinstance(image_size, int) else set(image_size)  # type: ignore[call-overload]
    if len(sides) != 1:
        raise InputError(f"{name}: takes pictures of {image_size}. Only squares are supported.")
    side = sides.pop()
    return None if side is None else int(side)


@contextmanager
def _failing_as(what: str) -> Iterator[None]:
    """Turn every exception into an `InputError`, because each model fails in its own way."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{what}, {_line(error)}.") from error


def _line(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}…"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep loading bars and reports off the terminal; missing weights are checked separately."""
    from transformers.utils import logging

    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()
