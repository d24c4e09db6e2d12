"""What word vectors know: similarity as people judge it, analogies, synonyms. All by cosine.

A word of a test is looked up as it is, then in small letters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tellapart.errors import InputError, existing
from tellapart.evaluation import roc_auc

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64

_SCORES = 2**24
"""Cosines in memory at once."""


class Similarity(NamedTuple):
    """How well cosines rank pairs of words."""

    spearman: float
    """The rank correlation with people's scores; NaN for fewer than two pairs."""
    pairs: int
    left_out: int
    """Pairs with a word that has no vector."""


class Analogies(NamedTuple):
    """How many questions of one kind were answered."""

    right: int
    asked: int
    left_out: int
    """Questions with a word that has no vector."""

    @property
    def share(self) -> float:
        """The share of right answers; NaN if nothing was asked."""
        return self.right / self.asked if self.asked else float("nan")


class Synonyms(NamedTuple):
    """How well cosines tell synonyms from other words."""

    auc: float
    """The probability that a synonym is nearer than another word of like frequency; NaN without pairs."""
    pairs: int
    left_out: int
    """Pairs with a word that has no vector."""


def similarity(
    words: list[str], vectors: Float32[np.ndarray, "v d"], pairs: Iterable[tuple[str, str, float]]
) -> Similarity:
    """Spearman's correlation of cosines with people's scores of the same pairs, as of WordSim-353.

    Source: Finkelstein et al. 2002.

    >>> vectors = np.array([[1, 0], [1, 0.1], [0, 1]], np.float32)
    >>> judged = [("cat", "dog", 9.0), ("dog", "tax", 2.0), ("cat", "tax", 1.0), ("cat", "sun", 1.0)]
    >>> found = similarity(["cat", "dog", "tax"], vectors, judged)
    >>> round(found.spearman, 6), found.pairs, found.left_out
    (1.0, 3, 1)
    """
    from scipy.stats import spearmanr

    pairs, find = list(pairs), _finder(words)
    known = [(i, j, score) for a, b, score in pairs if (i := find(a)) is not None and (j := find(b)) is not None]
    left_out = len(pairs) - len(known)
    if not known:
        return Similarity(float("nan"), 0, left_out)
    firsts, seconds, scores = (np.array(column) for column in zip(*known, strict=True))
    cosines = _cosines(vectors, firsts, seconds)
    is_constant = len(set(cosines.tolist())) < 2 or len(set(scores.tolist())) < 2
    spearman = float("nan") if is_constant else float(spearmanr(cosines, scores).statistic)
    return Similarity(spearman, len(known), left_out)


def analogies(
    words: list[str], vectors: Float32[np.ndarray, "v d"], questions: dict[str, list[tuple[str, str, str, str]]]
) -> dict[str, Analogies]:
    """Answer "a is to b as c is to …" by 3CosAdd, for each kind of question.

    With v̂ the vector of length 1, the answer to (a, b, c) is

        argmax_w  ŵ · (b̂ − â + ĉ),    w not in {a, b, c}.

    The scores are computed in blocks, so that memory does not grow with questions times words.

    Source: Mikolov, Yih and Zweig 2013, eq. 1; the name is of Levy and Goldberg 2014.

    >>> vectors = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 1], [0, 1, 0]], np.float32)
    >>> asked = {"family": [("man", "woman", "king", "queen"), ("man", "woman", "prince", "princess")]}
    >>> analogies(["man", "woman", "king", "queen", "she"], vectors, asked)
    {'family': Analogies(right=1, asked=1, left_out=1)}
    """
    find = _finder(words)
    units = _units(vectors)
    found = {}
    for kind, asked in questions.items():
        ids = [[find(word) for word in question] for question in asked]
        known = np.array([row for row in ids if None not in row], np.int64).reshape(-1, 4)
        right = sum(_n_right(units, part) for part in _parts(known, max(1, _SCORES // len(words))))
        found[kind] = Analogies(right, len(known), len(asked) - len(known))
    return found


def in_two(found: dict[str, Analogies]) -> tuple[Analogies, Analogies]:
    """The sums over semantic kinds of questions and over syntactic ones; names of the latter begin with "gram"."""
    syntactic = [kind for kind in found if kind.startswith("gram")]
    parts = [found[kind] for kind in found if kind not in syntactic], [found[kind] for kind in syntactic]
    first, second = (Analogies(*(sum(column) for column in zip((0, 0, 0), *part, strict=True))) for part in parts)
    return first, second


def synonyms(
    words: list[str],
    vectors: Float32[np.ndarray, "v d"],
    pairs: Iterable[tuple[str, str]],
    seed: int = 0,
    spread: float = 0.1,
) -> Synonyms:
    """How often the synonym of a word is nearer to it than another word of like frequency.

    Each pair (a, b) meets a pair (a, c), where c is a word drawn from the vocabulary that is no synonym of a, with
    a place that differs from that of b by at most a tenth (`spread`). The area under the ROC curve of the cosines is

        AUC = P(cos(a, b) > cos(a', c)) + P(cos(a, b) = cos(a', c)) / 2    over all (a, b) and (a', c).

    Rare words are near to each other in many trainings, so words of other frequency would be told apart by that.

    Args:
        words: the vocabulary, the most frequent word first.
        vectors: their vectors.
        pairs: synonyms.
        seed: of the draw.
        spread: the part of its place by which b's may differ from that of c; at least 5 places are open on each side.

    >>> vectors = np.array([[1, 0], [1, 0.1], [0, 1], [0, 2]], np.float32)
    >>> synonyms(["car", "auto", "tax", "duty"], vectors, [("car", "auto"), ("tax", "duty"), ("tax", "levy")])
    Synonyms(auc=1.0, pairs=2, left_out=1)
    """
    pairs, find = list(pairs), _finder(words)
    known = [(i, j) for a, b in pairs if (i := find(a)) is not None and (j := find(b)) is not None and i != j]
    drawn = _of_like_frequency(known, len(words), seed, spread)
    kept = [(i, j, other) for (i, j), other in zip(known, drawn, strict=True) if other is not None]
    if not kept:
        return Synonyms(float("nan"), 0, len(pairs))
    firsts, seconds, others = np.array(kept).T
    auc = roc_auc(_cosines(vectors, firsts, seconds), _cosines(vectors, firsts, others))
    return Synonyms(auc, len(kept), len(pairs) - len(kept))


def read_pairs(path: Path) -> list[tuple[str, str, float]]:
    """Pairs of words with people's scores, apart by tabs or commas; lines that begin with # are left out.

    Raises:
        InputError: no such file, not UTF-8, or a line of another kind.
    """
    pairs: list[tuple[str, str, float]] = []
    for number, line in _lines(path):
        cells = [cell.strip() for cell in line.split("\t" if "\t" in line else ",")]
        try:
            a, b, score = cells[0], cells[1], float(cells[2])
        except (IndexError, ValueError) as error:
            if not pairs and len(cells) > 2:  # the names of the columns
                continue
            raise InputError(f"{path} line {number}: not two words and a score, apart by tabs or commas.") from error
        pairs.append((a, b, score))
    return pairs


def read_questions(path: Path) -> dict[str, list[tuple[str, str, str, str]]]:
    """Analogies by kind, as in questions-words.txt: lines of four words under the kind's name, which follows a colon.

    Raises:
        InputError: no such file, not UTF-8, or a line of another kind.
    """
    questions: dict[str, list[tuple[str, str, str, str]]] = {}
    kind = "all"
    for number, line in _lines(path):
        if line.startswith(":"):
            kind = line[1:].strip()
            continue
        cells = line.split()
        if len(cells) != 4:
            raise InputError(f"{path} line {number}: {len(cells)} words. There must be 4, or a colon and a name.")
        questions.setdefault(kind, []).append((cells[0], cells[1], cells[2], cells[3]))
    return questions


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file with their numbers, without empty ones and comments."""
    try:
        text = existing(str(path)).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text.") from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()


def _finder(words: list[str]) -> Callable[[str], int | None]:
    ids = {word: i for i, word in enumerate(words)}
    return lambda word: ids.get(word, ids.get(word.lower()))


def _units(vectors: Float32[np.ndarray, "v d"]) -> Float32[np.ndarray, "v d"]:
    """The vectors at length 1; a zero vector stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1))


def _cosines(
    vectors: Float32[np.ndarray, "v d"], firsts: Int64[np.ndarray, " n"], seconds: Int64[np.ndarray, " n"]
) -> Float32[np.ndarray, " n"]:
    units = _units(vectors)
    return np.asarray((units[firsts] * units[seconds]).sum(axis=1))


def _parts(rows: Int64[np.ndarray, "n k"], size: int) -> Iterator[Int64[np.ndarray, "m k"]]:
    return (rows[low : low + size] for low in range(0, len(rows), size))


def _n_right(units: Float32[np.ndarray, "v d"], asked: Int64[np.ndarray, "n 4"]) -> int:
    a, b, c, expected = asked.T
    scores = (units[b] - units[a] + units[c]) @ units.T
    np.put_along_axis(scores, asked[:, :3], -np.inf, axis=1)
    return int((scores.argmax(axis=1) == expected).sum())


def _of_like_frequency(pairs: list[tuple[int, int]], n_words: int, seed: int, spread: float) -> list[int | None]:
    """For each pair (a, b) a word with a place near that of b, neither a nor one of its synonyms; None if none is."""
    alike: dict[int, set[int]] = {}
    for a, b in pairs:
        alike.setdefault(a, {a}).add(b)
        alike.setdefault(b, {b}).add(a)
    rng = np.random.default_rng(seed)
    drawn: list[int | None] = []
    for a, b in pairs:
        reach = max(5, int(spread * b))
        low, high = max(0, b - reach), min(n_words, b + reach + 1)
        forbidden = sorted(place for place in alike[a] if low <= place < high)
        n_open = high - low - len(forbidden)
        drawn.append(_nth_open(low, int(rng.integers(n_open)), forbidden) if n_open else None)
    return drawn


def _nth_open(low: int, n: int, forbidden: list[int]) -> int:
    """The n-th place from `low` on, counted from 0, that is not forbidden; these are in ascending order.

    >>> [_nth_open(3, n, [4, 5]) for n in range(3)]
    [3, 6, 7]
    """
    place = low + n
    for other in forbidden:
        place += place >= other
    return place
