"""The report of pictures without texts, opened offline in headless Chromium."""

import json
import re

import pytest

from tellapart.cli import main
from tests.command_line import read_log
from tests.tiny.pictures import picture_arguments, write_patterns


@pytest.fixture
def opened(visit_once):
    """Opens a run's report."""

    def open_(run):
        page = visit_once(run / "report.html")
        page.wait_for_selector("#map .scatterlayer .point, #map .scatterlayer path")
        return page

    return open_


def figures_of(run):
    html = (run / "report.html").read_text(encoding="utf-8")
    return json.loads(re.search(r'id="figures">(.*?)</script>', html).group(1))


def test_it_opens_offline_with_its_charts_and_no_word_of_texts(opened, learned):
    page = opened(learned)
    page.wait_for_timeout(300)
    assert page.trouble == []
    for chart in ("loss", "information", "accuracy", "scores", "map"):
        assert page.locator(f"#{chart} svg.main-svg").first.bounding_box()["height"] > 100, chart
    assert "own text" not in page.locator("main").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200


def test_it_says_what_a_step_took_and_the_share_of_the_views(opened, learned):
    entries = read_log(learned)
    share = 100 * sum(entry["seconds_views"] for entry in entries) / sum(entry["seconds"] for entry in entries)
    text = opened(learned).locator("main").inner_text()
    parts = r"of this the data took [\d.]+ %, the panel took [\d.]+ %, the validation took [\d.]+ % and the views took"
    assert re.search(r"A step took [\d.e-]+ s in the median; " + parts, text)
    assert f"the views took {share:.1f} %." in text


def test_each_picture_shown_finds_others_and_those_with_its_label_are_framed(opened, learned):
    page = opened(learned)
    queries = page.locator(".queries > figure")
    assert queries.count() == 9
    for i in range(9):
        query = queries.nth(i)
        caption = query.locator("figcaption").inner_text()
        hits = query.locator(".hit")
        assert hits.count() == 5
        titles = [hits.nth(j).get_attribute("title") for j in range(5)]
        assert caption not in titles  # not itself
        right = [title.split(" · ")[0] == caption.split(" · ")[0] for title in titles]
        assert ["right" in hits.nth(j).get_attribute("class") for j in range(5)] == right


def test_the_map_has_a_colour_for_each_label(learned):
    traces = figures_of(learned)["map"]["data"]
    assert {trace["name"] for trace in traces} == {"0", "1", "2"}
    assert len({trace["marker"]["color"] for trace in traces}) == 3
    assert sorted(row for trace in traces for row in trace["customdata"]) == list(range(40))


def test_without_labels_the_map_has_one_colour_and_scores_are_of_all_pairs(opened, tmp_path):
    words = picture_arguments("simclr", data=write_patterns(tmp_path, n=40, labelled=False, channels=1), epochs=1)
    assert main(["train", "simclr", "--run", str(tmp_path / "run"), *words]) == 0
    figures = figures_of(tmp_path / "run")
    assert [trace["name"] for trace in figures["map"]["data"]] == ["pictures"]
    assert [trace["name"] for trace in figures["scores"]["data"]] == ["all pairs"]
    page = opened(tmp_path / "run")
    assert page.trouble == []
    assert page.locator(".hit.right").count() == 0
