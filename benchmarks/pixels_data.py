"""What the benchmark of `pixels` is measured on: opencv-doc's videos and pictures, and where their points truly are.

`box.mp4` shows a hand that turns a box. Where the points of its upper face are in each frame is known by a homography:
SIFT at full size and RANSAC find the face of the first frame again. A frame with fewer than 40 inliers is not used.
`graf1.png` and `graf3.png` are two photographs of a wall, with the homography between them; `aloeL.jpg` and `aloeR.jpg`
two of a plant, with the disparity of each pixel. No system sees these.
"""

from __future__ import annotations

import gzip
import shutil
from functools import cache as remembered
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from fetch import cache as cache_of
from fetch import fetch, whole
from tellapart.domains.pixels import Asked, Video, read_picture, read_videos

TRAINED, TESTED_FROM = 290, 300
"""Frames of the box that are trained on, and the first that is tested."""
HEIGHT = 240
GAPS = (10, 30, 60)
_FACE = np.array([[368, 17], [590, 73], [556, 172], [306, 98]], np.float32)  # of the first frame, at full size
_LEAST_INLIERS = 40
_POINTS, _EDGE = 100, 3


def video(name: str) -> Path:
    """`box.mp4` or `cup.mp4`, unpacked into the cache."""
    packed = fetch("opencv-doc") / "opencv4" / "html" / f"{name}.gz"
    folder = cache_of("opencv-doc-videos")
    if not folder.is_dir():
        with whole(folder) as partial:
            for file in ("box.mp4", "cup.mp4"):
                with gzip.open(packed.with_name(f"{file}.gz")) as source, (partial / file).open("wb") as target:
                    shutil.copyfileobj(source, target)
    return folder / name


def picture(name: str) -> Path:
    """A picture or video of the examples, such as `graf1.png`."""
    return fetch("opencv-doc") / "examples" / "data" / name


@remembered
def box_frames() -> Video:
    """The box at the size that everything is measured at."""
    return read_videos(str(video("box.mp4")), HEIGHT)[0]


@remembered
def box_homographies() -> dict[int, np.ndarray]:
    """For each frame in which the face is found, the homography from the first frame, in pixels of the small frames."""
    full = read_videos(str(video("box.mp4")), 4 * HEIGHT)[0].frames
    sift, matcher = cv2.SIFT_create(), cv2.BFMatcher()
    mask = cv2.fillConvexPoly(np.zeros(full.shape[1:3], np.uint8), _FACE.astype(int), 255)
    keys, known = sift.detectAndCompute(cv2.cvtColor(full[0], cv2.COLOR_RGB2GRAY), mask)
    shrink = np.diag([HEIGHT / full.shape[1]] * 2 + [1.0])
    # Pixels are numbered by their centres; shrinking moves these by a quarter of a pixel, which 5 pixels hide.
    found: dict[int, np.ndarray] = {}
    cv2.setRNGSeed(0)
    for number, frame in enumerate(full):
        there, described = sift.detectAndCompute(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), None)
        pairs = [m for m, n in matcher.knnMatch(known, described, k=2) if m.distance < 0.8 * n.distance]
        if len(pairs) < _LEAST_INLIERS:
            continue
        a = np.float32([keys[m.queryIdx].pt for m in pairs])
        b = np.float32([there[m.trainIdx].pt for m in pairs])
        homography, inliers = cv2.findHomography(a, b, cv2.RANSAC, 3.0)
        if homography is not None and inliers.sum() >= _LEAST_INLIERS:
            found[number] = shrink @ homography @ np.linalg.inv(shrink)
    return found


def box_questions(gap: int) -> list[Asked]:
    """Pairs of test frames that far apart, with points of the face that lie in both."""
    frames, homographies = box_frames().frames, box_homographies()
    random, asked = np.random.default_rng(gap), []
    for a in range(TESTED_FROM, len(frames) - gap, 6):
        if a not in homographies or a + gap not in homographies:
            continue
        points = moved(inside_face(random), homographies[a])
        places = moved(points, homographies[a + gap] @ np.linalg.inv(homographies[a]))
        kept = inner(points, frames[a]) & inner(places, frames[a + gap])
        asked.append(Asked(frames[a], frames[a + gap], points[kept], places[kept]))
    return asked


def graf_questions(step: int = 8) -> list[Asked]:
    """Both photographs of the wall at the height that frames have, with a grid of points that lie in both."""
    a, b = (read_picture(picture(f"graf{number}.png"), HEIGHT) for number in (1, 3))
    full = read_picture(picture("graf1.png"))
    shrink = np.diag([HEIGHT / full.shape[0]] * 2 + [1.0])
    points = np.stack(np.meshgrid(np.arange(4, a.shape[1], step), np.arange(4, a.shape[0], step)), -1)
    points = points.reshape(-1, 2).astype(np.float32)
    storage = cv2.FileStorage(str(picture("H1to3p.xml")), cv2.FILE_STORAGE_READ)  # must outlive its nodes
    homography = storage.getNode("H13").mat()
    places = moved(points, shrink @ homography @ np.linalg.inv(shrink))
    kept = inner(points, a) & inner(places, b)
    return [Asked(a, b, points[kept], places[kept])]


def aloe_questions(step: int = 8) -> list[Asked]:
    """Two photographs of a plant from places side by side, with points of known disparity that lie in both."""
    a, b = (read_picture(picture(f"aloe{side}.jpg"), HEIGHT) for side in "LR")
    full = np.asarray(Image.open(picture("aloeGT.png")).convert("L"), np.float32)
    shrink = HEIGHT / len(full)
    points = np.stack(np.meshgrid(np.arange(4, a.shape[1], step), np.arange(4, a.shape[0], step)), -1).reshape(-1, 2)
    at = np.rint(points / shrink).astype(int)
    disparity = full[at[:, 1].clip(max=len(full) - 1), at[:, 0].clip(max=full.shape[1] - 1)]
    places = (points - np.stack([disparity * shrink, np.zeros(len(at))], 1)).astype(np.float32)
    kept = (disparity > 0) & inner(points, a) & inner(places, b)
    return [Asked(a, b, points[kept].astype(np.float32), places[kept])]


def moved(points: np.ndarray, homography: np.ndarray) -> np.ndarray:
    """Points through a homography."""
    made: np.ndarray = cv2.perspectiveTransform(points[None].astype(np.float64), homography)[0].astype(np.float32)
    return made


def inside_face(random: np.random.Generator) -> np.ndarray:
    """Random points of the face in the first small frame."""
    face = _FACE * HEIGHT / 480
    low, high = face.min(0), face.max(0)
    drawn = random.uniform(low, high, (20 * _POINTS, 2)).astype(np.float32)
    within = [cv2.pointPolygonTest(face, point.tolist(), False) > 0 for point in drawn]
    return drawn[within][:_POINTS]


def inner(points: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Whether points lie in a frame, not at its very edge."""
    height, width = frame.shape[:2]
    return ((points >= _EDGE) & (points <= (width - 1 - _EDGE, height - 1 - _EDGE))).all(axis=1)
