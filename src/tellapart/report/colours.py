"""The colours of figures: each is used for one thing in a figure, and has another shade on a dark page."""

from __future__ import annotations

import math

INK, GREY, AXIS, GRID, CARD = "#24303c", "#8a94a0", "#c9d1d9", "#edf0f3", "#ffffff"
# After Okabe and Ito: colour-blind readers can distinguish them.
BLUE, ORANGE, GREEN, PINK, SKY, RED = "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"
_FEW = (BLUE, ORANGE, GREEN, PINK, SKY, RED, INK)
MOST = 24
"""How many colours can be told apart."""
_HUES, _STRIDE = 12, 5  # of the colour circle, and from one label to the next


def palette(n: int) -> list[str]:
    """Colours for n things, all different.

    Up to seven are known to be safe for colour-blind readers. More are spread evenly over hues, light and dark.

    >>> len(set(palette(24)))
    24
    """
    if n > MOST:
        raise ValueError(f"n must be at most {MOST}. Got {n}.")
    return list(_FEW[:n] if n <= len(_FEW) else (_shade(i, (0.48, 0.68)) for i in range(n)))


def _shade(i: int, lightness: tuple[float, float]) -> str:
    hue = (i * _STRIDE % _HUES) / _HUES
    return oklch(lightness[i // _HUES], 0.14, 360 * hue + 20)


def oklch(lightness: float, chroma: float, hue: float) -> str:
    """A colour by what the eye sees of it: lightness in [0, 1], chroma, and hue in degrees; cut to what screens show.

    Source: Björn Ottosson, "A perceptual color space for image processing", 2020.

    >>> oklch(1.0, 0.0, 0.0), oklch(0.0, 0.0, 0.0)
    ('#ffffff', '#000000')
    """
    a, b = (chroma * f(math.radians(hue)) for f in (math.cos, math.sin))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
    )
    return "#" + "".join(f"{round(255 * _encoded(value)):02x}" for value in linear)


def _encoded(linear: float) -> float:
    """A share of light, as sRGB encodes it."""
    value = min(max(linear, 0.0), 1.0)
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


ON_DARK = {
    INK: "#e4eaf0",
    GREY: "#8794a2",
    AXIS: "#46525f",
    GRID: "#27313b",
    CARD: "#1a2129",
    BLUE: "#4aa8e0",
    ORANGE: "#f0b429",
    GREEN: "#2fbf95",
    PINK: "#e39ac3",
    SKY: "#a6ddff",
    RED: "#ee7b30",
} | {_shade(i, (0.48, 0.68)): _shade(i, (0.62, 0.84)) for i in range(MOST)}
"""By each colour of a light page, the one that stands for it on a dark page."""
