"""What can be done with a finished run: measure it, make maps of frames, and look for a place in all frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tellapart.domains.given import is_source
from tellapart.domains.pixels.dataset import Dataset
from tellapart.domains.pixels.encoder import STRIDE
from tellapart.domains.pixels.gallery import named
from tellapart.domains.pixels.given import as_videos
from tellapart.domains.pixels.match import Matches, match
from tellapart.domains.pixels.matching import Encode, find, read
from tellapart.domains.pixels.options import height_of
from tellapart.domains.pixels.propagate import Propagated, propagate, read_mask
from tellapart.domains.pixels.report import report_pictures
from tellapart.domains.pixels.video import Video
from tellapart.domains.queries import lines_or_one
from tellapart.errors import InputError, requirement
from tellapart.runs import (
    Commands,
    Embeddings,
    FinishedRun,
    Found,
    Gallery,
    Hit,
    Parts,
    Picture,
    Query,
    in_rows,
    joined,
    vectors_of_queries,
)

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from torch import Tensor, nn

_FRAMES = 4  # of a part: tens of thousands of cells
_MOST_FRAMES = 64  # in which a place is looked for


def commands_for(make: Callable[[Any], nn.Module]) -> Commands:
    """The commands of a system with the model `make(config)`, which has a method `embed`."""
    return Commands(
        make_model=lambda config, _: make(config),
        encoder=encoder_of,
        load=Dataset.load,
        read=_read,
        ask=lambda _, typed: lines_or_one(typed),
        find=_find,
        draw=_draw,
    )


def encoder_of(model: Any) -> Encode:
    """Frames to maps of unit embeddings, by a model's method `embed`."""

    def encode(frames: UInt8[np.ndarray, "n h w 3"]) -> Float[Tensor, "n d rows cols"]:
        maps: Tensor = model.embed(torch.tensor(frames).permute(0, 3, 1, 2))
        return maps

    return encode


def search(finished: FinishedRun, queries: Iterable[Query], k: int) -> list[Found]:
    """The place of the run's videos that each query names, in the k frames in which it is best found, the best first.

    The frames looked at are spread evenly over the videos.

    Args:
        finished: the run.
        queries: each "FRAME,X,Y", or "VIDEO:FRAME,X,Y" if there are several: in numbers of the file, and pixels of the
            frame as it was scaled.
        k: how many.

    Raises:
        InputError: a query that names no place of a frame; of several, more of such queries than of others.
    """
    encode, data = encoder_of(finished.model), Dataset.load(finished.config, finished.run)
    asked, vectors = vectors_of_queries(queries, lambda query: _embedded(encode, *_place(str(query), data.whole))[0])
    return [
        Found(query.name, _found(query, vector[None], data, encode)[:k])
        for query, vector in zip(asked, vectors, strict=True)
    ]


def _found(query: Query, asked: Float[Tensor, "1 d"], data: Dataset, encode: Encode) -> list[Hit]:
    """The place of a query in all frames that are looked at, the best first."""
    video, frame, _ = _place(str(query.value), data.whole)
    held_out = {id(x): len(seen) for x, seen in zip(data.whole, data.training, strict=True)}
    hits = []
    for other in data.whole:
        n = max(2, _MOST_FRAMES // len(data.whole))
        for number in sorted(set(np.linspace(0, len(other) - 1, n).astype(int).tolist())):
            if other is video and number == frame:
                continue
            found = find(asked, encode(other.frames[number][None])[0])
            name = named(other, number, found.places[0])
            hits.append(Hit(name, None, float(found.cosines[0]), number >= held_out[id(other)], kind="place"))
    return sorted(hits, key=lambda hit: -hit.score)


def matched(finished: FinishedRun, a: Any, b: Any, height: int | None = None) -> Matches:
    """Where each pixel of one picture is in another: see `match`; by default at the height of training.

    Raises:
        InputError: a height that no frame can have, or what `match` refuses.
    """
    config = finished.config
    return match(encoder_of(finished.model), a, b, height_of(config, height), config.temperature)


def propagated(finished: FinishedRun, video: Any, mask: Any, height: int | None = None) -> Propagated:
    """A mask of a video's first frame in all its frames: see `propagate`; by default at the height of training.

    Raises:
        InputError: several videos, a height that no frame can have, or what `as_videos`, `read_mask` and `propagate`
            refuse.
    """
    config = finished.config
    labels = read_mask(Path(mask)) if is_source(mask) else mask
    if not isinstance(labels, np.ndarray) or labels.dtype != np.uint8 or labels.ndim != 2:
        raise InputError(requirement("mask", "be a picture file, or a uint8 array (h, w)", type(mask).__name__))
    videos = as_videos(video, height_of(config, height), config.every)
    if len(videos) > 1:
        raise InputError(requirement("video", "be one video", f"{len(videos)} in {video}"))
    return propagate(encoder_of(finished.model), videos[0], labels, config.temperature)


def _find(finished: FinishedRun, _: Gallery, query: Any) -> Float[Tensor, " d"]:
    place = _place(str(query), Dataset.load(finished.config, finished.run).whole)
    return _embedded(encoder_of(finished.model), *place)[0]


def _embedded(encode: Encode, video: Video, frame: int, place: np.ndarray) -> Float[Tensor, "1 d"]:
    return read(encode(video.frames[frame][None])[0], place[None])


def _place(query: str, videos: list[Video]) -> tuple[Video, int, np.ndarray]:
    name, _, rest = query.rpartition(":")
    known = [video for video in videos if name in ("", video.name)]
    if len(known) != 1:
        names = ", ".join(video.name for video in videos)
        raise InputError(requirement("query", f"name one video, as VIDEO:FRAME,X,Y; there are {names}", repr(query)))
    video, (height, width) = known[0], known[0].frames.shape[1:3]
    try:
        number, x, y = (float(part) for part in rest.split(","))
    except ValueError:
        raise InputError(requirement("query", "be FRAME,X,Y, three numbers", repr(query))) from None
    rows = {video.number(row): row for row in range(len(video))}
    if not (number in rows and 0 <= x <= width - 1 and 0 <= y <= height - 1):
        steps = f" in steps of {video.every}" if video.every > 1 else ""
        last = video.number(len(video) - 1)
        must = f"be a frame between 0 and {last}{steps} and a place in its {width}×{height} pixels"
        raise InputError(requirement("query", must, repr(query)))
    return video, rows[int(number)], np.array([x, y], dtype=np.float32)


def _draw(config: Any, data: Dataset, encode: Encode) -> list[Picture]:
    return report_pictures(data.test, encode, config, config.temperature)


def _read(finished: FinishedRun, encode: Encode, source: Any) -> Parts:
    """The cells of all frames, a row each, in the order of frames, rows and columns."""
    videos = as_videos(source, finished.config.height, finished.config.every)
    return joined(*((len(video.frames), _cells(video, encode)) for video in videos))


def _cells(video: Video, encode: Encode) -> Parts:
    def made(rows: slice) -> Embeddings:
        names: list[str] = []
        vectors = []
        for number in range(rows.start, rows.stop):
            (cells,) = encode(video.frames[number][None])
            down, across = cells.shape[1:]
            places = np.stack(np.meshgrid(np.arange(across), np.arange(down)), axis=-1).reshape(-1, 2) * STRIDE
            names += [named(video, number, place) for place in places]
            vectors.append(cells.flatten(1).T)
        return Embeddings(names, ["cell"] * len(names), torch.cat(vectors))

    def content(rows: slice) -> Iterator[bytes]:
        yield f"{video.name} {rows.start} {video.every}".encode("utf-8", "replace")
        yield video.frames[rows].tobytes()

    return in_rows(len(video.frames), made, content, _FRAMES)
