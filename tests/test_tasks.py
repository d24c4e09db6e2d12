"""The programs of the pages of tasks, run as those pages say."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

TASKS = Path(__file__).parents[1] / "docs" / "tasks"


def free_port():
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return str(found.getsockname()[1])


def test_the_program_for_two_machines_trains_on_two_nodes_of_one_process(tmp_path):
    """With what torchrun tells each process; torchrun itself would start two more."""
    programs = re.findall(r"```python\n(.*?)```", (TASKS / "two_machines.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "train.py").write_text(programs[0], encoding="utf-8")
    shared = {"MASTER_ADDR": "localhost", "MASTER_PORT": free_port(), "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    processes = [
        subprocess.Popen(
            [sys.executable, "train.py"],
            env=os.environ | shared | {"RANK": str(rank), "GROUP_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        (first, errors), (second, more) = (process.communicate(timeout=240) for process in processes)
    finally:
        for process in processes:
            process.kill()
    assert re.fullmatch(r"2 processes, loss \d\.\d{3} nats\n", first), errors + more
    assert second == ""
