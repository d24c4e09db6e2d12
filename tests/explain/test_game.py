"""The page as a game: whatever is moved, by mouse, finger or keyboard, the numbers shown are the library's."""

import math

import pytest
import torch

from tellapart import info_nce
from tellapart.relations import listed
from tests.explain.test_arithmetic import unit
from tests.looks import check_looks, contrast, dress, each_look

POINTS = "#points [role=slider]"


def angles(page):
    """The angles of the query, its positive and the visible negatives."""
    visible = page.locator(POINTS).locator("visible=true")
    return [int(visible.nth(i).get_attribute("aria-valuenow")) for i in range(visible.count())]


def loss_by_the_library(page):
    query, *keys = angles(page)
    temperature = float(page.locator("#tau").inner_text())
    return info_nce(unit([query]), unit(keys), positives=listed(torch.tensor([0])), temperature=temperature).item()


def shown(page, name="loss"):
    return float(page.locator(f"#{name}").text_content().replace("−", "-"))


def agrees(page):
    """Whether the loss shown, with three decimals, is the library's."""
    return shown(page) == pytest.approx(loss_by_the_library(page), abs=5.01e-4)


def point_at(page, degrees):
    """Where an angle is on the screen."""
    box = page.locator("#circle .orbit").bounding_box()
    radius, turned = box["width"] / 2, math.radians(degrees)
    return box["x"] + radius * (1 + math.cos(turned)), box["y"] + radius * (1 - math.sin(turned))


def test_it_opens_offline_without_an_error_a_request_or_a_dialog(page):
    page.wait_for_timeout(700)
    assert page.trouble == []
    assert page.get_by_role("heading", level=1).inner_text() == "Who is my counterpart?"
    assert agrees(page)


def test_dragging_a_key_changes_the_loss_to_what_the_library_says(page):
    for i, name in enumerate(["query", "positive", "negative 1", "negative 7"]):
        before = shown(page)
        start = int(page.get_by_role("slider", name=name).get_attribute("aria-valuenow"))
        page.mouse.move(*point_at(page, start))
        page.mouse.down()
        for step in range(1, 5):
            page.mouse.move(*point_at(page, start + 5 * step))
        page.mouse.up()
        page.mouse.move(*point_at(page, start + 90))  # released: this moves nothing
        assert int(page.get_by_role("slider", name=name).get_attribute("aria-valuenow")) == (start + 20) % 360
        assert agrees(page)
        assert (shown(page) != before) or i == 3  # the last is too far away to matter


def test_a_finger_drags_a_key_and_does_not_scroll_the_page(browser, explained):
    context = browser.new_context(viewport={"width": 400, "height": 800}, has_touch=True, offline=True)
    page = context.new_page()
    page.goto(f"file://{explained}")
    page.locator("#circle").scroll_into_view_if_needed()
    session = context.new_cdp_session(page)

    def touch(kind, *places):
        points = [{"x": x, "y": y} for x, y in places]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    scrolled, (x, y) = page.evaluate("scrollY"), point_at(page, angles(page)[2])
    touch("touchStart", (x, y))
    for step in range(1, 6):
        touch("touchMove", (x, y + 12 * step))
    touch("touchEnd")
    assert angles(page)[2] > 160
    assert agrees(page)
    assert page.evaluate("scrollY") == scrolled
    context.close()


def test_arrow_keys_move_a_point_to_where_they_point(page):
    for start, key, end in (
        (100, "ArrowRight", 99),
        (100, "ArrowLeft", 101),
        (10, "ArrowUp", 11),
        (10, "ArrowDown", 9),
        (190, "ArrowUp", 189),
        (260, "ArrowRight", 261),
        (0, "ArrowDown", 359),
        (90, "ArrowUp", 90),
        (350, "PageUp", 5),
        (5, "PageDown", 350),
    ):
        page.evaluate("degrees => move(1, degrees)", start)
        page.get_by_role("slider", name="positive").press(key)
        assert angles(page)[1] == end, (start, key)
        assert agrees(page)


def test_arrow_keys_change_the_loss_to_what_the_library_says(page):
    before = shown(page)
    for _ in range(12):
        page.get_by_role("slider", name="negative 1").press("ArrowUp")
    assert shown(page) > before + 0.1  # it comes closer to the query
    assert agrees(page)


def test_the_temperature_slider_changes_the_loss_to_what_the_library_says(page):
    for exponent, temperature in ((-2, 0.01), (-1.3, 0.05), (0.3, 2), (1, 10)):
        page.locator("#temperature").fill(str(exponent))
        assert float(page.locator("#tau").inner_text()) == temperature
        assert agrees(page)


def test_the_slider_of_negatives_adds_and_removes_them_and_they_return_to_their_place(page):
    at_first = angles(page)
    for n_negatives in (1, 16, 3, len(at_first) - 2):
        page.locator("#size").fill(str(n_negatives))
        assert len(angles(page)) == n_negatives + 2
        assert page.locator("#shares tr").locator("visible=true").count() == n_negatives + 1
        assert shown(page, "ceiling") == pytest.approx(math.log(n_negatives + 1), abs=5.01e-4)
        assert agrees(page)
    assert angles(page) == at_first


def test_the_verdict_says_whom_the_query_picks_and_when_it_cannot_tell(page):
    verdict = page.locator("#verdict")
    assert verdict.inner_text().startswith("The query picks its positive (63.1")
    query, positive, *_ = angles(page)
    page.evaluate("degrees => move(4, degrees)", query - (positive - query))
    assert verdict.inner_text().startswith("The query cannot tell negative 3 from its positive")
    page.evaluate("degrees => move(4, degrees)", query)
    assert verdict.inner_text().startswith("The query picks negative 3 (")


def test_every_line_up_to_try_says_what_its_name_promises(page):
    page.get_by_role("button", name="Hard negative").click()
    assert page.locator("#verdict").inner_text().startswith("The query picks negative 1")
    page.get_by_role("button", name="Cold").click()
    assert float(page.locator("#effective").inner_text()) == 1
    page.get_by_role("button", name="Hot").click()
    assert shown(page) == pytest.approx(shown(page, "ceiling"), abs=0.1)
    assert float(page.locator("#effective").inner_text()) > 6.9
    page.get_by_role("button", name="Start again").click()
    page.reload()
    fresh = angles(page)
    page.get_by_role("button", name="Hard negative").click()
    page.get_by_role("button", name="Start again").click()
    assert angles(page) == fresh
    assert agrees(page)


def test_everything_that_can_be_moved_is_reached_by_tab_and_shows_it(page):
    reached = []
    for _ in range(9 + 2 + 4):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.innerText"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        ring = page.evaluate("getComputedStyle(document.activeElement.querySelector('.ring') ?? document.body).stroke")
        assert outline != "none" or ring not in ("none", "rgba(0, 0, 0, 0)")
    assert reached[:3] == ["query", "positive", "negative 1"]
    assert reached[-1].startswith("Hot")


def test_a_screen_reader_hears_where_a_movement_ended_and_not_all_of_it(page):
    page.wait_for_function("() => find('said').textContent !== ''")
    page.evaluate("window.heard = []")
    page.evaluate(
        "new MutationObserver(() => heard.push(find('said').textContent)).observe(find('said'), {childList: true})"
    )
    page.evaluate("for (const angle of [61, 60, 59, 58, 57]) move(1, angle)")
    page.wait_for_function("() => heard.length > 0")
    page.wait_for_timeout(600)
    heard = page.evaluate("heard")
    assert len(heard) == 1
    assert heard[0] == f"{page.locator('#verdict').inner_text()} Loss {page.locator('#loss').inner_text()} nats."


@each_look
def test_it_is_whole_and_legible(page, width, scheme):
    dress(page, width, scheme)
    check_looks(page, width)
    assert contrast(page, ".note") >= 4.5


def test_nothing_sticks_out_of_the_page(page):
    for width in (1280, 400, 320):
        page.set_viewport_size({"width": width, "height": 800})
        for n_negatives in (16, 1):
            page.locator("#size").fill(str(n_negatives))
            page.wait_for_timeout(50)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (width, n_negatives)
