"""The vectors of words: what is trained, and what is made of it."""

from __future__ import annotations

import logging
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from tellapart.domains.words.subwords import Parts, bucket, ngrams, parts_of
from tellapart.domains.words.vocabulary import Vocabulary
from tellapart.errors import InputError, requirement
from tellapart.runs import Gallery

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jaxtyping import Float

    from tellapart.domains.words.options import WordOptions
    from tellapart.skip_gram import SkipGram

_logger = logging.getLogger("tellapart")
_LANES = 16  # floats of which the kernel takes whole groups


class WordVectors(nn.Module):
    """Input and output vectors. The input vectors are what is kept: those of words, then those of n-grams' buckets.

    The first weights are word2vec.c's: inputs uniform in ±1/(2d), decided by the seed; outputs zero.
    """

    def __init__(self, options: WordOptions, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.options, self.vocabulary = options, vocabulary
        rows = len(vocabulary) + (options.buckets if options.subwords else 0)
        self.inputs = _padded(rows, options.dim)
        self.outputs = _padded(len(vocabulary), options.dim)
        random = torch.Generator().manual_seed(options.seed)
        drawn = torch.empty(rows, options.dim).uniform_(-0.5, 0.5, generator=random)
        self.inputs.copy_(drawn / options.dim)

    @cached_property
    def parts(self) -> Parts:
        """Which rows of `inputs` make each word's vector."""
        return parts_of(self.vocabulary.words, self.options.subwords, self.options.buckets)

    def table(self) -> Float[Tensor, "v d"]:
        """The vectors of all words of the vocabulary, in its order."""
        return self._sums(self.parts)

    def units(self) -> Float[Tensor, "v d"]:
        """The same, at length 1."""
        return nn.functional.normalize(self.table())

    def gallery(self) -> Gallery:
        """All words of the vocabulary, the most frequent first."""
        words = self.vocabulary.words
        nowhere = torch.zeros(len(words), dtype=torch.bool)
        return Gallery(words, None, nowhere, self.units(), None, None, kind="word", ranked=True)

    def of(self, words: list[str]) -> Float[Tensor, "n d"]:
        """The vectors of words; with subwords of unseen words, too.

        Raises:
            InputError: a word that has none.
        """
        options, n = self.options, len(self.vocabulary)
        rows = []
        for word in words:
            own = self.vocabulary.index(word)
            found = [] if own is None else [own]
            if options.subwords:
                found += [n + bucket(ngram, options.buckets) for ngram in ngrams(word, options.subwords)]
            if not found:
                raise InputError(f"The word {word!r} has no vector: {self._why(word)}.")
            rows.append(found)
        return self._sums(Parts.of(rows))

    def knows(self, word: str) -> bool:
        """Whether it has a vector."""
        return word in self.vocabulary or bool(self.options.subwords and ngrams(word, self.options.subwords))

    def _why(self, word: str) -> str:
        if word.lower() in self.vocabulary:
            return f"there is {word.lower()!r}"
        return f"it occurs in the text fewer than {self.options.min_count} times; --subwords 6 gives vectors to such"

    def _sums(self, parts: Parts) -> Float[Tensor, "n d"]:
        rows, starts, scale = (torch.from_numpy(np.asarray(part)) for part in parts)
        sums = nn.functional.embedding_bag(rows, self.inputs.detach().contiguous(), starts[:-1], mode="sum")
        return sums * scale[:, None]

    def fitted(self, weights: Mapping[str, Tensor], vocabulary: Path) -> dict[str, Tensor]:
        """Another training's vectors, row by row of these: words that it lacks keep their first vectors.

        Args:
            weights: the other training's.
            vocabulary: its words, in the order of its rows.

        Raises:
            InputError: no word in common, vectors of another length, or other buckets for n-grams.
        """
        other = Vocabulary.load(vocabulary)
        both = (self.inputs, self.vocabulary), (weights["inputs"], other)
        sizes = [(len(rows) - len(words), rows.shape[1]) for rows, words in both]
        if sizes[0] != sizes[1]:
            told = [f"{n} buckets of n-grams and vectors of length {dim}" for n, dim in sizes]
            must = f"have {told[0]}, as this run: --dim, --subwords and --buckets"
            raise InputError(requirement("init", must, told[1]))
        common = [(i, j) for i, word in enumerate(self.vocabulary.words) if (j := other.index(word)) is not None]
        if not common:
            raise InputError(requirement("init", "know a word of this run's text", "none"))
        own, theirs = torch.tensor(common).T
        inputs, outputs, n = self.inputs.clone(), self.outputs.clone(), len(self.vocabulary)
        inputs[own], outputs[own] = weights["inputs"][theirs], weights["outputs"][theirs]
        inputs[n:] = weights["inputs"][len(other) :]
        _logger.info(f"{len(common):,} of {n:,} words have vectors there; the others begin with those of the seed.")
        return {"inputs": inputs, "outputs": outputs}

    def kernel(self) -> SkipGram:
        """What trains these vectors, in place.

        Raises:
            InputError: numba is missing.
        """
        require_kernel()
        from tellapart.skip_gram import Noise, SkipGram, Vectors

        options, words = self.options, self.vocabulary
        parts = Parts(*map(np.ascontiguousarray, self.parts))
        return SkipGram(
            Vectors(_whole(self.inputs), _whole(self.outputs), *parts),
            Noise.of(words.counts**0.75),
            np.ceil(words.keep_probabilities(options.sample) * 2.0**32).astype(np.uint64),
            softmax=options.objective == "infonce",
            negatives=options.negatives,
            radius=options.window,
            threads=options.threads,
            hogwild=options.hogwild,
        )


def require_kernel() -> None:
    """Raise `InputError` unless numba, which compiles the kernel, is installed."""
    if find_spec("numba") is None:
        raise InputError("the package numba is missing. pip install 'tellapart[words]'.")


def _padded(rows: int, dim: int) -> nn.Parameter:
    """Zeros, each row with room for whole groups of 16 floats, as the kernel takes them.

    Rows begin where lines of the cache do, which threads then do not share. NumPy asks for large pages of memory, as
    torch does not; with them rows are found faster.
    """
    width = -(-dim // _LANES) * _LANES
    flat = np.zeros(rows * width + _LANES, np.float32)
    first = -flat.ctypes.data % (flat.itemsize * _LANES) // flat.itemsize
    whole = torch.from_numpy(flat[first : first + rows * width].reshape(rows, width))
    return nn.Parameter(whole[:, :dim], requires_grad=False)


def _whole(parameter: nn.Parameter) -> Any:
    """The padded rows, which share their memory with the parameter."""
    return torch.as_strided(parameter.detach(), (len(parameter), parameter.stride(0)), parameter.stride()).numpy()
