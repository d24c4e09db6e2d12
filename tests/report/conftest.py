"""A browser for the tests of reports."""

import os
import shutil

import pytest

BROWSER = shutil.which("chromium")
if BROWSER is None and os.environ.get("CI"):
    raise RuntimeError("CI needs Debian's chromium: .ci/run installs it")


@pytest.fixture(scope="session")
def browser():
    if BROWSER is None:
        pytest.skip("needs Debian's chromium, which .ci/run installs")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()
