"""What all tests share: the Hypothesis profiles, the thread count, a small trained run, a browser."""

import os
import shutil

import pytest
import torch
from hypothesis import settings

from tests.tiny import arguments, genome_arguments, picture_arguments, write_genomes, write_pairs, write_patterns

# CI derandomises, so that a red run means a changed program and not an unlucky draw.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("random", deadline=None, print_blob=True)
# make test-portable repeats what CI has run already, with other kernels.
settings.register_profile("few", settings.get_profile("ci"), max_examples=20)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Tests run in parallel processes; threads inside each would fight over the cores.
torch.set_num_threads(1)

SCRIPT = "<script>alert(1)</script>"

BROWSER = shutil.which("chromium")
if BROWSER is None and os.environ.get("CI"):
    raise RuntimeError("CI needs Debian's chromium: .ci/run installs it")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of CLIP on the tiny data, trained by the command line; one of its texts is a script."""
    from tellapart.cli import main

    folder = tmp_path_factory.mktemp("trained")
    # Every shape of one colour carries the script, so that at least one of them is shown.
    texts = {f"red-{shape}.png": f"{SCRIPT} {shape}" for shape in ("circle", "square", "bar", "dot")}
    data = write_pairs(folder / "pictures", texts)
    run = folder / "run"
    assert main(["train", "clip", "--run", str(run), *arguments(data=data, epochs=12, held_out=0.5)]) == 0
    return run


@pytest.fixture(scope="session", params=["simclr", "moco"])
def learned(request, tmp_path_factory):
    """A run of each system of pictures without texts, on labelled patterns, trained by the command line."""
    from tellapart.cli import main

    folder = tmp_path_factory.mktemp(request.param)
    words = picture_arguments(request.param, data=write_patterns(folder))
    assert main(["train", request.param, "--run", str(folder / "run"), *words]) == 0
    return folder / "run"


@pytest.fixture(scope="session")
def browser():
    if BROWSER is None:
        pytest.skip("needs Debian's chromium, which .ci/run installs")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """Opens a file offline; the page's `trouble` is all that it complained of, asked the network for or popped up."""
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


@pytest.fixture(scope="session")
def sequenced(tmp_path_factory):
    """A run on three tiny genomes, trained by the command line; few reads are measured and shown."""
    from tellapart.cli import main
    from tellapart.domains.genomes import dataset, measure

    folder = tmp_path_factory.mktemp("sequenced")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "_OF_A_LABEL", 60)
        patch.setattr(dataset, "MAX_SHOWN", 60)
        words = genome_arguments(data=write_genomes(folder / "genomes"))
        assert main(["train", "genomics", "--run", str(folder / "run"), *words]) == 0
    return folder / "run"
