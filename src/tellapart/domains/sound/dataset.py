"""The sounds and pictures of a run: blocks of time to train on, and what is held out; figures and a gallery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch

from tellapart.domains.sound.blocks import Block, Moments
from tellapart.domains.sound.clips import Clips
from tellapart.domains.sound.clock import Clock
from tellapart.domains.sound.load import Material, PictureFiles, load_material
from tellapart.domains.sound.nearby import n_near, nearest
from tellapart.domains.sound.options import SoundOptions
from tellapart.domains.sound.posterior import posterior_chart
from tellapart.domains.sound.recordings import frames_in
from tellapart.domains.sound.stamps import Stamps, check_clocks
from tellapart.errors import InputError
from tellapart.evaluation import Chart, Table, both_ways
from tellapart.relations import Relation, same, within
from tellapart.runs import Gallery, PictureRows, thumbnails
from tellapart.training import Batches

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from tellapart.runs import Run

_LEAST = 4
_CHARTED = 1000
_CHUNK = 256


class SoundPictureEncoder(Protocol):
    """What embeds sounds and pictures in one space, and knows their clocks."""

    clock: Clock
    temperature: Callable[[], Tensor]

    def embed_sounds(self, clips: Clips) -> Float[Tensor, "n d"]: ...
    def embed_pictures(self, pictures: PictureRows) -> Float[Tensor, "n d"]: ...


class Recorders(NamedTuple):
    """What a clock has to know of the data: the recorders, how many sounds there are to train on, and their time."""

    names: list[str]
    n_sounds: int
    first: int
    """In seconds, as the last: whole ones, just before and after the sounds."""
    last: int

    @classmethod
    def noted(cls, run: Run) -> Recorders:
        """Those of the data that a run was trained on.

        Raises:
            InputError: the run is damaged.
        """
        return cls(run.noted_names("recorders"), *(run.noted(fact) for fact in ("n_sounds", "first", "last")))

    def note(self, run: Run) -> None:
        """Keep them with the run."""
        run.note(recorders=self.names, n_sounds=self.n_sounds, first=self.first, last=self.last)

    def clock(self, options: SoundOptions) -> Clock:
        """The clock of a run before training. It forgets a batch within an epoch or so."""
        memory = max(4, -(-self.n_sounds // options.batch_size))
        stretch, drifts = (float(self.first), float(self.last)), options.clock == "drifting"
        return Clock(options.offset, options.sigma, len(self.names), stretch, drifts, memory)

    def numbers(self, heard: Stamps) -> Int[Tensor, " n"]:
        """The number of each sound's recorder.

        Raises:
            InputError: a recorder is not among them.
        """
        of = {name: i for i, name in enumerate(self.names)}
        for name in heard.devices:
            if name not in of:
                known = ", ".join(map(repr, of))
                raise InputError(f"data: no clock is known of the recorder {name!r}. Known: {known}.")
        return torch.tensor([of[name] for name in heard.devices], dtype=torch.long)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Sounds and pictures in order of time, of which the last ones are held out."""

    options: SoundOptions
    material: Material
    recorders: Recorders
    training: Int[Tensor, " t"]
    """The sounds to train on: those with a picture within reach."""
    first_out: tuple[int, int]
    """The first sound and the first picture that are held out."""
    source: str | None = None
    """Where the data are from, if they are not the run's own."""

    @classmethod
    def load(cls, picture_files: PictureFiles, options: SoundOptions, run: Run, source: str | None = None) -> Dataset:
        """A run's own data; or, from another folder, data that are all held out.

        Raises:
            InputError: they are missing, broken or too few; the clocks do not overlap; or the run's own changed since
                it began.
        """
        material = load_material(source or options.data, picture_files, options)
        if source is not None:
            return cls(options, material, Recorders.noted(run), torch.arange(0), (0, 0), source)
        check_clocks(material.heard, material.seen, options.offset, options.reach())
        run.check_data(material.fingerprint())
        heard, first_out = material.heard, _first_held_out(material, options)
        near = _is_near(material, options, first_out)
        stretch = int(np.floor(heard.times[0])), int(np.ceil(heard.times[-1]))
        recorders = Recorders(sorted(set(heard.devices)), int(near.sum()), *stretch)
        recorders.note(run)
        if not near.all():
            note = f"{(~near).sum()} sounds without a picture within {options.reach():g} s are not trained on."
            material = replace(material, notes=[*material.notes, note])
        return cls(options, material, recorders, torch.from_numpy(np.flatnonzero(near)), first_out)

    def batches(self) -> Batches:
        """The batches of a training: sounds that are neighbours in time."""
        options = self.options
        return Batches(len(self.training), options.batch_size, options.epochs, options.seed, blocks=True)

    def block(self, index: Int[Tensor, " n"]) -> Block:
        """Sounds to train on, by their row among these, and all pictures within reach of one of them."""
        sounds = self.training[index]
        times = np.sort(self.material.heard.times[sounds.numpy()]) - self.options.offset
        known = self.material.seen.times[: self.first_out[1]]
        return Block(sounds, torch.from_numpy(np.flatnonzero(n_near(known, times, self.options.reach()))))

    @cached_property
    def unseen(self) -> Int[Tensor, " h"]:
        """The held-out sounds with a held-out picture within reach."""
        sound, picture = self.first_out
        times = self.material.heard.times[sound:] - self.options.offset
        near = n_near(times, self.material.seen.times[picture:], self.options.reach()) > 0
        return torch.from_numpy(sound + np.flatnonzero(near))

    def unseen_block(self, index: Int[Tensor, " n"]) -> Block:
        """Some of these, by their row, and all held-out pictures within reach of one of them."""
        sounds, first = self.unseen[index], self.first_out[1]
        times = np.sort(self.material.heard.times[sounds.numpy()]) - self.options.offset
        near = n_near(self.material.seen.times[first:], times, self.options.reach())
        return Block(sounds, torch.from_numpy(first + np.flatnonzero(near)))

    def moments(self, block: Block, noise: float) -> Moments:
        """What is to be heard and seen, with clips cut at random and noise."""
        material, device = self.material, block.device
        heard, seen = material.heard.rows(block.sounds.numpy()), material.seen.rows(block.pictures.numpy())
        return Moments(
            material.clips.rows(block.sounds).at_random(frames_in(self.options.seconds), noise).to(device),
            torch.from_numpy(heard.times).to(device),
            self.recorders.numbers(heard).to(device),
            material.pictures[block.pictures].to(device),
            torch.from_numpy(seen.times).to(device),
        )

    def measure(self, before: SoundPictureEncoder, after: SoundPictureEncoder) -> Table:
        """Guessing, the untrained and the trained model, on what is held out; in both directions.

        With labels in both tables: whether a sound finds a picture of its label, each file once. Without: whether it
        finds a picture of its time, within two sigma by the trained model's clock.
        """
        material = self.material
        sounds, pictures = (
            np.arange(self.first_out[0], len(material.heard)),
            np.arange(self.first_out[1], len(material.seen)),
        )
        if material.has_labels():
            sounds, pictures = _each_once(material.heard, sounds), _each_once(material.seen, pictures)
        relevant = self._relevant(material.heard.rows(sounds), material.seen.rows(pictures), after.clock)
        clips, shown = material.clips.rows(torch.from_numpy(sounds)), torch.from_numpy(pictures)
        models = {
            name: (model.embed_sounds(clips), self._embedded(model, shown))
            for name, model in (("untrained", before), ("trained", after))
        }
        what = f"{len(sounds)} held-out sounds and {len(pictures)} pictures of their time"
        if self.source is not None:
            what = f"{len(sounds)} sounds and {len(pictures)} pictures of {self.source}"
        table = both_ways(("sound", "picture"), relevant, models, f"Retrieval among {what}")
        charts = [] if self.source is not None else [self._chart(after)]
        return replace(table, notes=[*table.notes, *self._notes(after.clock)], charts=charts)

    def gallery(self, after: SoundPictureEncoder) -> Gallery:
        """All pictures, each with the sound nearest in time and, if there are labels, of its label."""
        seen, heard = self.material.seen, self.material.heard
        sounds = torch.from_numpy(self._nearest(self._corrected(heard, after.clock)))
        is_out = torch.arange(len(seen)) >= self.first_out[1]
        return Gallery(
            names=seen.names,
            texts=heard.rows(sounds.numpy()).names,
            held_out=is_out,
            vectors=after.embed_pictures(self.material.pictures),
            captions=after.embed_sounds(self.material.clips)[sounds],
            thumbnails=thumbnails(self.material.pictures, is_out),
            asked="sound",
        )

    def _chart(self, after: SoundPictureEncoder) -> Chart:
        """The posterior of the clocks' difference, of what is held out."""
        sounds, pictures = (torch.arange(*ends) for ends in self._held_out())
        heard, seen = self.material.heard.rows(sounds.numpy()), self.material.seen.rows(pictures.numpy())
        vectors = (
            after.embed_sounds(self.material.clips.rows(sounds)),
            self._embedded(after, pictures),
        )
        corrected = torch.from_numpy(self._corrected(heard, after.clock))
        similarities = vectors[0] @ vectors[1].T / after.temperature().item()
        return posterior_chart(after.clock, similarities, corrected, torch.from_numpy(seen.times))

    def _embedded(self, model: SoundPictureEncoder, rows: Int[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """Embeddings of some pictures, of which a chunk is in memory at a time."""
        return torch.cat([model.embed_pictures(self.material.pictures[some]) for some in rows.split(_CHUNK)])

    def _held_out(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The first and the last of the held-out sounds, and of the pictures; not more than a chart needs."""
        sound, picture = self.first_out
        n = min(len(self.material.heard), sound + _CHARTED)
        end = self.material.heard.times[n - 1] - self.options.offset + self.options.reach()
        return (sound, n), (picture, max(picture + 2, int(np.searchsorted(self.material.seen.times, end))))

    def _corrected(self, heard: Stamps, clock: Clock) -> Float[np.ndarray, " n"]:
        return np.asarray(clock.corrected(torch.from_numpy(heard.times), self.recorders.numbers(heard)))

    def _relevant(self, heard: Stamps, seen: Stamps, clock: Clock) -> Relation:
        if heard.labels is not None and seen.labels is not None:
            relevant: Relation = same(heard.labels, seen.labels)
        else:
            times = torch.from_numpy(self._corrected(heard, clock))
            relevant = within(times, torch.from_numpy(seen.times), 2 * clock.sigma)
        if not len(heard) or not len(seen) or not bool(relevant.counts(len(heard), len(seen))[0].any()):
            what = "label" if self.material.has_labels() else "time"
            raise InputError(f"{self.source or 'data'}: no held-out sound has the {what} of a picture.")
        return relevant

    def _nearest(self, times: Float[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
        """The row of the sound nearest to each picture, by corrected times; among those of its label, if there are."""
        heard, seen = self.material.heard, self.material.seen
        # One recorder may overtake another when times are corrected.
        order = np.argsort(times, kind="stable")
        found: Int[np.ndarray, " m"] = order[nearest(times[order], seen.times)]
        if heard.labels is None or seen.labels is None:
            return found
        heard_labels, seen_labels = np.array(heard.labels)[order], np.array(seen.labels)
        for label in np.intersect1d(heard_labels, seen_labels):
            rows, wanted = order[heard_labels == label], seen_labels == label
            found[wanted] = rows[nearest(times[rows], seen.times[wanted])]
        return found

    def _notes(self, clock: Clock) -> list[str]:
        how = "if their labels are equal" if self.material.has_labels() else "within two sigma, by the clock"
        learned = clock.notes(self.recorders.names) if self.options.is_learned() else []
        return [f"Sounds and pictures belong together {how}.", *self.material.notes, *learned]


def _first_held_out(material: Material, options: SoundOptions) -> tuple[int, int]:
    """The first sound and the first picture of the stretch of time that is held out: the last one."""
    n, seen = len(material.heard), material.seen.times
    if n < _LEAST:
        raise InputError(f"data: {n} sounds. At least {_LEAST} are needed: 2 to train on and 2 to hold out.")
    sound = min(max(round(n * (1 - options.held_out)), 2), n - 2)
    picture = int(np.searchsorted(seen, material.heard.times[sound] - options.offset))
    for what, count in (("to train on", picture), ("held out", len(seen) - picture)):
        if count < 2:
            raise InputError(f"data: {count} pictures of the time of the sounds {what}. At least 2 are needed.")
    return sound, picture


def _is_near(material: Material, options: SoundOptions, first_out: tuple[int, int]) -> np.ndarray:
    """Which of the sounds that are not held out have a picture within reach."""
    times = material.heard.times[: first_out[0]] - options.offset
    near = n_near(times, material.seen.times[: first_out[1]], options.reach()) > 0
    if near.sum() < 2:
        must = f"within {options.reach():g} s of a picture. Set --offset, --sigma or --margin."
        raise InputError(f"data: {near.sum()} of the {len(near)} sounds to train on are {must}")
    return near


def _each_once(stamps: Stamps, rows: Int[np.ndarray, " n"]) -> Int[np.ndarray, " k"]:
    """The rows of labelled files, each file once."""
    assert stamps.labels is not None
    first = {stamps.names[row]: row for row in reversed(rows.tolist()) if stamps.labels[row]}
    return np.array(sorted(first.values()), dtype=np.int64)
