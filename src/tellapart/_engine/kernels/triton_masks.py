"""What counts of a block, stated for kernels that evaluate it inside a tile: an expression, and the tensors it reads.

An expression is a nested tuple, known when a kernel is compiled: `("and", x, y)`, `("or", x, y)`, `("not", x)`, or
a kind of entry with the place of its first tensor. Its value is the logarithm of a weight, 0 or −∞ for what is or is
not related: "and" adds, "or" is a maximum. Kernels are given it as numbers alone: Triton 3.7, which torch 2.13 asks
for, compiles no tuple with text or tuples in it. How tiles read these stands in `triton_entries.py`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from tellapart.relations import Pairs, lowered, reasons

if TYPE_CHECKING:
    from tellapart._engine.candidates import Candidates
    from tellapart.relations import Relation

Expression = tuple[Any, ...]  # of names, places and expressions
Coded = tuple[int, ...]
ALL: Expression = ("all",)
NAMES = (
    *("all", "and", "or", "not", "diagonal", "periodic", "periodic, not itself", "index", "ids", "within", "gaussian"),
    *("earlier", "reaches", "pairs", "weighted and", "weighted or", "weighted pairs", "beside"),
    "weighted beside",
)
"""Of the kinds of an expression."""
WEIGHTED = ("gaussian", "weighted pairs")
"""Those of weights that are not all alike."""
MOST_LEAVES = 12
"""Of one expression: each is an argument of the kernel, and code in it."""


class TileMask(NamedTuple):
    """An expression, and the tensors and numbers that its places refer to."""

    expression: Expression
    leaves: tuple[Tensor | int, ...]

    @property
    def is_plain(self) -> bool:
        """Whether a tile evaluates it in a few registers: nothing, or one comparison of places."""
        kind = self.expression[1] if self.expression[0] == "not" else self.expression
        return kind[0] in ("all", "diagonal", "index")

    @property
    def is_local(self) -> bool:
        """Whether places alone tell which few tiles it concerns: it leaves out diagonals, or nothing."""
        return _is_local(self.expression)

    @property
    def is_weighted(self) -> bool:
        """Whether entries count by weights, and not all alike."""
        return _has(self.expression, WEIGHTED)

    @property
    def has_products(self) -> bool:
        """Whether a tile multiplies further vectors for it."""
        return _has(self.expression, ("reaches",))

    @property
    def is_counted(self) -> bool:
        """Whether all entries count alike, and none is listed, which could be twice."""
        return not _has(self.expression, ("gaussian", "pairs", "weighted pairs"))

    @property
    def coded(self) -> Coded:
        """The expression as kernels read it."""
        return _coded(self.expression)


def why_not(relation: Relation | None) -> str | None:
    """Why a relation cannot be evaluated inside a tile; `None` if it can.

    >>> from tellapart.relations import dense, same
    >>> why_not(same([1, 2])), why_not(~dense(torch.eye(2)))
    (None, 'a given matrix is read from memory, tile by tile')
    """
    if relation is None:
        return None
    form = relation.lowered()
    found = [*reasons(form), *_beyond_tiles(form)]
    if found:
        return found[0]
    n_leaves = _count(form)
    return None if n_leaves <= MOST_LEAVES else f"a mask of {n_leaves} parts, more than {MOST_LEAVES}"


def of_candidates(candidates: Candidates, device: torch.device) -> TileMask:
    """All entries but those left out, and of the keys those that `among` relates.

    >>> from tellapart._engine.candidates import Candidates
    >>> from tellapart.relations import paired
    >>> of_candidates(Candidates(2, 2, 2).without(paired().pairs(2, 2)), torch.device("cpu")).expression
    ('not', ('diagonal',))
    """
    leaves = _Leaves(device, candidates.n, candidates.m)
    if not candidates.m:
        return TileMask(ALL, ())
    parts = [] if candidates.among is None else [leaves.expression(candidates.among.lowered())]
    parts += [("not", leaves.listed(pairs)) for pairs in candidates.left_out]
    return leaves.mask(parts, "and") if parts else TileMask(ALL, ())


def of_positives(positives: tuple[Pairs, ...] | Relation, candidates: Candidates, device: torch.device) -> TileMask:
    """The positives' entries.

    >>> from tellapart._engine.candidates import Candidates
    >>> from tellapart.relations import same
    >>> of_positives(same([1, 2]), Candidates(2, 2, 2), torch.device("cpu")).expression
    ('ids', 0)
    """
    leaves = _Leaves(device, candidates.n, candidates.m)
    if not candidates.m:
        return TileMask(("not", ALL), ())
    if not isinstance(positives, tuple):
        return leaves.mask([leaves.expression(positives.lowered())], "or")
    parts = [leaves.listed(pairs) for pairs in positives]
    return leaves.mask(parts, "or") if parts else TileMask(("not", ALL), ())


@lru_cache(maxsize=256)
def _has(expression: Expression, kinds: tuple[str, ...]) -> bool:
    return expression[0] in kinds or any(_has(part, kinds) for part in expression[1:] if isinstance(part, tuple))


@lru_cache(maxsize=256)
def _is_local(expression: Expression) -> bool:
    kind, *parts = expression
    if kind == "and":
        return all(map(_is_local, parts))
    return kind == "all" or (kind == "not" and parts[0][0] in ("diagonal", "periodic", "periodic, not itself"))


@lru_cache(maxsize=256)
def _coded(expression: Expression) -> Coded:
    """Four numbers for each part of an expression, the whole first: the place of its name, and what belongs to it.

    These are where its own parts begin, or the place of its first tensor or number.

    >>> _coded(("and", ("not", ("index", 0)), ("ids", 1)))
    (1, 4, 12, 0, 3, 8, 0, 0, 7, 0, 0, 0, 8, 1, 0, 0)
    """
    made: list[int] = []

    def add(part: Expression) -> int:
        start, (name, *own) = len(made), part
        if name in ("and", "or", "beside") and _has(part, WEIGHTED):
            name = f"weighted {name}"
        made.extend((NAMES.index(name), 0, 0, 0))
        for place, item in enumerate(own, start + 1):
            made[place] = add(item) if isinstance(item, tuple) else item
        return start

    add(expression)
    return tuple(made)


class _Leaves:
    """Collects the tensors of an expression, on the device of the block."""

    def __init__(self, device: torch.device, n: int, m: int) -> None:
        self.device, self.n, self.m = device, n, m
        self.taken: list[Tensor | int] = []

    def mask(self, parts: list[Expression], joined: str) -> TileMask:
        whole = parts[0]
        for part in parts[1:]:
            whole = (joined, whole, part)
        return TileMask(whole, tuple(self.taken))

    def expression(self, form: lowered.Lowered) -> Expression:
        match form:
            case lowered.Both(left, right):
                return "and", self.expression(left), self.expression(right)
            case lowered.Either(left, right):
                return "or", self.expression(left), self.expression(right)
            case lowered.Not(part):
                return "not", self.expression(part)
            case lowered.Beside(left, right, m):
                return "beside", self.expression(left), self.expression(right), self._take("number", m)[1]
        return self._leaf(form)

    def _leaf(self, form: lowered.Lowered) -> Expression:
        match form:
            case lowered.Everything():
                return ALL
            case lowered.Diagonal():
                return self._periodic(form)
            case lowered.IndexEqual(key_of):
                return self._take("index", key_of)
            case lowered.IdsEqual(query_ids, key_ids):
                return self._take("ids", query_ids, key_ids)
            case lowered.WithinRadius(query_times, key_times, radius):
                return self._take("within", *_alike(query_times, key_times, radius))
            case lowered.GaussianWeight(query_times, key_times, sigma):
                return self._take("gaussian", *_alike(query_times, key_times, sigma))
            case lowered.EarlierKey(query_times, key_times):
                return self._take("earlier", *_alike(query_times, key_times))
            case lowered.ProductReaches(queries, keys, of_query, of_key):
                levels = of_query.expand(len(queries)), of_key.expand(len(keys))
                return self._take("reaches", queries, keys, *levels, queries.shape[1])
            case lowered.PairList(places, stride, weights):
                return self._sorted(places, stride, weights)
        raise TypeError(f"{type(form).__name__} has no expression.")

    def _periodic(self, form: lowered.Diagonal) -> Expression:
        if not form.period:
            return ("diagonal",)
        return self._take("periodic" if form.with_main else "periodic, not itself", form.period)

    def listed(self, pairs: Pairs) -> Expression:
        """Listed pairs, whatever their weights."""
        if pairs.diagonal:
            return ("diagonal",)
        if pairs.one_each:
            return self._take("index", pairs.cols)
        return self._sorted((pairs.rows * self.m + pairs.cols).sort().values, self.m, None)

    def _sorted(self, places: Tensor, stride: int, weights: Tensor | None) -> Expression:
        """Pairs `i · stride + j` in ascending order, as the stretch of each row in one list of columns."""
        if not len(places):
            return ("not", ALL)
        # A tile looks for its own columns in a row's stretch: columns have to ascend in it.
        starts = torch.searchsorted(places, stride * torch.arange(self.n + 1, device=places.device))
        stretches = starts.int(), (places % stride).int()
        if weights is None:
            return self._take("pairs", *stretches)
        return self._take("weighted pairs", *stretches, weights.float().log())

    def _take(self, kind: str, *leaves: Tensor | int) -> Expression:
        place = len(self.taken)
        self.taken += [x.to(self.device).contiguous() if isinstance(x, Tensor) else x for x in leaves]
        return kind, place


def _alike(query_times: Tensor, key_times: Tensor, *numbers: float) -> tuple[Tensor, ...]:
    """Times of one dtype, and numbers in it: an argument of a kernel that is a number has no more than float32."""
    dtype = torch.promote_types(query_times.dtype, key_times.dtype)
    times = query_times.to(dtype), key_times.to(dtype)
    return *times, *(torch.tensor([x], dtype=dtype, device=key_times.device) for x in numbers)


def _beyond_tiles(form: lowered.Lowered) -> list[str]:
    """Why a relation of vectors cannot be evaluated in a tile."""
    if isinstance(form, lowered.WithinRadius) and form.query_times.ndim > 1:
        return ["distances of points are compared by torch alone"]
    if isinstance(form, lowered.ProductReaches) and form.queries.dtype == torch.float64:
        return ["products in float64 are compared by torch alone"]
    return [reason for part in _parts(form) for reason in _beyond_tiles(part)]


def _count(form: lowered.Lowered) -> int:
    parts = _parts(form)
    return sum(map(_count, parts)) if parts else 1


def _parts(form: lowered.Lowered) -> tuple[lowered.Lowered, ...]:
    if isinstance(form, lowered.Both | lowered.Either | lowered.Beside):
        return form.left, form.right
    return (form.part,) if isinstance(form, lowered.Not) else ()
