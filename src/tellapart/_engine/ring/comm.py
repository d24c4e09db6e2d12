"""Processes in a circle: what each hands to the next, and what all of them learn together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from tellapart._engine.ring.related_sum import related_sum
from tellapart.errors import NotFiniteError, requirement
from tellapart.relations import Relation

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


_MOST_DIMS, _NO_SIZE = 8, -1
_DTYPES = (
    *(torch.float64, torch.float32, torch.bfloat16, torch.float16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)
_KINDS: dict[str, type[Exception]] = {kind.__name__: kind for kind in (ValueError, TypeError, NotFiniteError)}


class Ring:
    """The processes of a group, each with a next one; the last one's next is the first.

    Every method is called by all of them, in the same order.
    """

    def __init__(self, group: ProcessGroup) -> None:
        self.group, self.rank, self.size = group, dist.get_rank(group), dist.get_world_size(group)
        self._next, self._previous = (dist.get_global_rank(group, (self.rank + s) % self.size) for s in (1, -1))

    def owners(self) -> Iterator[tuple[int, int]]:
        """The rank of the keys that are here, from this rank's on, and of those that come next."""
        for step in range(self.size):
            yield (self.rank - step) % self.size, (self.rank - step - 1) % self.size

    def pass_on(self, tensor: Tensor, length: int) -> Callable[[], Tensor]:
        """Hand a tensor to the next process; call the result for what the previous one handed over, of that length."""
        if self.size == 1:
            return lambda: tensor
        going, coming = tensor.contiguous(), tensor.new_empty(length, *tensor.shape[1:])
        steps = ((dist.isend, going, self._next), (dist.irecv, coming, self._previous))
        works = [dist.P2POp(how, what, rank, self.group) for how, what, rank in steps if what.numel()]
        started = dist.batch_isend_irecv(works) if works else []

        def arrived(kept: object = going) -> Tensor:  # noqa: ARG001 - what is being sent has to stay
            for work in started:
                work.wait()
            return coming

        return arrived

    def numbers(self, *own: float) -> list[list[float]]:
        """What each process hands in, process by process."""
        mine = torch.tensor(own, dtype=torch.float64, device=self._device())
        gathered = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(gathered, mine, self.group)
        return [theirs.tolist() for theirs in gathered]

    def gather(self, values: Tensor) -> list[Tensor]:
        """What each process hands in: of any length, but alike otherwise; without gradient.

        Raises:
            ValueError: other widths or dtypes in other processes; in all of them.
        """
        shape = [*values.shape, *(_NO_SIZE for _ in range(_MOST_DIMS - values.ndim))]
        kinds = self.numbers(*shape, _DTYPES.index(values.dtype))
        if any(theirs[1:] != kinds[0][1:] for theirs in kinds):
            found = [(*(int(n) for n in theirs[:-1] if n != _NO_SIZE), _DTYPES[int(theirs[-1])]) for theirs in kinds]
            raise ValueError(requirement("rows", "have one width and dtype in all processes", found))
        lengths, device = [int(theirs[0]) for theirs in kinds], self._device()
        padded = torch.zeros(max(lengths), *values.shape[1:], dtype=values.dtype, device=device)
        padded[: len(values)] = values.detach()
        gathered = [torch.empty_like(padded) for _ in lengths]
        dist.all_gather(gathered, padded, self.group)
        return [theirs[:length].to(values.device) for theirs, length in zip(gathered, lengths, strict=True)]

    def gather_names(self, names: list[Hashable] | None) -> list[list[Hashable] | None]:
        """The same of hashable things."""
        return self._objects(names)

    def _objects(self, own: Any) -> list[Any]:
        gathered: list[Any] = [None] * self.size
        dist.all_gather_object(gathered, own, self.group)
        return gathered

    def relations(self, relation: Relation) -> list[Relation]:
        """The relation of this rank's rows to those of each rank.

        Raises:
            ValueError: a kind of relation that says nothing of other ranks' rows.
        """
        return relation.towards(self)

    def related_sum(self, keys: Tensor, relations: list[Relation], sizes: list[int], n: int) -> Tensor:
        """Each of n queries' weighted sum of its related keys of all ranks, `Σ_r W_r K_r`."""
        return related_sum(self, keys, relations, sizes, n)

    def home(self, parts: list[Tensor]) -> Tensor:
        """The sum over processes of the part that belongs to this one."""
        # What autograd hands in may be in use elsewhere, and the sums are formed in place.
        parts = [part.clone(memory_format=torch.contiguous_format) for part in parts]
        for owner, part in enumerate(parts):
            if part.numel():
                dist.reduce(part, dist.get_global_rank(self.group, owner), group=self.group)
        return parts[self.rank]

    def total(self, values: Tensor) -> Tensor:
        """The sum over processes, entry by entry."""
        values = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(values, group=self.group)
        return values

    @contextmanager
    def together(self) -> Iterator[None]:
        """If one process fails in the block, let all of them fail, where the others would wait for it for ever."""
        failure: Exception | None = None
        try:
            yield
        except Exception as error:
            failure = error
        failed = [rank for rank, (bad,) in enumerate(self.numbers(failure is not None)) if bad]
        if not failed:
            return
        said = self._objects(None if failure is None else (type(failure).__name__, str(failure)))
        if failure is not None:
            raise failure
        kind, message = said[failed[0]]
        raise _KINDS.get(kind, RuntimeError)(f"process {failed[0]} of {self.size}: {message}")

    def _device(self) -> torch.device:
        kind = dist.get_backend(self.group)
        return torch.device("cuda", torch.cuda.current_device()) if kind == "nccl" else torch.device("cpu")
