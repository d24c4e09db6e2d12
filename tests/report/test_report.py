"""The report, opened offline in headless Chromium."""

import re
import shutil

import pytest
from PIL import Image

from tellapart.cli import main
from tellapart.report.colours import BLUE, GREEN, GREY
from tests.tiny.pictures import SCRIPT


@pytest.fixture(scope="module")
def page(visit_once, trained):
    """The report of the tiny run."""
    page = visit_once(trained / "report.html")
    page.wait_for_selector("#map .scatterlayer .point, #map .scatterlayer path")
    return page


def test_it_opens_offline_without_an_error_a_request_or_a_dialog(page):
    page.wait_for_timeout(300)
    assert page.trouble == []
    for chart in ("loss", "information", "accuracy", "scores", "map"):
        assert page.locator(f"#{chart} svg.main-svg").first.bounding_box()["height"] > 100, chart


def test_a_caption_with_a_script_stays_text(page, trained):
    """The script is in the table, the gallery and the page, and nowhere an element."""
    assert SCRIPT in (trained.parent / "data" / "pairs.csv").read_text()
    assert page.get_by_text(SCRIPT).count() >= 1
    assert page.locator("script").count() == 6  # four with data, the page's own, and Plotly unpacked
    assert SCRIPT not in (trained / "report.html").read_text()
    assert page.trouble == []


def test_the_loss_is_shown_with_its_number_of_candidates(page):
    assert page.locator("#loss-legend li").all_inner_texts() == ["loss", "held out, K + 1 = 6", "guessing, log(K + 1)"]
    assert re.search(r"loss \d\.\d+ nats among\s+K\s\+\s1 = \d+ candidates", page.locator(".lead").inner_text())


def test_pointing_at_any_mark_of_the_map_shows_its_own_picture_and_text(page):
    """Every mark of every colour, against the page's data."""
    page.locator("#map").scroll_into_view_if_needed()
    assert page.locator("#card").is_hidden()
    expected = page.evaluate("figures.map.data.flatMap(trace => trace.customdata.map(captionOf))")
    marks = page.locator("#map .scatterlayer .point")
    assert marks.count() == len(expected)
    for i, text in enumerate(expected):
        box = marks.nth(i).bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_function("text => document.querySelector('#card p').textContent === text", arg=text, timeout=3000)
    assert page.locator("#card .thumb").evaluate("e => getComputedStyle(e).backgroundImage").startswith('url("data:')


def test_a_photograph_of_it_shows_all_its_charts_in_their_colours(page, tmp_path):
    page.wait_for_timeout(300)
    page.screenshot(path=tmp_path / "report.png", full_page=True)
    with Image.open(tmp_path / "report.png") as image:
        colours = {colour for count, colour in image.convert("RGB").getcolors(image.width * image.height) if count > 40}
    for colour in (BLUE, GREEN, GREY):
        assert tuple(bytes.fromhex(colour[1:])) in colours, colour


@pytest.mark.parametrize("width", [1200, 390])
def test_nothing_sticks_out_of_the_page(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_can_be_written_elsewhere_and_again(trained, tmp_path, capsys):
    assert main(["report", str(trained), "--output", str(tmp_path / "page.html")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_bytes() == (trained / "report.html").read_bytes()


def test_a_run_that_is_not_complete_has_no_report_and_says_how_to_go_on(tmp_path, capsys):
    (tmp_path / "run.json").write_text('{"system": "clip"}')
    assert main(["report", str(tmp_path)]) == 2
    again = f"tellapart train clip --config {tmp_path}/config.yaml --run {tmp_path} --resume"
    assert f"Continue it with: {again}" in capsys.readouterr().err


def test_damaged_results_are_named(trained, tmp_path, capsys):
    shutil.copytree(trained, tmp_path / "copy")
    (tmp_path / "copy" / "results.json").write_text("{}")
    assert main(["report", str(tmp_path / "copy")]) == 2
    assert "results.json: damaged" in capsys.readouterr().err
