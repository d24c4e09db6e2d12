"""The videos of a run, for training and held out, and what is made of them: figures and a gallery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tellapart import reading
from tellapart.domains.pixels.gallery import make_gallery
from tellapart.domains.pixels.measure import places_found
from tellapart.domains.pixels.options import PixelOptions
from tellapart.domains.pixels.sampling import Sampler
from tellapart.domains.pixels.video import Video, fingerprint, read_videos
from tellapart.errors import InputError
from tellapart.training import Batches

if TYPE_CHECKING:
    from tellapart.domains.pixels.matching import Encode
    from tellapart.evaluation import Table
    from tellapart.runs import Gallery, Run


@dataclass(frozen=True, eq=False)
class Dataset:
    """Videos: their first frames, to train on, and their last ones, which training never sees."""

    options: PixelOptions
    training: list[Video]
    test: list[Video]
    whole: list[Video]

    @classmethod
    def load(cls, options: PixelOptions, run: Run, source: str | None = None) -> Dataset:
        """A run's own videos; or others, all frames of which are to be measured.

        Raises:
            InputError: they are missing, broken or too short; or the run's own changed since it began.
        """
        if source is not None:
            videos = read_videos(source, options.height, options.every)
            reading.read(sum(map(len, videos)), "frame")
            return cls(options, [], videos, videos)
        videos = read_videos(options.data, options.height, options.every)
        reading.read(sum(map(len, videos)), "frame")
        run.check_data(fingerprint(videos))
        parts = [divided(video, options.held_out) for video in videos]
        return cls(options, [first for first, _ in parts], [last for _, last in parts], videos)

    def sampler(self) -> Sampler:
        """What draws views of the frames to train on."""
        return Sampler(self.training, self.options)

    def unseen(self) -> Sampler:
        """What draws views of the frames held out."""
        return Sampler(self.test, self.options)

    def batches(self) -> Batches:
        """The batches of a training: their rows are frames."""
        n = sum(map(len, self.training))
        return Batches(n, self.options.batch_size, self.options.epochs, self.options.seed)

    def measure(self, before: Encode, after: Encode) -> Table:
        """The share of points that are found, by the gap between frames: by flow, and by the network."""
        return places_found(self.test, {"untrained": before, "trained": after}, self.options)

    def gallery(self, after: Encode) -> Gallery:
        """Points of held-out frames, followed by flow, each seen several times."""
        return make_gallery(self.test, after, self.options)


def divided(video: Video, held_out: float) -> tuple[Video, Video]:
    """The first frames of a video, and its last ones, a share of which are held out.

    Raises:
        InputError: one part would have less than 2 frames.
    """
    n_out = round(held_out * len(video))
    if min(n_out, len(video) - n_out) < 2:
        what = f"{len(video)} frames, of which {n_out} would be held out, and each part needs 2"
        raise InputError(f"{video.name}: {what}. Give a longer video, or another --held_out.")
    n = len(video) - n_out
    return video.part(0, n), video.part(n, len(video))
