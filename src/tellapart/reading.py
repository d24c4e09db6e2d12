"""What was read and what was left out: one account for all loaders, and one policy on broken items.

A command opens an account; loaders enter what they read, leave out and notice, wherever they are called:

    with reading.accounted("skip") as account:
        load(...)
    account.told()

Outside an account nothing is left out that is broken: the loader raises its error.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from tellapart.errors import InputError

Broken = Literal["skip", "stop"]
_logger = logging.getLogger("tellapart")
_NAMED = 3  # places that a line names
_FEW = 8  # names of labels in a line
_KEPT = 10_000  # places that are kept for each reason


@dataclass
class Account:
    """What the loaders of one command read, and what they left out."""

    broken: Broken = "skip"
    """Whether an item that is broken is left out and counted, or ends the command."""
    read: dict[str, int] = field(default_factory=dict)
    """How many of each thing were read, by its name in the singular."""
    left_out: dict[str, list[str]] = field(default_factory=dict)
    """The places of what was left out, by the reason."""
    counts: dict[str, int] = field(default_factory=dict)
    """How many were left out, by the reason."""
    notes: list[str] = field(default_factory=list)
    """How what could be read in several ways was read."""
    pending: list[InputError] = field(default_factory=list)
    """The errors of broken items since something was last read."""
    said: str = ""
    """What `tell` said last."""
    is_part: bool = False
    """Whether it is of a part of a source: what is broken is weighed against what was read when all are entered."""

    def told(self) -> str:
        """All of it in one line; "" if nothing was entered.

        >>> account = Account(read={"picture": 18}, counts={"broken picture": 1})
        >>> account.left_out["broken picture"] = ["a.png"]
        >>> account.told()
        'Read 18 pictures. Left out 1: broken picture, a.png.'
        """
        read = ", ".join(counted(n, thing) for thing, n in self.read.items())
        reasons = "; ".join(self._reason(why) for why in self.counts)
        left_out = f"Left out {sum(self.counts.values()):,}: {reasons}." if reasons else ""
        return " ".join(part for part in (f"Read {read}." if read else "", left_out, *self.notes) if part)

    def tell(self) -> None:
        """Log the line, unless it was logged before: as a warning if something was left out."""
        line = self.told()
        if line and line != self.said:
            _logger.log(logging.WARNING if self.counts else logging.INFO, line)
        self.said = line

    def as_dict(self) -> dict[str, object]:
        """It as plain data, for run.json."""
        return {"read": dict(self.read), "left_out": dict(self.counts), "notes": list(self.notes), "told": self.told()}

    def to_keep(self) -> dict[str, object]:
        """All of it as plain data, from which `of_kept` makes it again."""
        names = ("read", "left_out", "counts", "notes")
        return {name: getattr(self, name) for name in names} | {"pending": [str(error) for error in self.pending]}

    @classmethod
    def of_kept(cls, told: Mapping[str, Any]) -> Account:
        """An account of what was read before."""
        return cls(**{**told, "pending": [InputError(message) for message in told["pending"]]})

    def places(self) -> list[tuple[str, str]]:
        """Reason and place of each thing left out."""
        return [(why, place) for why, places in self.left_out.items() for place in places]

    def _reason(self, why: str) -> str:
        n, places = self.counts[why], self.left_out[why]
        named = ", ".join(places[:_NAMED]) + (", …" if n > _NAMED and places else "")
        return f"{f'{n:,} × ' if n > 1 else ''}{why}{f', {named}' if named else ''}"


_account: ContextVar[Account | None] = ContextVar("tellapart_account", default=None)


@contextmanager
def accounted(broken: Broken = "skip") -> Iterator[Account]:
    """An account of what is read inside the `with` block.

    >>> with accounted() as account:
    ...     read(2, "picture")
    >>> account.told()
    'Read 2 pictures.'
    """
    with into(Account(broken)) as account:
        yield account


@contextmanager
def into(account: Account) -> Iterator[Account]:
    """Enter what is read inside the `with` block into this account."""
    token = _account.set(account)
    try:
        yield account
    finally:
        _account.reset(token)


@contextmanager
def of_a_part() -> Iterator[Account]:
    """An account of one part of what the open one is of, to be given to `enter_parts`.

    >>> with accounted() as account:
    ...     with of_a_part() as part:
    ...         read(2, "picture")
    ...     enter_parts([part])
    >>> account.told()
    'Read 2 pictures.'
    """
    outer = _account.get()
    with into(Account("stop" if outer is None else outer.broken, is_part=True)) as account:
        yield account


def enter_parts(parts: Iterable[Account]) -> None:
    """Enter the accounts of all parts of a source into the open one.

    Raises:
        InputError: more items were broken than read: the first error, which counts the others.
    """
    account, n = _account.get(), 0
    for part in parts:
        enter(part)
        n += sum(part.read.values())
        if account is not None:
            account.pending += part.pending
    if account is not None:
        _weigh(account, n)


def enter_again(part: Account) -> None:
    """Enter the account of a part as if it were read now.

    What is broken is weighed beside what was read there or, if nothing was entered as read, when more is read.

    Raises:
        InputError: an item is broken where none may be left out, or more items than whole ones.
    """
    account = _account.get()
    if part.pending and (account is None or account.broken == "stop"):
        raise part.pending[0]
    enter(part)
    if account is not None:
        account.pending += part.pending
    if part.read:
        judge(sum(part.read.values()))


def enter(other: Account) -> None:
    """Enter all of another account into the open one."""
    account = _account.get()
    if account is None:
        return
    for thing, n in other.read.items():
        account.read[thing] = account.read.get(thing, 0) + n
    for why, n in other.counts.items():
        account.counts[why] = account.counts.get(why, 0) + n
        account.left_out.setdefault(why, []).extend(other.left_out[why])
    account.notes += [text for text in other.notes if text not in account.notes]
    account.said = other.said or account.said


def current() -> Account | None:
    """The account that is open, or `None`."""
    return _account.get()


def read(n: int, thing: str) -> None:
    """Enter that n things were read.

    Raises:
        InputError: more items were broken than read: the first error, which counts the others.

    >>> read(3, "text")
    """
    judge(n)
    if (account := _account.get()) is not None:
        account.read[thing] = account.read.get(thing, 0) + n


def judge(n: int) -> None:
    """Judge what was broken since something was last read, beside n whole items, without entering these.

    Raises:
        InputError: more items were broken: the first error, which counts the others.

    >>> judge(3)
    """
    account = _account.get()
    if account is None:
        return
    if not account.is_part:
        _weigh(account, n)


def _weigh(account: Account, n: int) -> None:
    errors, account.pending = account.pending, []
    if len(errors) > n:
        is_counted = len(errors) == 1 or " more broken " in str(errors[0])
        more = "" if is_counted else f" (and {len(errors) - 1} more broken items)"
        raise InputError(f"{errors[0]}{more}") from errors[0]


def leave_out(why: str, place: str, error: InputError) -> None:
    """Leave out a broken item.

    Args:
        why: what is wrong with it, in the singular.
        place: where it is.
        error: what is raised under `--broken stop`, and outside an account.
    """
    account = _account.get()
    if account is None or account.broken == "stop":
        raise error
    account.pending.append(error)
    pass_over(why, [place])


def first_broken() -> InputError | None:
    """The first error since something was last read, for a loader that is left with nothing."""
    account = _account.get()
    return account.pending[0] if account and account.pending else None


def pass_over(why: str, places: Iterable[str]) -> None:
    """Enter what is left out though it is not broken, such as a file of another kind."""
    account = _account.get()
    listed = list(places)
    if account is None or not listed:
        return
    account.counts[why] = account.counts.get(why, 0) + len(listed)
    kept = account.left_out.setdefault(why, [])
    kept += [place for place in listed if place][: _KEPT - len(kept)]


def note(text: str) -> None:
    """Enter how something was read that could be read in several ways; a sentence, entered once."""
    account = _account.get()
    if account is not None and text not in account.notes:
        account.notes.append(text)


def counted(n: int, thing: str) -> str:
    """A number of things.

    >>> counted(1, "picture"), counted(1200, "entry")
    ('1 picture', '1,200 entries')
    """
    many = f"{thing[:-1]}ies" if thing.endswith("y") and thing[-2:-1] not in "aeiou" else f"{thing}s"
    return f"{n:,} {thing if n == 1 else many}"


def listed(names: list[str]) -> str:
    """A few names, and how many more there are.

    >>> listed(["cat", "dog"]), listed(list("abcdefghij"))
    ('cat, dog', 'a, b, c, d, e, f, g, h and 2 more')
    """
    return ", ".join(names) if len(names) <= _FEW else f"{', '.join(names[:_FEW])} and {len(names) - _FEW} more"
