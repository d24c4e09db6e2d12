"""Pictures that lie with several clients, and what the keys that these share tell of their pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.domains.pictures.client_options import Split
from tellapart.domains.pictures.dataset import Dataset
from tellapart.domains.pictures.picture_sets import PictureSet
from tellapart.errors import InputError, require_option
from tellapart.evaluation import Table, membership
from tellapart.federation import Federation, by_classes, by_dirichlet, drawn_rows, evenly

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

    from tellapart.runs import Gallery, PictureRows

_MOST, _CHUNK = 4000, 256
_COLUMN = "membership AUC"


def by_folder(pictures: PictureSet, source: str) -> list[Int[Tensor, " n"]]:
    """The rows of each client: the pictures of each of the topmost folders.

    Raises:
        InputError: pictures that are no files in folders.
    """
    owners = [PurePosixPath(name).parts[0] for name in pictures.names]
    if any(len(PurePosixPath(name).parts) == 1 for name in pictures.names) or len(set(owners)) < 2:
        raise InputError(f"{source}: no folder a client. Put the pictures of each client into a subfolder.")
    return [torch.tensor([i for i, own in enumerate(owners) if own == owner]) for owner in sorted(set(owners))]


def labels_below(training: PictureSet, test: PictureSet) -> tuple[PictureSet, PictureSet]:
    """The same pictures, with the folders below those of the clients as labels; without labels, if there are none."""
    places = [[PurePosixPath(name).parts for name in part.names] for part in (training, test)]
    if any(len(place) < 3 for part in places for place in part):
        return replace(training, labels=None, classes=None), replace(test, labels=None, classes=None)
    classes = sorted({place[1] for part in places for place in part})
    first, second = (
        replace(part, labels=torch.tensor([classes.index(place[1]) for place in own]), classes=classes)
        for part, own in zip((training, test), places, strict=True)
    )
    return first, second


@dataclass(frozen=True, eq=False)
class ClientData:
    """Pictures to train on, divided among clients, and pictures held out, which no client has."""

    data: Dataset
    rows: list[Int[Tensor, " n"]]
    """Of the pictures to train on, those of each client; of other data than a run's own, none."""

    @classmethod
    def divide(cls, data: Dataset, split: Split, clients: int, alpha: float, classes_per_client: int) -> ClientData:
        """Divide the pictures to train on.

        Raises:
            InputError: the split needs labels or folders that are not there, or leaves a client too few pictures.
        """
        training, seed = data.training, data.options.seed
        if split == "even":
            return cls(data, evenly(len(training), clients, seed))
        if split == "folders":
            rows = by_folder(training, data.source)
            must = f"be {len(rows)}, the number of folders"
            require_option("clients", clients == len(rows), must, clients)
            first, second = labels_below(training, data.test)
            return cls(replace(data, training=first, test=second), rows)
        if training.labels is None:
            raise InputError(f"{data.source}: has no labels to split by. Use --split even, or a folder a client.")
        if split == "classes":
            return cls(data, by_classes(training.labels, clients, classes_per_client, seed))
        return cls(data, by_dirichlet(training.labels, clients, alpha, seed))

    def client(self, number: int) -> PictureSet:
        """The pictures of a client."""
        return self.data.training.part(self.rows[number])

    def gallery(self, after: Federation) -> Gallery:
        """All pictures with their features."""
        return self.data.gallery(after)

    def measure(self, before: Federation, after: Federation) -> Table:
        """As of any pictures and, of those that clients have, what the shared keys tell of them."""
        table = self.data.measure(before, after)
        if not self.rows:
            return table
        bank = after.read_bank()
        sizes = sorted(map(len, self.rows))
        notes = [f"{len(sizes)} clients have {sizes[0]} to {sizes[-1]} pictures."]
        found: str | float = "–"
        if bank is not None:
            sharing = self._sharing(after)
            everyone, those = (self._attack(after, rows) for rows in (torch.cat(self.rows), sharing))
            found = everyone
            notes.append(
                f"Membership: AUC of an attack that takes a picture for one of the clients' if its greatest cosine "
                f"with the {len(bank.keys)} keys of the last bank is large, against held-out pictures of the same "
                f"class. 0.5 is guessing. Of the {len(sharing)} pictures that the keys were made of it is {those:.3f}."
            )
        cells: list[str | float] = [0.5, *["–"] * (len(table.rows) - 2), found]
        return replace(
            table,
            header=[*table.header, _COLUMN],
            rows=[[*row, cell] for row, cell in zip(table.rows, cells, strict=True)],
            formats=[*table.formats, ".3f"],
            notes=[*table.notes, *notes],
        )

    def _sharing(self, after: Federation) -> Int[Tensor, " k"]:
        """The pictures that the keys of the last bank were made of."""
        bank = after.read_bank()
        assert bank is not None
        assert after.bank_round is not None
        last = int(after.bank_round)
        owners = bank.clients.unique().tolist()
        return torch.cat([self.rows[c][drawn_rows(after.agreed, last, c, len(self.rows[c]))] for c in owners])

    def _attack(self, after: Federation, members: Int[Tensor, " n"]) -> float:
        bank = after.read_bank()
        assert bank is not None
        random = np.random.default_rng(self.data.options.seed)
        inside = self.data.training.part(members[torch.from_numpy(random.permutation(len(members))[:_MOST])])
        outside = self.data.test
        labelled = self.data.has_labels()
        return membership(
            bank.keys,
            _keys(after, inside.content),
            _keys(after, outside.content),
            inside.labels if labelled else None,
            outside.labels if labelled else None,
        )


@torch.no_grad()
def _keys(model: Federation, pictures: PictureRows) -> Tensor:
    """Projections of pictures as they are, which an attacker has the weights to make."""
    return torch.cat([model.key_network(chunk) for chunk in pictures.split(_CHUNK)])
