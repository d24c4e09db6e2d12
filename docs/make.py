"""Makes what the documentation shows: the API pages, the figures of theory.md, and the picture of the demo's report.

make docs
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
MODULES = [
    "tellapart",
    "tellapart.scores",
    "tellapart.relations",
    "tellapart.temperature",
    "tellapart.variants",
    "tellapart.compat",
    "tellapart.negatives",
    "tellapart.gradient_cache",
    "tellapart.diagnostics",
    "tellapart.evaluation",
    "tellapart.distributed",
    "tellapart.theory",
    "tellapart.domains.pictures",
    "tellapart.domains.text",
    "tellapart.domains.graphs",
    "tellapart.domains.genomes",
    "tellapart.domains.pixels",
    "tellapart.domains.micrographs",
    "tellapart.domains.words",
    "tellapart.domains.preferences",
    "tellapart.domains.sound",
    "tellapart.domains.generated",
    "tellapart.domains.memories",
    "tellapart.planning",
    "tellapart.training",
    "tellapart.runs",
    "tellapart.api",
    "tellapart.systems",
    "tellapart.systems.clip",
    "tellapart.systems.simclr",
    "tellapart.systems.moco",
    "tellapart.systems.graph",
    "tellapart.systems.genomics",
    "tellapart.systems.bilingual",
    "tellapart.systems.word2vec",
    "tellapart.systems.dpo",
    "tellapart.systems.harmony",
    "tellapart.systems.pixels",
    "tellapart.systems.audiovisual",
    "tellapart.systems.microstructure",
    "tellapart.systems.attention",
    "tellapart.export",
    "tellapart.sklearn",
]
REPORT = HERE.parent / "runs" / "demo" / "report.html"


def picture_of_the_report() -> None:
    """Photograph the upper part of the demo's report in headless Chromium."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("docs: the README's picture needs Debian's chromium (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1160, "height": 1840})
        page.goto(REPORT.resolve().as_uri())
        page.wait_for_selector("#map .scatterlayer .point")
        page.wait_for_timeout(500)
        page.screenshot(path=HERE / "images" / "report.png")
        browser.close()


def main() -> None:
    subprocess.run([sys.executable, "-m", "pdoc", *MODULES, "--output-directory", str(HERE / "api")], check=True)
    subprocess.run([sys.executable, str(HERE / "theory_figures.py")], check=True)
    picture_of_the_report()
    print(f"{HERE / 'api' / 'index.html'} and {HERE / 'images' / 'report.png'}")


if __name__ == "__main__":
    main()
