"""What all tests share: the Hypothesis profiles, the thread count, a small trained run, a browser."""

import fcntl
import gc
import os
import shutil
from contextlib import contextmanager
from functools import cache

# Tests run in parallel processes; threads inside each, and in those that they start, would fight over the cores.
# OpenMP reads it when it is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import settings

from tests import compiling
from tests.command_line import train
from tests.harness import SYSTEMS
from tests.schedule import UnitByUnit, longest_first

# Before anything imports Triton: where there is no GPU, the tests of its kernels have them interpreted.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# CI derandomises, so that a red run means a changed program and not an unlucky draw.
settings.register_profile("ci", derandomize=True, deadline=None, max_examples=30)
settings.register_profile("random", deadline=None, print_blob=True)
# make test-portable repeats what CI has run already, with other kernels.
settings.register_profile("few", settings.get_profile("ci"), max_examples=20)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Collecting tests imports nearly everything and frees nearly nothing; garbage is collected from its end on.
gc.disable()

torch.set_num_threads(1)

# Without a window to draw, a page takes a tenth of the processor time to open.
BROWSER = shutil.which("chromium-headless-shell") or shutil.which("chromium")
if BROWSER is None and os.environ.get("CI"):
    raise RuntimeError("CI needs Debian's chromium-headless-shell: .ci/run installs it")


def pytest_xdist_auto_num_workers():
    """One more than there are cores, for tests wait for browsers, servers and other processes."""
    return (os.cpu_count() or 1) + 1


def pytest_xdist_make_scheduler(config, log):
    """The files in the order in which `pytest_collection_modifyitems` leaves them, and not that of their sizes."""
    if config.getvalue("dist") != "loadgroup":
        return None
    config.option.loadscopereorder = False
    return UnitByUnit(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    longest_first(items)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    with compiling.alone_in_a_fresh_clone():
        return (yield)


def pytest_collection_finish():
    """Objects of torch and of the tests stay to the end: what collects garbage need not look at them again."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def run_of(tmp_path_factory):
    """The run of an entry of `SYSTEMS`, trained by the command line when it is first asked for; its data lie beside.

    One worker trains it, and each has a copy.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    @cache
    def run(name):
        if SYSTEMS[name].needs:
            pytest.importorskip(SYSTEMS[name].needs)
        folder = shared / f"trained-{name.replace(', ', '-')}"
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
            if not folder.with_suffix(".done").exists():
                train_small(folder, name)
                folder.with_suffix(".done").touch()
        return shutil.copytree(folder, own / f"copy-of-{folder.name}") / "run"

    return run


def train_small(folder, name):
    entry = SYSTEMS[name]
    words = [f"--{option}={value}" for option, value in entry.options.items()]
    with entry.small():
        train(folder / "run", name.partition(",")[0], ["--data", str(entry.write(folder / "data")), *words])


@pytest.fixture(scope="session")
def trained(run_of):
    """A run of CLIP; one of its texts is a script."""
    return run_of("clip")


@pytest.fixture(scope="session", params=["simclr", "moco"])
def learned(request, run_of):
    """A run of each system of pictures without texts, on labelled patterns."""
    return run_of(request.param)


@pytest.fixture(scope="session")
def sequenced(run_of):
    """A run on three tiny genomes."""
    return run_of("genomics")


@pytest.fixture(scope="session")
def browser():
    if BROWSER is None:
        pytest.skip("needs Debian's chromium-headless-shell, which .ci/run installs")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@contextmanager
def visitor(browser):
    context = browser.new_context(viewport={"width": 1200, "height": 900}, offline=True)

    def open_(path):
        page = context.new_page()
        page.trouble = []
        page.on("pageerror", lambda error: page.trouble.append(str(error)))
        page.on("console", lambda message: page.trouble.append(message.text) if message.type == "error" else None)
        page.on("dialog", lambda dialog: (page.trouble.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: page.trouble.append(request.url) if request.url.startswith("http") else None)
        page.goto(f"file://{path}")
        return page

    yield open_
    context.close()


@pytest.fixture
def visit(browser):
    """Opens a file offline; the page's `trouble` is all that it complained of, asked the network for or popped up."""
    with visitor(browser) as open_:
        yield open_


@pytest.fixture(scope="module")
def visit_once(browser):
    """The same for pages that several tests look at: opening one takes a second."""
    with visitor(browser) as open_:
        yield cache(open_)
