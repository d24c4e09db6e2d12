"""Other ways to find where a point went, as strong as they can be had: optical flow, correlation and descriptors.

Each is called as `locate(a, b, points)` and returns the places in frame b of points of frame a.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from tellapart.domains.pixels import Flows

Locate = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
_SIFT_SIZES = (12, 20, 32)
_NCC_SIDES = (15, 25)


def grey(frame: np.ndarray) -> np.ndarray:
    """Brightness, 8 bits."""
    return cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)


def ncc(side: int) -> Locate:
    """Normalised cross-correlation of the square round a point with every square of the other frame."""

    def locate(a: np.ndarray, b: np.ndarray, points: np.ndarray) -> np.ndarray:
        half = side // 2
        padded = [cv2.copyMakeBorder(frame, *[half] * 4, cv2.BORDER_REFLECT_101) for frame in (a, b)]
        places = []
        for x, y in np.rint(points).astype(int):
            patch = padded[0][y : y + side, x : x + side]
            scores = cv2.matchTemplate(padded[1], patch, cv2.TM_CCOEFF_NORMED)
            row, col = np.unravel_index(np.nan_to_num(scores, nan=-1).argmax(), scores.shape)
            places.append((col, row))
        return np.array(places, np.float32)

    return locate


def sift(size: float) -> Locate:
    """SIFT's descriptor of one size, upright, at each second pixel of the other frame."""
    made = cv2.SIFT_create()

    def describe(frame: np.ndarray, points: np.ndarray) -> np.ndarray:
        keys = [cv2.KeyPoint(float(x), float(y), size, 0) for x, y in points]
        _, described = made.compute(grey(frame), keys)
        return np.sqrt(described / described.sum(1, keepdims=True).clip(1e-9))  # RootSIFT, which is better

    return _nearest(describe)


def daisy(radius: int) -> Locate:
    """DAISY's descriptor (scikit-image) at each second pixel of the other frame."""

    def describe(frame: np.ndarray, points: np.ndarray) -> np.ndarray:
        x, y = np.rint(points).astype(int).T
        return daisy_map(frame, radius)[y, x]

    return _nearest(describe)


def daisy_map(frame: np.ndarray, radius: int, step: int = 1) -> np.ndarray:
    """DAISY's descriptors of pixels that far apart, `(rows, cols, 136)`."""
    from skimage.feature import daisy as dense

    padded = cv2.copyMakeBorder(grey(frame), *[radius] * 4, cv2.BORDER_REFLECT_101)
    return dense(padded, step=step, radius=radius, rings=2, histograms=8, orientations=8).astype(np.float32)


def chained_flow(frames: np.ndarray, flows: Flows) -> Locate:
    """Flow chained over the frames between, which it alone sees."""
    number = {frame.ctypes.data: at for at, frame in enumerate(frames)}

    def locate(a: np.ndarray, b: np.ndarray, points: np.ndarray) -> np.ndarray:
        return flows.follow(number[a.ctypes.data], number[b.ctypes.data], points).places

    return locate


def _nearest(describe: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Locate:
    def locate(a: np.ndarray, b: np.ndarray, points: np.ndarray) -> np.ndarray:
        height, width = b.shape[:2]
        places = np.stack(np.meshgrid(np.arange(0, width, 2), np.arange(0, height, 2)), -1).reshape(-1, 2)
        keys, queries = describe(b, places), describe(a, points)
        # The squared distance, without the part that is the same for all places.
        distance = (keys**2).sum(1) - 2 * queries @ keys.T
        return places[distance.argmin(1)].astype(np.float32)

    return locate


def ways() -> dict[str, dict[str, Locate]]:
    """Each descriptor with several sizes, of which the best is reported."""
    return {
        "NCC": {f"{side} × {side}": ncc(side) for side in _NCC_SIDES},
        "SIFT": {f"size {size}": sift(size) for size in _SIFT_SIZES},
        "DAISY": {f"radius {radius}": daisy(radius) for radius in (8, 15, 22)},
    }
