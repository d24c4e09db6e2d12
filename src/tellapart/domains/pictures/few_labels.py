"""Pictures of which training knows few labels: which ones, a batch of them, and how well all others are told."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import nn

from tellapart.domains.pictures.dataset import Dataset, sample_notes
from tellapart.domains.pictures.raw_pixels import RawPixels
from tellapart.errors import InputError
from tellapart.evaluation import Table, linear_probe, probe_steps
from tellapart.training import Batches

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8
    from torch import Tensor

    from tellapart.domains.pictures.options import PictureOptions
    from tellapart.domains.pictures.picture_sets import PictureSet
    from tellapart.objective import Terms
    from tellapart.runs import Gallery, InChunks, Run

_CHUNK = 256


class Classifies(Protocol):
    """A network that embeds pictures, tells their classes, and compares views of them."""

    def embed(self, pictures: InChunks) -> Float[Tensor, "n features"]:
        """Features of pictures."""

    def classify(self, pictures: UInt8[Tensor, "n c side side"]) -> Float[Tensor, "n classes"]:
        """The logits of their classes."""

    def compare(self, pictures: UInt8[Tensor, "n c side side"]) -> Terms:
        """InfoNCE of random views of them."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures to make views of, and labelled pictures."""

    pictures: PictureSet
    labelled: PictureSet

    def to(self, device: torch.device) -> Batch:
        """The same on `device`."""
        return Batch(self.pictures.to(device), self.labelled.to(device))


@dataclass(frozen=True, eq=False)
class FewLabels:
    """A data set, and the labelled pictures among those to train on: as many of each class, if it has so many.

    Labels are places in `classes`, also those of `test`.
    """

    data: Dataset
    classes: list[str]
    labelled: PictureSet
    test: PictureSet

    @classmethod
    def load(cls, options: PictureOptions, per_class: int, run: Run, source: str | None = None) -> FewLabels:
        """A run's own data; or others with the same classes, brought to the shape that the run's network takes.

        Raises:
            InputError: they are missing, broken or too few; they have no labels, or one label, or labels among the
                held-out pictures that those to train on, or the run, do not have; the run's own changed.
        """
        data = Dataset.load(options, run, source)
        if not data.has_labels():
            remedy = "Put the pictures of each class into a subfolder of its name, or give labels beside them"
            raise InputError(f"{data.source}: needs pictures of two or more labels. {remedy}.")
        if source is None:
            assert data.training.labels is not None
            first = {label: row for row, label in reversed(list(enumerate(data.training.labels.tolist())))}
            classes = data.training.part(torch.tensor([first[label] for label in sorted(first)])).label_names()
            run.note(classes=classes)
        else:
            classes = run.noted_names("classes")
        training, test = (_numbered(part, classes, data.source) for part in (data.training, data.test))
        assert training.labels is not None
        return cls(data, classes, training.part(draw(training.labels, per_class, options.seed)), test)

    def batches(self) -> Batches:
        """The batches of a training, of all its pictures."""
        return self.data.batches()

    def beside(self, pictures: PictureSet, n_labelled: int) -> Batch:
        """Pictures together with labelled ones, `n_labelled` drawn at random or, if there are fewer, all of them."""
        index = torch.randperm(len(self.labelled))[:n_labelled]
        return Batch(pictures, self.labelled.rows(index).to(pictures.pictures.device))

    def unseen(self, index: Int[Tensor, " n"]) -> Batch:
        """Some of the held-out pictures, by their row among these, with their labels."""
        rows = self.test.rows(index)
        return Batch(rows, rows)

    def gallery(self, after: Classifies) -> Gallery:
        """All pictures with their features, those for training first."""
        return self.data.gallery(after)

    @torch.no_grad()
    def measure(self, before: Classifies, after: Classifies) -> Table:
        """Guessing, raw pixels, the untrained and the trained network, on the pictures held out.

        Of many pictures a sample is measured, and of many known labels a sample is shown to the linear probes.
        """
        sample = replace(self, test=self.data.asked(self.test), labelled=self.data.known(self.labelled, after))
        known, truth = self.labelled.labels, sample.test.labels
        assert known is not None
        assert truth is not None
        untrained, trained = (sample._measure(model) for model in (before, after))
        raw = RawPixels.within_bounds(self.test.content.shape, len(sample.labelled), len(sample.test))
        most = known.bincount().argmax()
        guessed = (truth == most).double().mean().item()
        probed = sample._probe(raw(sample.labelled.content), raw(sample.test.content))
        rows: list[list[str | float]] = [
            ["chance", guessed, guessed, math.log(len(self.classes)), sample._guessing()],
            ["raw pixels", "", probed, "", ""],
            ["untrained", *untrained],
            ["trained", *trained],
        ]
        title = f"Labels of {len(sample.test)} held-out pictures, after training with {len(self.labelled)} labels"
        header = ["", "accuracy", "linear probe", "cross-entropy", "NT-Xent"]
        notes = self._notes() + raw.notes() + sample_notes(sample.test, self.test)
        if len(sample.labelled) < len(self.labelled):
            notes.append(f"Linear probes learn from {len(sample.labelled)} of these labels, drawn at random.")
        return Table(title, header, rows, ["", *(".3f" for _ in header[1:])], notes)

    def _measure(self, model: Classifies) -> list[float]:
        """Accuracy, accuracy of a linear probe, and both losses."""
        truth = self.test.labels
        assert truth is not None
        logits = torch.cat([model.classify(chunk) for chunk in self.test.content.split(_CHUNK)]).double()
        accuracy = (logits.argmax(dim=1) == truth).double().mean().item()
        probed = self._probe(model.embed(self.labelled.content), model.embed(self.test.content))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.data.options.seed)
            contrastive = torch.cat([model.compare(self.test.content[part]).cross_entropy for part in self._parts()])
        loss = nn.functional.cross_entropy(logits, truth).item()
        return [accuracy, probed, loss, contrastive.double().mean().item()]

    def _probe(self, known: Float[Tensor, "m d"], held_out: Float[Tensor, "n d"]) -> float:
        labels, truth = self.labelled.labels, self.test.labels
        assert labels is not None
        assert truth is not None
        steps = probe_steps(len(known), known.shape[1], len(self.classes))
        return float((linear_probe(known, labels, held_out, max_steps=steps).labels == truth).double().mean())

    def _parts(self) -> tuple[Int[Tensor, " b"], ...]:
        """The rows of held-out pictures in even batches, as large as those of the training or a little smaller."""
        return torch.arange(len(self.test)).tensor_split(-(-len(self.test) // self.data.options.batch_size))

    def _guessing(self) -> float:
        """The mean over the views of the parts of log(2n − 1): each of 2n views finds another."""
        sizes = torch.tensor([len(part) for part in self._parts()]).double()
        return ((2 * sizes - 1).log() * sizes).sum().div(sizes.sum()).item()

    def _notes(self) -> list[str]:
        counts = self.labelled.labels.bincount(minlength=len(self.classes))  # type: ignore[union-attr]
        few = [f"{name} ({n})" for name, n in zip(self.classes, counts.tolist(), strict=True) if n < counts.max()]
        fewer = f" Fewer are there of {', '.join(few)}." if few else ""
        return [
            f"Known labels: {counts.max()} of each of {len(self.classes)} classes, those of {len(self.labelled)} of "
            f"{len(self.data.training)} pictures to train on.{fewer}",
            "Accuracy: of the classifier that was trained with the encoder. Linear probe: of a linear classifier that "
            "learns from the same labels and the encoder's features, or the pixels, as they are.",
            "Losses are in nats, on held-out pictures: cross-entropy is the classifier's. NT-Xent is of two views of "
            f"each, among at most {self.data.options.batch_size} pictures; guessing costs the log of the candidates.",
        ]


def draw(labels: Int[Tensor, " n"], per_class: int, seed: int) -> Int[Tensor, " m"]:
    """Rows in ascending order, at random `per_class` of each label, or all of a label that has fewer.

    >>> draw(torch.tensor([0, 0, 0, 1]), 2, seed=0)
    tensor([0, 2, 3])
    """
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
    of = labels[order]
    chosen: Tensor = torch.cat([order[of == label][:per_class] for label in of.unique()]).sort().values
    return chosen


def _numbered(part: PictureSet, classes: list[str], source: str) -> PictureSet:
    """The pictures with labels that are places in `classes`."""
    place, names = {name: number for number, name in enumerate(classes)}, part.label_names()
    unknown = sorted(set(names) - set(place))
    if unknown:
        remedy = "Leave its pictures out, or train with some of them"
        raise InputError(f"{source}: training has no pictures of the label {unknown[0]}. {remedy}.")
    return replace(part, labels=torch.tensor([place[name] for name in names]), classes=classes)
