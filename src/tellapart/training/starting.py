"""The weights that a training begins with, where they are not the first: another run's, or its own from before.

Another run's weights are kept in the new run's folder when it begins, and are not asked for again. They are taken where
names and shapes agree. A model may say of its parts, as attributes of its class:

- `of_its_data`, names of parts that mean nothing for other data, and begin anew: a queue of keys, clocks;
- `copies`, names of parts with the names of those that they begin as copies of, if the other run lacks them;
- `fitted`, a method: called with the weights and the path of the other run's vocabulary, it returns weights with rows
  for the new run's words.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tellapart import reading
from tellapart.errors import InputError
from tellapart.runs import Run, is_first_process, load_weights, read_weights, write_weights
from tellapart.training.saved import weights_of
from tellapart.training.schedule import begun_after

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tellapart.training.options import TrainingOptions

_logger = logging.getLogger("tellapart")


def open_source(config: TrainingOptions) -> tuple[Run, dict[str, Tensor], str] | None:
    """The run that the options name to begin with, its weights, and how far they are trained; `None` if there is none.

    Raises:
        InputError: there is no such run, it has no weights yet, or they are damaged.
    """
    if not config.init:
        return None
    source = Run.open(Path(config.init))
    return source, *weights_of(source)


def keep_source(run: Run, config: TrainingOptions, source: Run, weights: Mapping[str, Tensor], said: str) -> None:
    """Keep another run's weights in a run that has just begun, and what its model reads texts with.

    The tokeniser comes along, and of a language model the reference, unless the options ask for another model.
    """
    before = source.options()
    if source.tokeniser.is_file() and before.get("pretrained") == getattr(config, "pretrained", None):
        shutil.copyfile(source.tokeniser, run.tokeniser)
    if source.reference.is_dir() and not getattr(config, "model", ""):
        shutil.copytree(source.reference, run.reference)
    if source.vocabulary.is_file():
        shutil.copyfile(source.vocabulary, run.start_vocabulary)
    write_weights(run.start, weights)
    run.note(init={"run": str(source.folder), "system": source.system, "said": said})


def load_start(run: Run, model: nn.Module) -> None:
    """Read into a model what its run begins with, unless that is the first weights; the first process does.

    Raises:
        InputError: the weights are damaged, or none of another run's agrees with the model's.
    """
    if not is_first_process() or not run.start.is_file() or run.checkpoint.is_file():
        return
    if begun_after(run):
        load_weights(run.start, model)
        return
    source = run.facts()["init"]
    weights = read_weights(run.start)
    fitted = getattr(model, "fitted", None)
    if fitted is not None and run.start_vocabulary.is_file():
        weights = fitted(weights, run.start_vocabulary)
    taken, other_shape, missing = take(model, weights)
    if not any(model.state_dict()[name].ndim > 1 for name in taken):
        remedy = f"Name a run with the same encoder and sizes; that one is of {source['system']}"
        raise InputError(
            f"{source['run']}: none of its weight matrices has the name and the shape of one here. {remedy}."
        )
    line = f"Begun with {len(taken)} of {len(model.state_dict())} tensors of {source['run']}, {source['said']}."
    for why, names in (("Of another shape there", other_shape), ("Not there", missing)):
        line += f" {why}: {reading.listed(names)}." if names else ""
    run.note(init=source | {"taken": taken, "other_shape": other_shape, "missing": missing})
    _logger.info(line)


def take(model: nn.Module, weights: Mapping[str, Tensor]) -> tuple[list[str], list[str], list[str]]:
    """Set what a model has in common with weights; the names of what is taken, of another shape, and missing there.

    >>> from torch import nn
    >>> old, new = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4)), nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 5))
    >>> take(new, old.state_dict())
    (['0.weight', '0.bias'], ['1.weight', '1.bias'], [])
    """
    state = model.state_dict()
    anew, copies = getattr(model, "of_its_data", ()), getattr(model, "copies", {})
    taken: dict[str, Tensor] = {}
    other_shape, missing = [], []
    for name, own in state.items():
        part, _, rest = name.partition(".")
        found = None if part in anew else weights.get(name)
        if found is None and part in copies:
            found = weights.get(f"{copies[part]}.{rest}")
        if found is None:
            missing.append(name)
        elif found.shape != own.shape:
            other_shape.append(name)
        else:
            taken[name] = found
    model.load_state_dict(state | taken)
    return list(taken), other_shape, missing
