"""What can be done with encoders of pairs: embed items of either side, and find what an item asks for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from tellapart.domains.memories.dataset import Dataset
from tellapart.domains.memories.options import MemoryOptions, Sides
from tellapart.domains.memories.pairs import LoadPictures, load_pairs
from tellapart.domains.queries import lines_or_one
from tellapart.errors import InputError
from tellapart.runs import Commands, Embeddings, FinishedRun, Gallery, in_one

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from tellapart.domains.memories.network import Memory


def commands_for(
    make: Callable[[Any, Sides], Memory], pictures_as: Callable[[MemoryOptions], LoadPictures]
) -> Commands:
    """The commands of a system with the model `make(config, sides)`.

    Args:
        make: makes a model with its first weights.
        pictures_as: what reads pictures as the options say; their left halves ask for their right halves.
    """

    @in_one
    def read(finished: FinishedRun, memory: Memory, source: Any) -> Embeddings:
        if not isinstance(source, (str, bytes)) and not hasattr(source, "__fspath__"):
            raise InputError(f"`x` must be a file or a folder, as for --data. Got {type(source).__name__}.")
        pairs = load_pairs(str(source), pictures_as(finished.config))
        vectors = torch.cat([memory.embed_queries(pairs.queries), memory.embed_keys(pairs.keys)])
        kinds = ["query"] * len(pairs) + ["key"] * len(pairs)
        return Embeddings([*pairs.names, *pairs.names], kinds, vectors)

    return Commands(
        make_model=lambda config, run: make(config, Sides.noted(run)),
        encoder=lambda model: model,
        load=partial(Dataset.load, pictures_as),
        read=read,
        ask=lambda _, typed: lines_or_one(typed),
        find=_find,
    )


def _find(finished: FinishedRun, gallery: Gallery, query: Any) -> Float[Tensor, " d"]:
    """The query of a pair of the run, by the pair's name; or an array, which is a query itself."""
    if isinstance(query, str):
        if query not in gallery.names:
            raise InputError(f"query: the run has no pair {query!r}. Name one, such as {gallery.names[0]}.")
        assert gallery.captions is not None
        return gallery.captions[gallery.names.index(query)]
    shape = Sides.noted(finished.run).queries.shape
    try:
        item = torch.as_tensor(query)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"query: must be the name of a pair or an array of shape {shape}.") from error
    if tuple(item.shape) != shape:
        raise InputError(f"query: must be an array of shape {shape}. Got shape {tuple(item.shape)}.")
    if not bool(item.isfinite().all()):
        raise InputError("query: must hold finite numbers.")
    memory: Memory = finished.model
    return memory.embed_queries(item[None])[0]
