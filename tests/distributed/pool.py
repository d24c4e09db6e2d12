"""Processes that stay, and do one job after another together: starting them takes seconds."""

from __future__ import annotations

import os
import socket
import traceback
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.multiprocessing

from tests.forked import warm

MOST = 4
# Long enough for a machine that has other work; a test that passes never waits for it.
_PATIENCE = 120


class Pool:
    """Four gloo processes, of which the first two, three or four can run a job."""

    def __init__(self) -> None:
        context = warm()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self.jobs = [context.SimpleQueue() for _ in range(MOST)]
        self.results = context.Queue()
        self.processes = [
            context.Process(target=_serve, args=(rank, address, self.jobs[rank], self.results), daemon=True)
            for rank in range(MOST)
        ]
        for process in self.processes:
            process.start()

    def run(self, size: int, job, *arguments) -> list:
        """What `job(group, *arguments)` returns in each of the first `size` processes; fails if one of them does."""
        for queue in self.jobs[:size]:
            queue.put((size, job, arguments))
        answers = dict(self.results.get(timeout=_PATIENCE) for _ in range(size))
        for rank in range(size):
            if isinstance(answers[rank], _Failure):
                raise AssertionError(f"process {rank}:\n{answers[rank].text}")
        return [answers[rank] for rank in range(size)]

    def close(self) -> None:
        for queue in self.jobs:
            queue.put(None)
        for process in self.processes:
            process.join(timeout=10)


class _Failure:
    def __init__(self, text: str) -> None:
        self.text = text


def _serve(rank: int, address: str, jobs, results) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", address, rank=rank, world_size=MOST, timeout=timedelta(seconds=_PATIENCE))
    groups = {size: dist.new_group(list(range(size))) for size in range(2, MOST + 1)}
    while (task := jobs.get()) is not None:
        size, job, arguments = task
        try:
            answer = job(groups[size], *arguments)
        except BaseException:
            answer = _Failure(traceback.format_exc())
        results.put((rank, answer))
    dist.destroy_process_group()
