"""Draws what the pages show: the figures of theory.md, the picture of the architecture, and that of the demo's report.

make figures
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
REPORT = HERE.parent / "runs" / "demo" / "report.html"


def picture_of_the_report() -> None:
    """Photograph the upper part of the demo's report in headless Chromium."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-headless-shell")
    if chromium is None:
        sys.exit("figures: the README's picture needs Debian's chromium (apt-get install chromium-headless-shell)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1160, "height": 1840})
        page.goto(REPORT.resolve().as_uri())
        page.wait_for_selector("#map .scatterlayer .point")
        page.wait_for_timeout(500)
        page.screenshot(path=HERE / "images" / "report.png")
        browser.close()


def main() -> None:
    for script in ("theory_figures.py", "architecture_picture.py"):
        subprocess.run([sys.executable, str(HERE / script)], check=True)
    picture_of_the_report()
    print(HERE / "images")


if __name__ == "__main__":
    main()
