"""How a page looks, as far as a program can see it: at two widths, in light and dark."""

import pytest

LOOKS = [(1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")]
each_look = pytest.mark.parametrize(("width", "scheme"), LOOKS, ids=lambda value: str(value))

# Of each visible text the boxes of its lines, as far as the boxes that it scrolls in leave them to see.
_OVERLAPS = """() => {
  const lines = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || element.closest("script, style, .unseen, [hidden], option")) continue;
    if (!element.getClientRects().length) continue; // inside an SVG, what is not rendered
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(walker.currentNode);
    for (let { left, right, top, bottom } of range.getClientRects()) {
      for (const holder of [element.closest(".scroll")].filter(Boolean)) {
        const edge = holder.getBoundingClientRect();
        [left, right] = [Math.max(left, edge.left), Math.min(right, edge.right)];
      }
      const slack = 0.2 * (bottom - top); // a font's box is taller than its letters
      if (right - left > 2) lines.push({ text, left, right, top: top + slack, bottom: bottom - slack });
    }
  }
  const found = [];
  lines.forEach((a, i) => lines.slice(i + 1).forEach((b) => {
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (across > 2 && down > 1) found.push([a.text, b.text]);
  }));
  return found;
}"""

# Tables that are wider than what holds them, unless that scrolls.
_CUT = """() => [...document.querySelectorAll("table")].filter((table) => table.checkVisibility()).filter((table) => {
  const scroll = table.closest(".scroll");
  const room = (scroll ?? table.parentElement).getBoundingClientRect();
  const box = table.getBoundingClientRect();
  const reaches = scroll && getComputedStyle(scroll).overflowX === "auto" && scroll.scrollWidth >= table.offsetWidth;
  return box.right > room.right + 1 && !reaches;
}).length"""

# Texts of a figure that stick out of it, where they are not seen.
_CLIPPED = """() => [...document.querySelectorAll("svg text")].filter((text) => {
  const box = text.getBoundingClientRect();
  const room = text.ownerSVGElement.getBoundingClientRect();
  const isOut = box.left < room.left - 1 || box.right > room.right + 1 || box.bottom > room.bottom + 1;
  return text.checkVisibility() && box.width && isOut;
}).map((text) => text.textContent)"""


def dress(page, width, scheme):
    """Gives a page a width and a colour scheme, and waits until it has drawn itself anew."""
    page.bring_to_front()  # a page behind another is not drawn
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(400)  # Plotly waits before it follows a window's width
    page.evaluate("() => new Promise((done) => requestIdleCallback(() => done(), { timeout: 2000 }))")


def check_looks(page, width):
    """Nothing wider than the window, no table or text cut, no text on text, room around the heading, no error."""
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(_CUT) == 0
    assert page.evaluate(_OVERLAPS) == []
    assert page.evaluate(_CLIPPED) == []
    heading = page.locator("h1").bounding_box()
    assert heading["x"] >= 14
    assert heading["y"] >= 24
    assert page.trouble == []


def contrast(page, selector):
    """The contrast of an element's text with the page's card, as WCAG 2 has it: 4.5 and more is legible."""
    colours = page.locator(selector).first.evaluate(
        "e => [getComputedStyle(e).color, getComputedStyle(document.querySelector('section')).backgroundColor]"
    )
    light, dark = sorted((_luminance(colour) for colour in colours), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour):
    channels = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
