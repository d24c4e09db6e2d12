"""Which client has which examples: divisions of labelled data that make clients more or less alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from tellapart.errors import InputError, require_option

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

    Rows = list[Int[Tensor, " n"]]

LEAST = 2  # a picture is compared with the others of its batch
_TRIES = 100


def evenly(n: int, clients: int, seed: int) -> Rows:
    """Rows 0 … n − 1 divided at random into parts of nearly equal size.

    Raises:
        InputError: fewer than 2 rows a client.

    >>> sorted(len(rows) for rows in evenly(10, 3, seed=0))
    [3, 3, 4]
    """
    return _checked(np.array_split(np.random.default_rng(seed).permutation(n), clients))


def by_dirichlet(labels: Int[Tensor, " n"], clients: int, alpha: float, seed: int) -> Rows:
    """Each class divided among the clients in shares that are drawn from Dirichlet(α, …, α).

    With a large α all clients are alike; with a small one most have a few classes each. Shares are drawn again until
    each client has at least 2 rows.

    Raises:
        InputError: after 100 draws a client still has fewer.

    Source: Yurochkin et al. 2019; Li et al. 2022 (https://arxiv.org/abs/2102.02079), §4.1.

    >>> rows = by_dirichlet(torch.arange(40) % 2, clients=2, alpha=0.5, seed=0)
    >>> sorted(torch.cat(rows).tolist()) == list(range(40))
    True
    """
    random, truth = np.random.default_rng(seed), labels.numpy()
    for _ in range(_TRIES):
        parts: list[list[np.ndarray]] = [[] for _ in range(clients)]
        for label in np.unique(truth):
            rows = random.permutation(np.flatnonzero(truth == label))
            ends = np.cumsum(random.dirichlet([alpha] * clients))[:-1] * len(rows)
            for part, piece in zip(parts, np.split(rows, ends.astype(int)), strict=True):
                part.append(piece)
        found = [np.concatenate(part) for part in parts]
        if min(map(len, found)) >= LEAST:
            break
    return _checked(found)


def by_classes(labels: Int[Tensor, " n"], clients: int, per_client: int, seed: int) -> Rows:
    """Each client has examples of so many classes alone; a class is divided evenly among the clients that have it.

    Classes are dealt in a random order, again and again, so that each has a client as long as there are
    `clients · per_client` places for all of them.

    Raises:
        InputError: more classes a client than there are, places for fewer classes than there are, or a client with
            fewer than 2 rows.

    Source: McMahan et al. 2017 (https://arxiv.org/abs/1602.05629), §3, for two classes a client.

    >>> rows = by_classes(torch.arange(40) % 4, clients=4, per_client=2, seed=0)
    >>> [len(set((part % 4).tolist())) for part in rows]
    [2, 2, 2, 2]
    """
    random, truth = np.random.default_rng(seed), labels.numpy()
    classes = random.permutation(np.unique(truth))
    n = len(classes)
    must = f"lie between {-(-n // clients)} and {n}: {clients} clients have {n} classes together"
    require_option("classes_per_client", -(-n // clients) <= per_client <= n, must, per_client)
    places = classes[np.arange(clients * per_client) % n].reshape(clients, per_client)
    parts: list[list[np.ndarray]] = [[] for _ in range(clients)]
    for label in classes:
        owners = np.flatnonzero((places == label).any(axis=1))
        rows = random.permutation(np.flatnonzero(truth == label))
        for owner, piece in zip(owners, np.array_split(rows, len(owners)), strict=True):
            parts[owner].append(piece)
    return _checked([np.concatenate(part) for part in parts])


def _checked(parts: list[np.ndarray]) -> Rows:
    few = [number for number, part in enumerate(parts) if len(part) < LEAST]
    if few:
        what = f"client {few[0]} would have {len(parts[few[0]])} pictures, and each needs {LEAST}"
        raise InputError(f"clients: {what}. Ask for fewer clients, or for another split.")
    return [torch.from_numpy(np.sort(part)) for part in parts]
