"""Training: the text in batches, and the step that hands them to the kernel."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tellapart.domains.words.held_out import HeldOut, passages_of, with_ends
from tellapart.domains.words.network import WordVectors
from tellapart.errors import require_option
from tellapart.training import Batches, Loop, TrainerOptions, timed

if TYPE_CHECKING:
    from jaxtyping import Int, Int32, Int64
    from torch import Tensor

    from tellapart.domains.words.corpus import Corpus

_LOWEST = 1e-4  # of the learning rate, as in word2vec.c
_AT_ONCE = 2.0  # seconds that loading a compiled kernel takes at most


@dataclass(frozen=True)
class Passage:
    """A stretch of the text as the kernel takes it: words, and −1 where a line ends."""

    ids: Int32[np.ndarray, " n"]
    place: int
    """Of the first in the whole text, counted with the line ends."""
    n_words: int

    def to(self, device: Any) -> Passage:  # noqa: ARG002
        """Itself: the kernel computes on the processor."""
        return self


@dataclass(frozen=True)
class Text:
    """The training part of a corpus, in batches."""

    corpus: Corpus
    held_out: HeldOut

    def passage(self, rows: Int[Tensor, " n"]) -> Passage:
        """The words of a batch; rows are places in the corpus, in order."""
        start, stop = int(rows[0]), int(rows[-1]) + 1
        ids = self.held_out.without(self.corpus.ids[start:stop], start)
        n_ends = int(np.searchsorted(self.corpus.starts, start, side="right")) - 1
        return Passage(with_ends(self.corpus, ids, start), start + n_ends, int((ids >= 0).sum()))


@dataclass(frozen=True)
class Unseen:
    """The held-out part of a corpus: its rows are passages."""

    at_once = 2048
    """Passages that are measured at a time, at most."""
    corpus: Corpus
    held_out: HeldOut

    def __len__(self) -> int:
        return len(self._starts)

    def passages(self, rows: Int[Tensor, " n"]) -> Passage:
        """The words of the passages at these rows."""
        ids = passages_of(self.corpus, self._starts[rows.numpy()])
        return Passage(ids, 0, int((ids >= 0).sum()))

    @cached_property
    def _starts(self) -> Int64[np.ndarray, " n"]:
        return self.held_out.starts(self.corpus)


class KernelStep:
    """A step is a stretch of the text; the kernel makes many steps of SGD of it. There is no optimizer."""

    def __init__(self, model: WordVectors, batches: Batches) -> None:
        self.model, self.batches, self.kernel = model, batches, model.kernel()
        with _told_if_slow("Compiling the kernel, once on this machine; this takes about half a minute …"):
            self.kernel.train(np.zeros(2, np.int32), 0, 0, (0.0, 0.0))

    def optimizers(self, n_steps: int) -> Sequence[Any]:  # noqa: ARG002
        """None."""
        return []

    def __call__(self, batch: Passage, loop: Loop) -> Mapping[str, Tensor | float]:
        """Train on the batch; loss, accuracy, learning rate and speed are logged."""
        options = self.model.options
        epoch = (loop.step - 1) // self.batches.steps_per_epoch(1)
        seed = np.random.SeedSequence([options.seed, epoch]).generate_state(1, np.uint64)[0]
        rates = [options.learning_rate * max(1 - loop.progress(done), _LOWEST) for done in (loop.step - 1, loop.step)]
        started = time.perf_counter()
        with timed("kernel"):
            found = self.kernel.train(batch.ids, batch.place, int(seed), (rates[0], rates[1]))
        is_finite = bool(torch.isfinite(self.model.inputs.sum() + self.model.outputs.sum()))
        log = {"loss": found.loss if is_finite else np.nan, "accuracy": found.accuracy, "learning_rate": rates[0]}
        if options.objective == "infonce":
            log["n_candidates"] = float(options.negatives + 1)
        return log | {"words_per_second": batch.n_words / (time.perf_counter() - started)}

    def measure(self, batch: Passage) -> Mapping[str, Tensor]:
        """Loss and accuracy of a text, with the same windows and drawn words at every measure; nothing is trained."""
        options = self.model.options
        found = self.kernel.measure(batch.ids, options.seed)
        told = {"loss": found.loss, "accuracy": found.accuracy, "n_candidates": options.negatives + 1.0}
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in told.items()}


def check_trainer(trainer: TrainerOptions) -> TrainerOptions:
    """The trainer's options for a kernel of the processor.

    Raises:
        InputError: options that ask for more.
    """
    require_option("trainer.devices", trainer.devices == 1, "be 1: use --threads", trainer.devices)
    must = "be auto or cpu: the kernel computes on the processor"
    require_option("trainer.accelerator", trainer.accelerator in ("auto", "cpu"), must, trainer.accelerator)
    must = "be 32-true: the kernel computes in float32"
    require_option("trainer.precision", trainer.precision == "32-true", must, trainer.precision)
    return replace(trainer, accelerator="cpu")


@contextmanager
def _told_if_slow(what: str) -> Iterator[None]:
    """Say on stderr what the block does, if it takes long."""
    timer = threading.Timer(_AT_ONCE, lambda: print(what, file=sys.stderr, flush=True))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
