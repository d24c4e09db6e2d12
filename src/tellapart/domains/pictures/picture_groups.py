"""Pictures in groups, as a page that shows the most typical ones of each."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from tellapart import reading
from tellapart.domains.given import is_source
from tellapart.errors import InputError
from tellapart.pages import write_page
from tellapart.runs import Commands, FinishedRun, Groups, Parts, check_rows_ending, gathered

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from torch import Tensor

    from tellapart.evaluation import Table

ENDINGS = (".csv", ".parquet", ".html")
"""Of the files that groups of pictures are written to."""
_OF_A_GROUP, _IN_ALL = 24, 1500  # items that the page shows


@dataclass(frozen=True, eq=False)
class PictureGroups:
    """The groups of pictures, or of pictures and texts, and how to read these once more."""

    groups: Groups
    read: Callable[[Any], Parts]
    """Called as `read(encoder)`: all of them again, in parts that this embeds."""
    place: str
    """The run and, if it has a name, the source."""

    def table(self) -> Table:
        """How many items each group has, and its most typical one."""
        return self.groups.table()

    def save(self, path: Path) -> None:
        """Write name, kind and group of each item as CSV or Parquet; or a page with the most typical ones of each.

        Raises:
            InputError: another ending, or the file cannot be written.
        """
        check_rows_ending(path, ENDINGS)
        if path.suffix == ".html":
            self._write_page(path)
        else:
            self.groups.save(path)

    def _write_page(self, path: Path) -> None:
        members, names = self.groups.members(), self.groups.names
        most = max(1, min(_OF_A_GROUP, _IN_ALL // len(members)))
        seen = Seen({row for rows in members.values() for row in rows[:most]})
        with reading.accounted():  # they have been accounted for when they were embedded
            if gathered(self.read(seen)).names != names:
                raise InputError("x: the pictures changed while they were clustered. Run the command again.")
        groups = [
            {
                "name": f"Group {group}" if group >= 0 else "In no group",
                "count": len(rows),
                "share": len(rows) / len(names),
                "items": [{"name": names[row], "picture": seen.pictures.get(row)} for row in rows[:most]],
            }
            for group, rows in members.items()
        ]
        kinds = [reading.counted(self.groups.kinds.count(kind), kind) for kind in dict.fromkeys(self.groups.kinds)]
        n = len(members.keys() - {-1})
        title = f"{' and '.join(kinds)} in {reading.counted(n, 'group')}"
        write_page(path, "domains/pictures", title=title, place=self.place, groups=groups)


def cluster_with(commands: Commands) -> Callable[[FinishedRun, Any, int | None], PictureGroups]:
    """The ability `cluster` of a system with these commands, of pictures or of pictures and texts."""

    def cluster(finished: FinishedRun, source: Any, n: int | None) -> PictureGroups:
        place = " · ".join([finished.run.folder.name, *([str(source)] if is_source(source) else [])])
        return PictureGroups(
            commands.cluster(finished, source, n),
            lambda encoder: commands.read(finished, encoder, source),
            place,
        )

    return cluster


@dataclass
class Seen:
    """What a system embeds with, instead of an encoder: it keeps the pictures of some rows, and embeds nothing."""

    wanted: set[int]
    pictures: dict[int, str] = field(default_factory=dict)
    """The pictures of these rows, as a page refers to them."""
    n: int = 0
    """Items that were seen."""

    def embed_pictures(self, pictures: UInt8[Tensor, "n c side side"]) -> Float[Tensor, "n 1"]:
        for row, picture in enumerate(pictures, self.n):
            if row in self.wanted:
                self.pictures[row] = _as_source(picture)
        return self._count(len(pictures))

    def embed(self, pictures: UInt8[Tensor, "n c side side"]) -> Float[Tensor, "n 1"]:
        return self.embed_pictures(pictures)

    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "n 1"]:
        return self._count(len(texts))

    def _count(self, n: int) -> Float[Tensor, "n 1"]:
        self.n += n
        return torch.zeros(n, 1)


def _as_source(picture: UInt8[Tensor, "c side side"]) -> str:
    rows = picture[0] if len(picture) == 1 else picture.permute(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(rows.numpy()).save(buffer, "WEBP", quality=85)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
