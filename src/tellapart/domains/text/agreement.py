"""How well the two sentences of each pair agree: pairs that are probably no translations come first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tellapart.evaluation import Table

if TYPE_CHECKING:
    from tellapart.domains.text.encoder import Embed
    from tellapart.domains.text.translations import Translations


def agreement(pairs: Translations, embed: Embed) -> Table:
    """The cosine of each pair's sentences, the least first; equal ones in the order of the data.

    Args:
        pairs: sentences and what may be their translations.
        embed: makes unit vectors of sentences.
    """
    cosines = (embed(pairs.sources) * embed(pairs.targets)).sum(dim=1)
    order = cosines.argsort(stable=True)
    sorted_pairs = pairs.rows(order.cpu())
    columns = ((order + 1).tolist(), cosines[order].tolist(), sorted_pairs.sources, sorted_pairs.targets)
    rows: list[list[str | float]] = [list(row) for row in zip(*columns, strict=True)]
    notes = [
        "Least first: those far below the others are probably no translations. "
        f"Half of the pairs have at least {cosines.median():.2f}.",
        "Pairs are numbered from 1 as they were read, without those left out.",
    ]
    title = "The cosine of each pair's sentences"
    return Table(title, ["pair", "cosine", *pairs.languages], rows, ["d", ".3f", "", ""], notes)
