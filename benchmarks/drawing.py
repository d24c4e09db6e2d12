"""Draw a benchmark's figure as a picture, by plotly in Debian's chromium."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

SPOT_COLOURS = ("#0072b2", "#e69f00", "#009e73")


def save_png(figure: Any, path: Path, width: int, height: int) -> None:
    """Write a plotly figure as a picture of `width` × `height` pixels."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("chromium-headless-shell")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_content(figure.to_html(full_html=True, include_plotlyjs=True, config={"displayModeBar": False}))
        page.wait_for_timeout(1000)
        page.screenshot(path=path)
        browser.close()
