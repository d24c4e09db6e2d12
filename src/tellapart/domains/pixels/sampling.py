"""What a step compares: pairs of views of a video, the points that are to be found, and where they are."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tellapart.domains.pixels.encoder import STRIDE, FourCells, as_cells
from tellapart.domains.pixels.flow import Flows, Followed, inside
from tellapart.domains.pixels.options import PixelOptions
from tellapart.domains.pixels.video import Video
from tellapart.domains.pixels.views import TwoViews, recoloured, two_views
from tellapart.relations import Relation, edges, within

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8

_TRIES = 4  # second frames, before the first is taken twice


class Shown(NamedTuple):
    """The frames of a batch, and the device that their views are wanted on."""

    video: Int[Tensor, " n"]
    frame: Int[Tensor, " n"]
    device: torch.device | None = None

    def to(self, device: torch.device) -> Shown:
        """The same, for views that are wanted on `device`."""
        return self._replace(device=device)


class Views(NamedTuple):
    """Pairs of views, and which point of which first view is where in its second."""

    first: UInt8[Tensor, "n 3 side side"]
    second: UInt8[Tensor, "n 3 side side"]
    pair: Int[Tensor, " q"]
    """The pair that each query belongs to."""
    points: Float[Tensor, "q 2"]
    """Where each query is in the first view, in pixels."""
    places: Float[Tensor, "q 2"]
    """Where it is in the second."""

    def queries(self, maps: Float[Tensor, "n d rows cols"]) -> Float[Tensor, "q d"]:
        """The queries, read from the maps of the first views."""
        rows, cols = maps.shape[2:]
        return FourCells.of(self.points, rows, cols).of_map(self.pair, rows * cols).read(as_cells(maps))

    def positives(self, rows: int, cols: int) -> Relation:
        """Each query with the four cells round its place, weighted as its place lies among them."""
        four = FourCells.of(self.places, rows, cols).of_map(self.pair, rows * cols)
        query = torch.arange(len(self.pair), device=self.pair.device)[:, None].expand_as(four.cells)
        return edges(torch.stack([query.flatten(), four.cells.flatten()]), four.weight.flatten())

    def near(self, rows: int, cols: int, radius: float) -> Relation:
        """Each query with the cells of its second view within so many cells of its place."""
        # Views stand side by side, so far apart that none is near another.
        apart = cols + 2 * int(radius) + 2
        shift = torch.stack([self.pair * apart, torch.zeros_like(self.pair)], dim=1)
        number = torch.arange(len(self.second) * rows * cols, device=shift.device)
        view, cell = number // (rows * cols), number % (rows * cols)
        cells = torch.stack([view * apart + cell % cols, cell // cols], dim=1)
        return within(self.places / STRIDE + shift, cells.to(self.places), radius)


class Sampler:
    """Draws views of pairs of frames.

    Args:
        videos: what may be seen.
        options: of the views.
    """

    def __init__(self, videos: list[Video], options: PixelOptions) -> None:
        self.videos, self.options = videos, options
        self.flows = [Flows(video, options.hop) for video in videos]

    def __len__(self) -> int:
        return sum(map(len, self.videos))

    def frames(self, rows: Int[Tensor, " n"]) -> Shown:
        """The frames at these rows, which are counted over all videos."""
        lengths = torch.tensor([len(video) for video in self.videos])
        ends = lengths.cumsum(0)
        video = torch.searchsorted(ends, rows, right=True)
        return Shown(video, rows - (ends - lengths)[video])

    def draw(self, shown: Shown) -> Views:
        """Two views of each frame and another one, or of the same frame twice, and points that are known in both."""
        made = [self._pair(int(video), int(frame)) for video, frame in zip(shown.video, shown.frame, strict=True)]
        seen = [np.stack([getattr(views, which) for views in made]) for which in ("first", "second")]
        first, second = (torch.from_numpy(views).permute(0, 3, 1, 2) for views in seen)
        known = [np.concatenate([getattr(views, which) for views in made]) for which in ("points", "places")]
        points, places = (torch.from_numpy(at).float() for at in known)
        counts = torch.tensor([len(views.points) for views in made])
        pair = torch.arange(len(made)).repeat_interleave(counts)
        parts = recoloured(first), recoloured(second), pair, points, places
        return Views(*(part.to(shown.device) for part in parts))

    def _pair(self, video: int, frame: int) -> TwoViews:
        frames, flows = self.videos[video].frames, self.flows[video]
        if self.options.counterpart == "flow":
            for _ in range(_TRIES):
                other = self._other(frame, len(frames))
                follow = partial(flows.follow, frame, other)
                views = two_views((frames[frame], frames[other]), follow, self.options)
                # At a cut flow leads nowhere; a few points would be all mistakes.
                if len(views.points) >= min(self.options.queries, 20):
                    return views
        size = frames.shape[1:3]
        return two_views((frames[frame],) * 2, lambda points: Followed(points, inside(points, *size)), self.options)

    def _other(self, frame: int, n: int) -> int:
        """A frame before or behind, at most `gap` away and in the video."""
        low, high = max(0, frame - self.options.gap), min(n - 1, frame + self.options.gap)
        drawn = int(torch.randint(low, high, ()))
        return drawn + (drawn >= frame)
