"""What can be done with an encoder of sentences: measure it, make vectors of sentences, find translations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tellapart.domains.given import as_texts, is_source, items_of, refuse, refuse_text
from tellapart.domains.queries import texts_only
from tellapart.domains.text.agreement import agreement
from tellapart.domains.text.dataset import Dataset, load_others
from tellapart.domains.text.encoder import embed
from tellapart.domains.text.load import load_sentences
from tellapart.errors import InputError
from tellapart.runs import Commands, FinishedRun, Gallery, Parts, Run, in_texts

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from tellapart.domains.text.encoder import Embed
    from tellapart.evaluation import Table


def commands_for(make: Callable[[Any, str], nn.Module]) -> Commands:
    """The commands of a system with the model `make(config, tokeniser)`, with an `encoder`."""

    def make_model(config: Any, run: Run) -> nn.Module:
        return make(config, "" if config.encoder == "bag" else run.read_tokeniser())

    return Commands(make_model, encoder=_encoder, load=Dataset.load, read=_read, ask=texts_only, find=_find)


def as_sentences(given: Any) -> Sequence[str]:
    """Sentences of either language.

    Args:
        given: files, as for `load_sentences`; or a list, a tuple or a column of a data frame, of sentences.

    Raises:
        InputError: neither, or a missing or broken file, or a row without text.
    """
    if is_source(given):
        refuse_text(str(given))
        return load_sentences(str(given))
    items = items_of(given)
    if items is None:
        refuse(given, "be a file, or a list or column of sentences")
    return as_texts(items, "sentence")


def score(finished: FinishedRun, source: str) -> Table:
    """The cosine of each pair of a file, the least first."""
    return agreement(load_others(source, finished.config), _encoder(finished.model))


def _encoder(model: Any) -> Embed:
    return partial(embed, model.encoder)


def _read(_: FinishedRun, encode: Embed, source: Any) -> Parts:
    return in_texts(as_sentences(source), "sentence", encode)


def _find(finished: FinishedRun, _: Gallery, query: Any) -> Float[Tensor, " d"]:
    if not isinstance(query, str):
        raise InputError(f"query: must be a sentence. Got {type(query).__name__}.")
    return _encoder(finished.model)([query])[0]
