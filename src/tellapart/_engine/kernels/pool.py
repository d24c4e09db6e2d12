"""Tasks in parallel on the cores of the CPU, each with one-thread operations, and the same sums in any case.

Operations in parallel wait for all cores at each of their ends; beside any other busy process they wait most of the
time. Whole tasks in parallel wait for each other only where they add to the same rows or columns.
"""

from __future__ import annotations

import heapq
import os
import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Generic, TypeVar

import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode

T = TypeVar("T")
S = TypeVar("S")


def run(
    tasks: Sequence[T],
    accumulators: Callable[[T], tuple[int, ...]],
    work: Callable[[T, S], None],
    scratch: Callable[[], S],
    *,
    parallel: bool = True,
) -> None:
    """Do all tasks; those that add to the same accumulator in the order of the list, whatever the number of threads.

    No thread outlives the call, so that a process may fork afterwards. Torch's number of threads is as before; a thread
    of the caller's program that begins in the moment in which these threads start may take over 1.

    Args:
        tasks: what is to be done.
        accumulators: the numbers of the accumulators that a task adds to.
        work: does a task, in a thread that has the scratch to itself.
        scratch: makes what one thread works in.
        parallel: whether to take as many threads as torch has (`torch.get_num_threads()`), or the caller's alone.

    Raises:
        Exception: what a task raised; the others are not begun then.

    >>> total = [0.0]
    >>> run([1.0, 2.0], lambda _: (0,), lambda x, _: total.append(total.pop() + x), lambda: None)
    >>> total
    [3.0]
    """
    n_threads = min(torch.get_num_threads(), len(tasks)) if parallel else 1
    # A dispatch mode, such as a counter of operations, sees those of its own thread only.
    if n_threads <= 1 or _get_current_dispatch_mode() is not None:
        own = scratch()
        for task in tasks:
            work(task, own)
        return
    queue = _Queue(tasks, accumulators)
    _serve_in_threads(queue, n_threads, work, scratch)
    if queue.failure is not None:
        raise queue.failure


class Stopped(Exception):
    """What ends a task because another one failed; the caller gets the other's error."""


# Of two callers, one starts its threads after the other: each sets what new threads take over, and sets it back.
_starting = threading.Lock()
os.register_at_fork(after_in_child=lambda: globals().update(_starting=threading.Lock()))


def _serve_in_threads(queue: _Queue[T], n_threads: int, work: Callable[[T, S], None], scratch: Callable[[], S]) -> None:
    """Serve a queue by as many threads, each with operations of one thread, and wait for them."""
    inference, begun = torch.is_inference_mode_enabled(), threading.Semaphore(0)

    def serve() -> None:
        try:
            # A thread takes over torch's number at its first parallel operation, even if it has set its own before;
            # asking for the number counts as one. What is set then is this thread's, but also what later threads take.
            torch.get_num_threads()
            torch.set_num_threads(1)
        finally:
            begun.release()
        # The modes are those of a thread, and a new one begins with the defaults.
        with torch.inference_mode(inference), torch.no_grad():
            queue.serve(work, scratch)

    threads = [threading.Thread(target=copy_context().run, args=(serve,)) for _ in range(n_threads)]
    try:
        with _starting:
            before = torch.get_num_threads()
            try:
                for thread in threads:
                    thread.start()
                for _ in threads:
                    begun.acquire()
            finally:
                torch.set_num_threads(before)
        for thread in threads:
            thread.join()
    except BaseException as error:  # Ctrl-C while waiting, or no further thread to be had
        queue.fail(error)
        for thread in threads:
            if thread.ident is not None:
                thread.join()


class _Queue(Generic[T]):
    """Tasks that wait for those before them that add to the same accumulators."""

    def __init__(self, tasks: Sequence[T], accumulators: Callable[[T], tuple[int, ...]]) -> None:
        self.tasks = tasks
        self.failure: BaseException | None = None
        self.waits_for, self.next = [0] * len(tasks), [list[int]() for _ in tasks]
        self.condition = threading.Condition()
        latest: dict[int, int] = {}
        for number, task in enumerate(tasks):
            for accumulator in accumulators(task):
                if accumulator in latest and latest[accumulator] != number:
                    self.next[latest[accumulator]].append(number)
                    self.waits_for[number] += 1
                latest[accumulator] = number
        self.ready = [number for number, waits in enumerate(self.waits_for) if not waits]
        self.n_left = len(tasks)

    def serve(self, work: Callable[[T, S], None], scratch: Callable[[], S]) -> None:
        """Do tasks until none is left, or one fails."""
        try:
            own = scratch()
            while (number := self._take()) is not None:
                work(self.tasks[number], own)
                self._done(number)
        except BaseException as error:  # the caller raises it
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Let no further task begin."""
        with self.condition:
            if self.failure is None or isinstance(self.failure, Stopped):
                self.failure = error
            self.condition.notify_all()

    def _take(self) -> int | None:
        with self.condition:
            while not self.ready and self.n_left and self.failure is None:
                self.condition.wait()
            return heapq.heappop(self.ready) if self.ready and self.failure is None else None

    def _done(self, number: int) -> None:
        with self.condition:
            self.n_left -= 1
            for later in self.next[number]:
                self.waits_for[later] -= 1
                if not self.waits_for[later]:
                    heapq.heappush(self.ready, later)
            self.condition.notify_all()
