"""The report of a run whose items are not pictures, opened offline in headless Chromium."""

import re

import pytest


@pytest.fixture(scope="module")
def page(visit_once, sequenced):
    page = visit_once(sequenced / "report.html")
    page.wait_for_selector("#map .scatterlayer .point, #map .scatterlayer path")
    return page


def test_it_opens_without_trouble_and_without_a_word_of_pictures(page):
    page.wait_for_timeout(300)
    assert page.trouble == []
    text = page.locator("main").inner_text()
    assert "picture" not in text
    assert "Map of the held-out reads" in text
    assert "Scores of held-out reads" in text
    assert re.search(r"most similar of\s+60 held-out reads", text)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200


def test_reads_that_are_found_are_called_by_label_and_place_and_the_right_ones_framed(page):
    queries = page.locator(".queries > figure")
    assert queries.count() == 9
    assert page.locator(".queries img").count() == 0
    for i in range(9):
        caption = queries.nth(i).locator("figcaption").inner_text()
        assert re.fullmatch(r"species \d · genome\d:\d+-\d+", caption)
        hits = queries.nth(i).locator(".hit")
        called = [hits.nth(j).locator("b").inner_text() for j in range(hits.count())]
        assert caption not in called
        right = [name.split(" · ")[0] == caption.split(" · ")[0] for name in called]
        assert ["right" in hits.nth(j).get_attribute("class") for j in range(5)] == right


def test_pointing_at_a_mark_shows_its_name_and_no_empty_picture(page):
    page.locator("#map").scroll_into_view_if_needed()
    box = page.locator("#map .scatterlayer .point").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#card:not([hidden])")
    assert re.fullmatch(r"species \d · genome\d:\d+-\d+", page.locator("#card p").inner_text())
    assert page.locator("#card .thumb").count() == 0
