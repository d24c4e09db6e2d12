"""The sentence on top of a report: what the trained model reaches, beside guessing and the best baseline.

A function for each kind of results knows it by its columns, and returns "" for others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tellapart.evaluation import Table

    Rows = dict[str, dict[str, float]]
    """By the name of a row, its numbers by the name of their column."""

_SURE = 0.2  # if guessing finds more than this share among ten, the first alone is asked for
_GUESSES = ("chance", "guessing")
_CALLED = {
    "untrained": "the untrained network",
    "reference": "the reference",
    "their square roots": "square roots of 4-mers",
}


def verdict(table: Table, kind: str = "item") -> str:
    """What the results say, in one sentence; "" if no row is of a trained model.

    Args:
        table: the results. Of a table in parts the first part speaks.
        kind: the kind of items, in one word.
    """
    part, rows = _first_part(table)
    if "trained" not in rows:
        return _followed(table) or _taken(table)
    return (
        _retrieved(rows, part, kind)
        or _translated(rows, part)
        or _labelled(rows, part, kind)
        or _share(rows, "link AUC", "It scores a held-out edge above a pair without one in", "cases")
        or _words(rows)
        or _share(rows, "chosen first", "It gives the chosen answer the highest reward for", "prompts")
        or _points(rows)
        or _drawn(rows)
    )


def _first_part(table: Table) -> tuple[str, Rows]:
    """The name of a table's first part, "" if it has one part alone, and its rows.

    Where rows have two names, a part begins at a row with a first name.
    """
    n_names = 2 if table.header[:2] == ["", ""] else 1
    part, rows = "", dict[str, dict[str, float]]()
    for row in table.rows:
        if n_names == 2 and row[0]:
            if rows:
                break
            part = str(row[0])
        cells = zip(table.header[n_names:], row[n_names:], strict=False)
        rows[str(row[n_names - 1])] = {name: cell for name, cell in cells if not isinstance(cell, str)}
    return part, rows


def _share(rows: Rows, column: str, begin: str, items: str, part: str = "") -> str:
    return _sentence(begin, items, column, rows, part) if column in rows["trained"] else ""


def _retrieved(rows: Rows, part: str, kind: str) -> str:
    if "R@10" not in rows["trained"]:
        return ""
    query, _, key = part.partition(" → ")
    wanted, asked = (f"the right {key}", plural(query)) if key else ("a match", plural(kind))
    column, where = ("R@10", "among its ten best") if rows["chance"]["R@10"] <= _SURE else ("R@1", "first")
    return _sentence(f"It finds {wanted} {where} for", asked, column, rows)


def _translated(rows: Rows, part: str) -> str:
    columns = [name for name in rows["trained"] if name.endswith(", cosine")]
    if not columns:
        return ""
    pool = columns[-1].removesuffix(", cosine")
    return _sentence(f"It finds the translation first among {pool} for", "sentences", columns[-1], rows, part)


def _labelled(rows: Rows, part: str, kind: str) -> str:
    neighbours = next((name for name in rows["trained"] if name.endswith("-NN")), "")
    column = next((name for name in ("accuracy", "linear probe", neighbours) if name in rows["trained"]), "")
    by = {"accuracy": "It", "linear probe": "A linear probe of its embeddings"}.get(column, f"A {column} vote")
    # A baseline that does not classify by itself stands in the table with its linear probe.
    filled = {name: row | {column: row.get(column, row.get("linear probe", 0.0))} for name, row in rows.items()}
    return _share(rows if not column else filled, column, f"{by} tells the right label of", plural(kind), part)


def _words(rows: Rows) -> str:
    if "true word first" not in rows["trained"]:
        return ""
    drawn = round(1 / rows["guessing"]["true word first"]) - 1
    return _sentence(f"It scores the true word above {drawn} drawn ones in", "pairs", "true word first", rows)


def _points(rows: Rows) -> str:
    modes = next((name for name in rows["trained"] if name.startswith("modes, of ")), None)
    if modes is None:
        return ""
    got, real = (rows[name]["within 3σ"] for name in ("trained", "real, held out"))
    found, n = rows["trained"][modes], modes.removeprefix("modes, of ")
    return (
        f"Its points reach {found:.0f} of {n} modes; {_percent(got)} of them lie within 3σ of one, and of real points "
        f"{_percent(real)}."
    )


def _drawn(rows: Rows) -> str:
    name = "Fréchet distance"
    if name not in rows["trained"]:
        return ""
    got, before, real = (rows[row][name] for row in ("trained", "untrained", "real, of training"))
    than = "nearer than" if got < before else "no nearer than"
    return (
        f"Its pictures are at a Fréchet distance of {got:.1f} from held-out ones, {than} those of the untrained "
        f"network at {before:.1f}; real pictures are at {real:.2f}."
    )


def _followed(table: Table) -> str:
    if table.header[:1] != ["frames apart"] or not table.rows:
        return ""
    last = dict(zip(table.header, table.rows[-1], strict=True))
    ways = ("flow in one step", "untrained", "trained")
    rows = {name: {"found": float(last[name])} for name in ways}
    return _sentence("It finds", f"points that move, {last['frames apart']} frames on", "found", rows)


def _taken(table: Table) -> str:
    if table.header != ["", "words", "length"]:
        return ""
    _, words, length = table.rows[0]
    return f"It holds {words:,} vectors of length {length}, as they were read: nothing was trained."


def _sentence(begin: str, items: str, column: str, rows: Rows, part: str = "") -> str:
    """How many of the items, how often guessing would, and how many the best baseline has.

    Rows without a number in the column are left out.
    """
    share = {name: row[column] for name, row in rows.items() if column in row}
    got = share.pop("trained")
    guess = next((share.pop(name) for name in _GUESSES if name in share), None)
    where = f" ({part})" if part else ""
    best = max(share, key=lambda name: share[name], default=None)
    sentence = f"{begin} {_percent(got, None if best is None else share[best])} of {items}{where}"
    if guess is not None:
        sentence += f", {_times(got, guess)}"
    if best is None:
        return f"{sentence}."
    called = _CALLED.get(best, best)
    if got > share[best]:
        return f"{sentence}; {called} {_reach(called)} {_percent(share[best], got)}."
    if got == share[best]:
        return f"{sentence}, which is no more than {called} {_reach(called)}."
    return f"{sentence}, but {called} {_reach(called)} more: {_percent(share[best], got)}."


def plural(kind: str) -> str:
    """The plural of a kind of items.

    >>> plural("query"), plural("key")
    ('queries', 'keys')
    """
    return f"{kind[:-1]}ies" if kind.endswith("ry") else f"{kind}s"


def _reach(name: str) -> str:
    plural = name.endswith(("raw pixels", "features")) or "-mers" in name
    return "reach" if plural else "reaches"


def _times(got: float, guess: float) -> str:
    """How a share compares with that of guessing.

    >>> _times(0.3, 0.02), _times(0.02, 0.03)
    ('15 times as often as guessing', 'less often than guessing (3 %)')
    """
    if got < guess:
        return f"less often than guessing ({_percent(guess, got)})"
    if got == guess:
        return "as often as guessing"
    if guess == 0:
        return "where guessing finds none"
    ratio = got / guess
    if ratio < 1.5:
        return f"where guessing reaches {_percent(guess, got)}"
    return f"{ratio:,.0f} times as often as guessing" if ratio >= 9.95 else f"{ratio:.1f} times as often as guessing"


def _percent(share: float, beside: float | None = None) -> str:
    """A share in whole percents, or as many decimals as tell it from the one beside it and from 0 and 1.

    >>> _percent(0.32), _percent(0.7099, 0.7064), _percent(0.0004)
    ('32 %', '71.0 %', '0.04 %')
    """
    if share in (0.0, 1.0):
        return f"{100 * share:.0f} %"
    others = [other for other in (0.0, 1.0, beside) if other is not None and other != share]
    for decimals in range(4):
        shown = f"{100 * share:.{decimals}f}"
        if all(shown != f"{100 * other:.{decimals}f}" for other in others):
            break
    return f"{shown} %"
