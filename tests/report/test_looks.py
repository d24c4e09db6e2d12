"""The report as it looks, of runs of several kinds, at two widths, in light and dark."""

import json
import re

import pytest

from tellapart.report.colours import ON_DARK
from tests.looks import check_looks, contrast, dress, each_look

RUNS = ("clip", "gan", "microstructure", "word2vec")


@pytest.fixture(scope="module", params=RUNS)
def report(request, run_of):
    return run_of(request.param) / "report.html"


def opened(visit_once, run):
    """A run's report, as it is at first, though other tests may have looked at it."""
    page = visit_once(run / "report.html")
    page.wait_for_selector("#map .scatterlayer .point, #map .textpoint text")
    dress(page, 1280, "light")
    return page


@each_look
def test_a_report_is_whole_and_legible(visit_once, report, width, scheme):
    page = visit_once(report)
    page.wait_for_selector(".chart svg.main-svg")
    dress(page, width, scheme)
    check_looks(page, width)
    assert contrast(page, ".note") >= 4.5


def test_a_report_has_at_most_three_megabytes(report):
    assert report.stat().st_size < 3_000_000


def test_no_colour_is_used_twice_in_a_figure_and_each_has_one_for_dark(report):
    html = report.read_text(encoding="utf-8")
    figures = json.loads(re.search(r'id="figures">(.*?)</script>', html).group(1))
    assert figures
    for name, figure in figures.items():
        colours = [
            trace["line"]["color"] if trace.get("mode", "").startswith("lines") else trace["marker"]["color"]
            for trace in figure["data"]
        ]
        assert len(set(colours)) == len(colours), name
        assert set(colours) <= set(ON_DARK), name


def test_the_figures_follow_when_the_scheme_changes(visit_once, run_of):
    page = opened(visit_once, run_of("clip"))
    for scheme in ("light", "dark", "light"):
        dress(page, 1280, scheme)
        tick = page.locator("#loss .xtick text").first.evaluate("e => getComputedStyle(e).fill")
        assert (tick == "rgb(36, 48, 60)") == (scheme == "light")
        line = page.evaluate("figures.loss.data[0].line.color")
        assert line == ("#0072b2" if scheme == "light" else ON_DARK["#0072b2"])
        assert page.locator("#loss .scatterlayer .js-line").first.evaluate("e => e.style.stroke") == _css(line)


def _css(colour):
    return f"rgb({', '.join(str(part) for part in bytes.fromhex(colour[1:]))})"


@pytest.mark.parametrize("width", [1280, 400])
def test_the_name_of_a_group_of_rows_is_on_one_line_and_takes_no_column_where_there_is_little_room(
    visit_once, run_of, width
):
    page = visit_once(run_of("bilingual") / "report.html")
    dress(page, width, "light")
    name, model = (page.locator("tr.first td").nth(place) for place in (0, 1))
    assert "→" in name.inner_text()
    words, beside = place_of_text(name), place_of_text(model)
    assert words["height"] < 30
    assert (words["bottom"] <= beside["top"]) == (width == 400)
    assert (words["right"] <= beside["left"]) == (width == 1280)
    assert page.evaluate("(e => e.scrollWidth <= e.clientWidth)(document.querySelector('.scroll'))")


def place_of_text(cell):
    """Where the text of a cell is, which may be outside of it."""
    return cell.evaluate(
        "e => { const r = document.createRange(); r.selectNodeContents(e); return r.getBoundingClientRect().toJSON(); }"
    )


def test_the_filter_leaves_what_has_all_its_words_and_the_map_follows(visit_once, run_of):
    page = opened(visit_once, run_of("clip"))
    captions = page.evaluate("gallery.captions")
    assert page.locator("#count").inner_text() == f"9 of {len(captions)}, at random."
    word = captions[page.evaluate("gallery.chosen[0]")].split()[0]
    expected = [caption for caption in captions if word.lower() in caption.lower()]
    page.locator("#search").fill(word.upper())
    assert page.locator("#count").inner_text().startswith(f"{len(expected)} of {len(captions)}")
    shown = [text.strip() for text in page.locator(".queries figcaption").all_inner_texts()]
    assert shown == expected[:12]
    assert sum(page.evaluate("figures.map.data.map((_, i) => map.data[i].selectedpoints.length)")) == len(expected)
    page.locator("#search").fill("no such word anywhere")
    assert page.locator("#count").inner_text() == f"None of {len(captions)}."
    page.locator("#search").fill("")
    assert page.locator(".queries > figure").count() == 9
    assert page.evaluate("map.data.every(trace => trace.selectedpoints == null)")


def test_each_query_finds_what_is_most_alike_and_shows_its_own_picture(visit_once, run_of):
    """The thumbnails are parts of one sheet; each place of it is another picture's."""
    page = opened(visit_once, run_of("clip"))
    page.wait_for_selector(".hit .thumb")
    assert page.locator(".hit").count() == 45
    size = page.locator(".hit .thumb").first.bounding_box()
    assert 50 < size["width"] <= 64
    assert size["height"] == pytest.approx(size["width"], abs=0.5)
    places = page.evaluate("captionOf && gallery.captions.map((_, row) => thumb(row).style.backgroundPosition)")
    assert len(set(places)) == len(places)
    scores = [float(text) for text in page.locator(".hits").first.locator("span").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)


def test_a_colour_of_the_legend_lets_its_marks_stand_out(visit_once, run_of):
    page = opened(visit_once, run_of("simclr"))
    buttons = page.locator("#map-legend button")
    names = page.evaluate("figures.map.data.map(trace => trace.name)")
    assert buttons.all_inner_texts() == names
    for _ in range(2):
        buttons.nth(1).click()
        pressed = buttons.nth(1).get_attribute("aria-pressed") == "true"
        opacity = page.evaluate("map.data.map(trace => trace.opacity)")
        assert opacity == [0.1 if pressed and i != 1 else 1 for i in range(len(names))]
    assert not pressed


def test_words_that_are_written_on_a_map_do_not_cover_each_other(visit_once, run_of):
    page = opened(visit_once, run_of("word2vec"))
    for width, scheme in ((1280, "light"), (1280, "dark"), (400, "light"), (400, "dark"), (1280, "light")):
        dress(page, width, scheme)
        written = [text for text in page.locator("#map .textpoint").all_text_contents() if text.strip()]
        assert written == page.evaluate("map.data[0].text.filter((text) => text.trim())")
        assert page.evaluate("gallery.captions[0]") in written


def test_an_old_browser_says_why_it_draws_no_figures(browser, run_of):
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.add_init_script("delete window.DecompressionStream")
    page.goto(f"file://{run_of('clip') / 'report.html'}")
    assert page.locator("#loss").inner_text() == "Figures need a browser of 2023 or later."
    assert page.locator(".hit").count() == 45
    context.close()
