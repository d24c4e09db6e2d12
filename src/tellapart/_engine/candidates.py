"""The candidates that a partition function sums over."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tellapart.relations import is_boolean, reasons

if TYPE_CHECKING:
    from tellapart.relations import Pairs, Relation


class Candidates(NamedTuple):
    """The entries of a score matrix that count: n queries × c candidates, of which the first m are keys.

    All but the pairs of `left_out` count; among the keys, only those that `among` relates, by its weights.
    """

    n: int
    m: int
    c: int
    left_out: tuple[Pairs, ...] = ()
    among: Relation | None = None
    mirrored: bool = False
    """Whether the matrix and what counts of it are symmetric, so that one half tells all."""

    def is_weighted(self) -> bool:
        """Whether entries count by weights, and not all alike."""
        return self.among is not None and not is_boolean(self.among)

    def not_lowered(self) -> list[str]:
        """Why a kernel cannot evaluate parts of the mask by itself; empty if it can."""
        return [] if self.among is None else reasons(self.among.lowered())

    def only(self, relation: Relation) -> Candidates:
        """Those of the candidates that the relation relates, too."""
        return self._replace(among=relation if self.among is None else relation & self.among)

    def without(self, pairs: Pairs) -> Candidates:
        """The candidates without these pairs."""
        return self._replace(left_out=(*self.left_out, pairs))
