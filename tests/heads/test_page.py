"""The page of heads, opened offline in headless Chromium."""

import json

import pytest
import torch
import transformers

from tests.heads.conftest import TEXT
from tests.looks import check_looks, contrast, dress, each_look


@pytest.fixture
def page(visit, written):
    return visit(written)


@pytest.fixture(scope="module")
def weights(gpt2):
    """The attention that transformers returns, and the tokens."""
    model = transformers.AutoModel.from_pretrained(gpt2, attn_implementation="eager")
    ids = transformers.AutoTokenizer.from_pretrained(gpt2)(TEXT, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model(ids, output_attentions=True).attentions


def test_it_opens_offline_without_an_error_a_request_or_a_dialog(page):
    page.wait_for_timeout(200)
    assert page.trouble == []
    assert page.locator("#grid button").count() == 8
    assert page.locator("#tokens").inner_text().replace("\n", "").startswith("the␣cat␣sees")


def test_a_head_shows_the_shares_that_transformers_returns(page, weights):
    page.locator("#grid button").nth(5).click()
    assert page.locator("#one").inner_text() == "Layer 1, head 1"
    expected = weights[1][0, 1]
    for place in (0, 4, len(expected) - 1):
        page.locator("#tokens button").nth(place).click()
        titles = page.locator("#tokens button").evaluate_all("marks => marks.map(mark => mark.title)")
        for share, title in zip(expected[place].tolist(), titles, strict=True):
            shown = {"< 1 %": 0.0}.get(title) if title == "< 1 %" else int(title.removesuffix(" %")) / 100
            assert abs(shown - share) < 0.0125
        best = page.locator("#best tr th").first.inner_text()
        assert int(best.split()[0]) - 1 == expected[place].argmax().item()


def test_the_grid_is_coloured_by_what_is_chosen(page, weights):
    page.locator("[name=measure][value=previous]").check()
    before = [weights[1][0, head].diagonal(-1).mean().item() for head in range(4)]
    shown = page.locator("#grid tr:nth-child(2) button").all_inner_texts()
    assert [float(text) for text in shown] == pytest.approx(before, abs=0.006)
    page.locator("[name=measure][value=evenness]").check()
    assert page.locator("#grid button").nth(4).inner_text() == "1.00"


def test_a_uniform_head_is_marked_and_named(page):
    assert page.locator("#grid button.uniform").count() == 1
    assert "1 of 8 heads uniform" in page.locator("#notes").inner_text()
    page.locator("#grid button.uniform").click()
    assert page.locator("#warning").inner_text().startswith("Uniform")


def test_it_is_worked_by_the_keyboard(page):
    page.locator("#tokens button").nth(2).focus()
    page.keyboard.press("Enter")
    assert "Token 3" in page.locator("#said").inner_text()
    assert page.locator("#tokens button").nth(2).get_attribute("aria-pressed") == "true"


@each_look
def test_it_is_whole_and_legible(page, width, scheme):
    dress(page, width, scheme)
    check_looks(page, width)
    assert contrast(page, ".note") >= 4.5


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_sticks_out_of_the_page(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    data = json.loads(page.locator("#data").inner_text() or page.locator("#data").evaluate("e => e.textContent"))
    assert len(data["heads"]) == 8
