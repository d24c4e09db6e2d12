"""The server on a machine of its own: SuperLink and SuperNodes of Flower, and a server that was killed goes on."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import tellapart
from tellapart import InputError
from tellapart.domains.pictures import ImageShape, load_splits
from tellapart.runs import Run
from tellapart.systems.federated import Config, make_model, work_for
from tests.tiny.pictures import PICTURE_OPTIONS, patterns, write_patterns

pytest.importorskip("flwr")

from flwr.app import Context, RecordDict

from tellapart.federation.deployed import serve
from tellapart.federation.flower import client_app
from tellapart.federation.grid import LocalGrid
from tellapart.flower_apps import _prepare, _work_of

SHAPE = ImageShape(16, 3)
OPTIONS = {"clients": 2, "bank": 16, "epochs": 2} | {
    name: PICTURE_OPTIONS[name] for name in ("width", "hidden", "dim", "batch_size", "learning_rate", "crop")
}
PATIENCE = 600  # seconds: many processes each import torch


def grid_of(config, data):
    """Both clients in this process; each has its own file."""
    works = []
    for client, source in enumerate(data):
        own, _ = load_splits(str(source), *SHAPE)
        works.append(work_for(config, SHAPE, own, make_model(config, SHAPE).a_copy(), client))
    contexts = {client: Context(0, client, {}, RecordDict(), {}) for client in range(2)}
    return LocalGrid(client_app(lambda context: works[context.node_id]), contexts)


@pytest.fixture
def data(tmp_path):
    return [write_patterns(tmp_path / name, 40, seed=seed) for seed, name in enumerate(("a", "b"))]


@pytest.fixture
def in_one_process(tmp_path, data):
    """The trained weights."""
    config = Config(**OPTIONS | {"data": "at the clients"})
    model, run = make_model(config, SHAPE), Run(tmp_path / "here")
    run.begin("federated", {})
    serve(grid_of(config, data), model, run, timeout=0)
    return load_file(run.weights)


def test_a_server_that_was_killed_between_rounds_goes_on_to_the_same_bits(tmp_path, data, in_one_process):
    config = Config(**OPTIONS | {"data": "at the clients"})
    run = Run(tmp_path / "killed")
    run.begin("federated", {})

    class Killed(LocalGrid):
        def send_and_receive(self, messages, *, timeout=None):
            if run.checkpoint.is_file():  # the second round
                raise KeyboardInterrupt
            return super().send_and_receive(messages, timeout=timeout)

    sound = grid_of(config, data)
    with pytest.raises(KeyboardInterrupt):
        serve(Killed(sound.app, sound.contexts), make_model(config, SHAPE), run, timeout=0)
    assert len(run.log()) == 1
    serve(sound, make_model(config, SHAPE), run, timeout=0)
    assert [entry["step"] for entry in run.log()] == [1, 2]
    ended = load_file(run.weights)
    assert all(torch.equal(value, ended[name]) for name, value in in_one_process.items())


def test_a_damaged_checkpoint_of_the_server_is_named(tmp_path, data):
    config, run = Config(**OPTIONS | {"data": "x"}), Run(tmp_path / "run")
    run.begin("federated", {})
    run.checkpoint.write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match=r"checkpoint\.ckpt: damaged or of another model"):
        serve(grid_of(config, data), make_model(config, SHAPE), run, timeout=0)


def context_of(run_config, node_config):
    return Context(0, 0, node_config, RecordDict(), run_config)


@pytest.mark.parametrize(
    ("run_config", "node_config", "said"),
    [
        ({}, {"partition-id": 0}, "`data` must be in the SuperNode's --node-config"),
        ({}, {"data": "x"}, "`partition-id` must be in the SuperNode's --node-config"),
        ({}, {"data": "x", "partition-id": 2}, "`partition-id` must lie between 0 and 1"),
        ({"side": "16"}, {"data": "x", "partition-id": 0}, "`side` must be a whole number"),
        ({"epoch": 3}, {"data": "x", "partition-id": 0}, "Did you mean `epochs`?"),
    ],
)
def test_mistakes_in_a_clients_options_are_named(run_config, node_config, said):
    given = {"side": 16, "channels": 3, "clients": 2} | run_config
    with pytest.raises(InputError, match=said.replace("?", r"\?")):
        _work_of(context_of(given, node_config))


def test_a_run_folder_that_is_not_named_from_the_root_is_refused():
    with pytest.raises(InputError, match="`run` must be a folder named from the root"):
        _prepare(context_of({"side": 16, "channels": 3, "run": "runs/x"}, {}))


APP = """
[project]
name = "federated"
version = "1.0.0"
description = "A picture encoder, learned where the pictures are"
license = "Apache-2.0"
dependencies = []

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.flwr.app]
publisher = "me"

[tool.flwr.app.components]
serverapp = "tellapart.flower_apps:server"
clientapp = "tellapart.flower_apps:client"

[tool.flwr.app.config]
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Machines:
    """Processes that stand for machines; all end with the test."""

    def __init__(self, folder):
        self.folder, self.processes = folder, {}
        (folder / "home").mkdir()
        here = str(Path(tellapart.__file__).parents[1])
        self.environment = os.environ | {
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_HOME": str(folder / "home"),
            "OMP_NUM_THREADS": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]),
        }

    def start(self, name, program, *words):
        command = [sys.executable, str(Path(sys.executable).parent / program), *words]
        with (self.folder / f"{name}.log").open("w") as log:
            self.processes[name] = subprocess.Popen(
                command, env=self.environment, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )

    def wait_until(self, what, holds):
        end = time.monotonic() + PATIENCE
        while not holds():
            ended = [name for name, process in self.processes.items() if process.poll() not in (None, 0)]
            assert not ended, f"{ended} ended before {what}\n{self.said()}"
            assert time.monotonic() < end, f"not within {PATIENCE} s: {what}\n{self.said()}"
            time.sleep(0.5)

    def said(self):
        return "\n".join(f"== {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.folder.glob("*.log")))

    def end(self):
        for sent in (signal.SIGTERM, signal.SIGKILL):
            for process in self.processes.values():
                try:
                    os.killpg(process.pid, sent)
                except ProcessLookupError:
                    continue
            for process in self.processes.values():
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    continue


def is_open(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def machines(tmp_path):
    made = Machines(tmp_path)
    yield made
    made.end()


def test_superlink_and_supernodes_on_loopback_train_to_the_bits_of_one_process(
    tmp_path, data, in_one_process, machines
):
    run, port = tmp_path / "run", free_port()
    app = tmp_path / "app"
    app.mkdir()
    options = OPTIONS | {"run": str(run), "side": 16, "channels": 3, "timeout": PATIENCE}
    (app / "pyproject.toml").write_text(APP + "".join(f"{name} = {value!r}\n" for name, value in options.items()))
    link = f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{port}"\ninsecure = true\n'
    (tmp_path / "home" / "config.toml").write_text(link)
    where = ("--insecure", "--host", "127.0.0.1")
    machines.start(
        *("superlink", "flower-superlink", *where),
        *("--port", str(port), "--disable-runtime-dependency-installation"),
    )
    machines.wait_until("the SuperLink listened", lambda: is_open(port))
    for client, source in enumerate(data):
        node = f'partition-id={client} data="{source}"'
        words = ("--superlink", f"127.0.0.1:{port}", "--port", str(free_port()), "--node-config", node)
        machines.start(f"client {client}", "flower-supernode", *where, *words)
    log = tmp_path / "superlink.log"
    machines.wait_until("both clients were there", lambda: log.read_text().count("activate-node") >= 2)
    machines.start("run", "flwr", "run", str(app), "here", "--stream")
    machines.wait_until("the run was trained", lambda: Run(run).is_trained())
    trained = load_file(run / "weights.safetensors")
    assert [entry["clients"] for entry in Run(run).log()] == [2, 2]
    assert all(torch.equal(value, trained[name]) for name, value in in_one_process.items())
    vectors = tellapart.load(run).embed(patterns(5)[0]).vectors  # the run folder is one as any other
    assert vectors.shape == (5, 8 * OPTIONS["width"])
