"""The measured curves: the page draws what the library returned, where it belongs, and says so when pointed at."""

import json
import re

import pytest


def marks(page, chart, line):
    """The marks of one line of a chart, as drawn."""
    return page.locator(f".chart[data-curve='{chart}'] svg > g").nth(line).locator("use")


def centres(page, chart, line):
    """Where they are in the chart."""
    found = marks(page, chart, line).evaluate_all("all => all.map(one => [one.x.baseVal.value, one.y.baseVal.value])")
    return [x for x, _ in found], [-y for _, y in found]


def widen(page, width):
    """Give the page another width, and wait until its charts have it, too."""
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_function(
        "() => [...document.querySelectorAll('.chart')].every("
        "chart => chart.querySelector('svg')?.viewBox.baseVal.width === chart.clientWidth)"
    )


def number(text):
    return float(text.replace(",", "").replace("−", "-"))


def test_the_page_holds_what_the_library_measured_while_it_was_written(page, written):
    path, measured = written
    held = re.search(r'id="curves">(.*?)</script>', path.read_text(encoding="utf-8")).group(1)
    assert json.loads(held) == measured
    assert {curve["claim"] for curve in measured} == {"T3", "T4", "T7", "T8"}
    assert page.locator(".chart svg").count() == len(measured)
    for i, curve in enumerate(measured):
        figure = page.locator("figure", has=page.locator(f".chart[data-curve='{i}']"))
        assert figure.locator("figcaption").inner_text() == curve["title"]
        assert [label.strip() for label in figure.locator("li").all_inner_texts()] == [
            x["label"] for x in curve["lines"]
        ]


def test_marks_are_placed_at_their_values(page, written):
    """Along each axis the marks are in the order of their values; one that is linear is a straight scale."""
    _, measured = written
    for i, curve in enumerate(measured):
        drawn = [(line, j) for j, line in enumerate(curve["lines"]) if line["kind"] != "theory"]
        assert drawn
        places = [centres(page, i, j) for _, j in drawn]
        for axis, log in ((0, curve["log_x"]), (1, False)):
            values = [value for line, _ in drawn for value in line["xy"[axis]]]
            at = [place for one in places for place in one[axis]]
            assert len(at) == len(values)
            low, high = values.index(min(values)), values.index(max(values))
            slope = (at[high] - at[low]) / (values[high] - values[low])
            assert slope > 0
            for value, place in zip(values, at, strict=True):
                straight = at[low] + slope * (value - values[low])
                assert place >= straight - 0.01 if log else place == pytest.approx(straight, abs=0.01)


@pytest.mark.parametrize("width", [1280, 400])
def test_pointing_at_a_mark_tells_its_values(page, written, width):
    _, measured = written
    widen(page, width)
    for i, curve in enumerate(measured):
        line = curve["lines"][0]
        chart = page.locator(f".chart[data-curve='{i}']")
        chart.scroll_into_view_if_needed()
        j = len(line["x"]) // 2 if line["kind"] == "measured" else line["x"].index(min(line["x"]))
        box = marks(page, i, 0).nth(j).bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        said = chart.locator(".values").text_content()
        found = re.fullmatch(r"(.*) at (\S+): (\S+)(?: ± (\S+))?", said)
        near = [
            (x, y)
            for one in curve["lines"]
            for x, y in zip(one["x"], one["y"], strict=True)
            if one["label"] == found.group(1)
            and number(found.group(2)) == pytest.approx(x, rel=6e-3)
            and number(found.group(3)) == pytest.approx(y, rel=6e-3, abs=1e-9)
        ]
        assert near, said
        words, edges = chart.locator(".values").bounding_box(), chart.bounding_box()
        assert edges["x"] - 1 <= words["x"]
        assert words["x"] + words["width"] <= edges["x"] + edges["width"] + 1


def test_a_table_below_holds_the_numbers(page, written):
    _, measured = written
    for i, curve in enumerate(measured):
        figure = page.locator("figure", has=page.locator(f".chart[data-curve='{i}']"))
        figure.locator("summary").click()
        rows = [re.split(r"\t", row) for row in figure.locator("tbody tr").all_inner_texts()]
        expected = [
            (line["label"], x, y)
            for line in curve["lines"]
            if line["kind"] != "points"
            for x, y in zip(line["x"], line["y"], strict=True)
        ]
        assert len(rows) == len(expected)
        for (label, x, y), row in zip(expected, rows, strict=True):
            assert row[0] == label
            assert float(row[1]) == pytest.approx(x, rel=1e-3)
            assert float(row[2].split(" ± ")[0]) == pytest.approx(y, rel=1e-3, abs=1e-9)


def test_charts_are_drawn_anew_for_another_width(page):
    for width in (1280, 400):
        widen(page, width)
        for chart in page.locator(".chart").all():
            drawn, room = chart.locator("svg .grid").first.bounding_box(), chart.bounding_box()
            assert room["width"] - 80 < drawn["width"] < room["width"] <= width
