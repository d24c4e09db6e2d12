"""What can be done with vectors of words: measure, embed, search, solve analogies, and hand them to other programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from tellapart import reading
from tellapart.domains.given import as_texts, is_source, items_of, refuse
from tellapart.domains.queries import texts_only
from tellapart.domains.words.dataset import Dataset
from tellapart.domains.words.formats import write_vectors
from tellapart.domains.words.network import WordVectors
from tellapart.domains.words.reading import find_files, read_blocks
from tellapart.domains.words.taken import VOCABULARY
from tellapart.domains.words.vocabulary import Vocabulary
from tellapart.errors import InputError
from tellapart.runs import (
    Commands,
    Embeddings,
    FinishedRun,
    Found,
    Gallery,
    Query,
    Run,
    in_one,
    nearest_in,
    vectors_of_queries,
)

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from tellapart.domains.words.options import WordOptions

_SIGNS = {"+": 1.0, "-": -1.0, "−": -1.0}


def make_model(config: WordOptions, run: Run) -> WordVectors:
    """The vectors of a run's words, as they are at first."""
    return WordVectors(config, Vocabulary.load(run.corpus / VOCABULARY))


def search(finished: FinishedRun, queries: Iterable[Query], k: int) -> list[Found]:
    """The words with the vectors most like each query's, but for the query's own words.

    Args:
        finished: the run.
        queries: each a word, or several with signs between them: "king - man + woman". The sum is of unit vectors.
        k: how many.

    Raises:
        InputError: a word that has no vector, or signs without words.
    """
    finished.run.check_trained()
    gallery = Gallery.load(finished.run.gallery)
    asked, vectors = vectors_of_queries(queries, partial(_find, finished, gallery))
    own = [{word for word, _ in terms(finished, query.value)} for query in asked]
    hits = gallery.search(vectors, k + max(map(len, own)), nearest_in(finished.run, gallery))
    return [
        Found(query.name, [hit for hit in found if hit.name not in words][:k])
        for query, words, found in zip(asked, own, hits, strict=True)
    ]


def export(finished: FinishedRun, output: Path) -> str:
    """Write the words and their vectors, as they are, in a format of word2vec; says how many.

    Args:
        finished: the run.
        output: a `.bin` for the binary format, `.txt` or `.vec` for text; gzipped if `.gz` follows.

    Raises:
        InputError: another suffix, or the file cannot be written.
    """
    suffix = (output.with_suffix("") if output.suffix == ".gz" else output).suffix
    if suffix not in (".bin", ".txt", ".vec"):
        raise InputError(f"{output}: the output must end in .bin, .txt or .vec, or one of these and .gz.")
    words = finished.model.vocabulary.words
    write_vectors(output, words, finished.model.table().numpy())
    return f"{len(words):,} words"


def terms(finished: FinishedRun, query: Any) -> list[tuple[str, float]]:
    """The words of a query, each with its sign."""
    if not isinstance(query, str):
        raise InputError(f"query: must be words. Got {type(query).__name__}.")
    asked, sign = [], 1.0
    for part in (query.lower() if finished.config.lower else query).split():
        if part in _SIGNS:
            sign = _SIGNS[part]
        else:
            asked.append((part, sign))
            sign = 1.0
    if not asked or query.split()[-1] in _SIGNS:
        raise InputError(f"query: a word must follow each sign, as in 'king - man + woman'. Got {query!r}.")
    return asked


def _find(finished: FinishedRun, _: Gallery, query: Any) -> Float[Tensor, " d"]:
    words, signs = zip(*terms(finished, query), strict=True)
    units = nn.functional.normalize(finished.model.of(list(words)))
    return nn.functional.normalize(torch.tensor(signs) @ units, dim=0)


@in_one
def _read(finished: FinishedRun, model: WordVectors, source: Any) -> Embeddings:
    """Of a list each word; of a text its words, each once, the most frequent first; without those of no vector."""
    if is_source(source):
        words = [word for word in _words_of(finished.config, source) if model.knows(word)]
        if not words:
            raise InputError(f"{source}: none of its words has a vector.")
    else:
        items = items_of(source)
        if items is None:
            refuse(source, "be a text file, or a list or column of words")
        words = as_texts(items, "word")
    return Embeddings(words, ["word"] * len(words), nn.functional.normalize(model.of(words)))


def _words_of(config: WordOptions, source: str | Path) -> list[str]:
    counted: Counter[str] = Counter()
    n_lines = 0
    for path in find_files(source):
        for block in read_blocks(path):
            sentences = config.tokens().cut(block)
            n_lines += int((np.diff(sentences.ends, prepend=0) > 0).sum())
            for pair in sentences.words.value_counts().to_pylist():
                counted[pair["values"]] += pair["counts"]
    reading.judge(n_lines)
    return [word for word, _ in counted.most_common()]


commands = Commands(
    make_model, encoder=lambda model: model, load=Dataset.load, read=_read, ask=texts_only, find=_find, can_move=False
)
