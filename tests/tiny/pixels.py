"""Videos to test with, small and made up, and options of training that are as small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

# Small and quick options of the system of pixels, for `write_video`.
PIXEL_OPTIONS = {
    "held_out": 0.4,
    "view": 48,
    "queries": 40,
    "gap": 3,
    "hop": 2,
    "batch_size": 3,
    "epochs": 3,
    "width": 8,
    "dim": 8,
    "blocks": 1,
    "learning_rate": 0.01,
}

PIXEL_WRONG = (
    ("height", 0),
    ("every", 0),
    ("gap", 0),
    ("hop", 0),
    ("view", 8),
    ("queries", 0),
    ("moving", 1.5),
    ("window", -1.0),
    ("window", float("nan")),
    ("stretch", 0.5),
    ("turn", 200.0),
    ("temperature", 0.0),
    ("dim", 0),
    ("width", 1),
    ("blocks", 0),
)


def moving_frames(n: int = 20, height: int = 64, width: int = 80, seed: int = 0) -> np.ndarray:
    """Frames `(n, height, width, 3)` of a smooth texture that moves by 1 pixel to the left and half a pixel up each."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (16, 24, 3)).astype(np.uint8)
    whole = np.asarray(Image.fromarray(coarse).resize((240, 160), Image.Resampling.BICUBIC))
    return np.stack([whole[i // 2 + 10 : i // 2 + 10 + height, i + 10 : i + 10 + width] for i in range(n)])


def write_video(folder: Path, frames: np.ndarray | None = None, name: str = "moving.avi") -> Path:
    """A video without loss, of `moving_frames` if there are no others."""
    import av

    frames = moving_frames() if frames is None else frames
    folder.mkdir(parents=True, exist_ok=True)
    with av.open(str(folder / name), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return folder / name
