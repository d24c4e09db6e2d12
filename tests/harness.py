"""What every relation, score, kernel and system is run through: enter yours in one line, and it is.

- a relation: `RELATIONS`, here, with its NumPy matrix (run by `relations/test_relations.py`, `_engine/test_dense.py`);
- a score: `SCORES` of `oracle.py`, with its formula (`test_scores.py`, `test_objective.py`, `variants/`);
- a kernel: `KERNELS` of `tellapart._engine.kernels.choice` (`_engine/test_kernel_harness.py`);
- a system: `SYSTEMS`, here, with tiny data and options (`systems/test_harness.py`).
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from tellapart import before, dense, edges, everyone, gaussian, listed, paired, same, within
from tellapart._engine.kernels.choice import KERNELS
from tellapart.negatives import alike
from tellapart.relations import beside
from tests.oracle import SCORES
from tests.tiny import (
    generated,
    genomes,
    graphs,
    memories,
    micrographs,
    pictures,
    pixels,
    preferences,
    sentences,
    sound,
    words,
)

__all__ = ["DEVICES", "KERNELS", "RELATIONS", "SCORES", "SYSTEMS", "M", "N", "Tiny", "relations"]

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]

N, M = 5, 7


def _listed(rng):
    index = rng.integers(0, M, N)
    return listed(torch.tensor(index)), np.eye(M)[index]


def _same(rng, name=None):
    a, b = rng.integers(0, 3, N), rng.integers(0, 3, M)
    ids = [torch.tensor(x) if name is None else [f"{name} {y}" for y in x] for x in (a, b)]
    return same(*ids), (a[:, None] == b).astype(float)


def _dense(rng, weighted):
    matrix = rng.random((N, M)).round(1) * (rng.random((N, M)) < 0.5)
    if weighted:
        return dense(torch.tensor(matrix)), matrix
    return dense(torch.tensor(matrix > 0)), (matrix > 0).astype(float)


def _edges(rng, weighted):
    index, weight = rng.integers(0, N, (2, 6)), rng.random(6) * (rng.random(6) < 0.7)
    matrix = np.zeros((N, M))
    np.add.at(matrix, tuple(index), weight if weighted else 1)
    relation = edges(torch.tensor(index), torch.tensor(weight) if weighted else None)
    return relation, matrix if weighted else (matrix > 0).astype(float)


def _times(rng, soft):
    a, b = rng.integers(0, 9, N), rng.integers(0, 9, M)
    far = np.abs(a[:, None] - b)
    if soft:
        return gaussian(torch.tensor(a), torch.tensor(b), 2.0), np.exp(-(far**2) / 8)
    return within(torch.tensor(a), torch.tensor(b), 2), (far <= 2).astype(float)


def _before(rng):
    a, b = rng.integers(0, 9, N), rng.integers(0, 9, M)
    return before(torch.tensor(a), torch.tensor(b)), (b < a[:, None]).astype(float)


def _points(rng, axes):
    a, b = rng.integers(0, 4, (N, axes)), rng.integers(0, 4, (M, axes))
    far = np.sqrt(((a[:, None] - b) ** 2).sum(2))
    return within(torch.tensor(a), torch.tensor(b), 1.5), (far <= 1.5).astype(float)


def _alike(rng, each):
    a, b = rng.normal(size=(N, 3)), rng.normal(size=(M, 3))
    level = rng.uniform(-1, 1, N) if each else 0.3
    cosines = (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T
    matrix = cosines >= np.reshape(level, (-1, 1))
    return alike(torch.tensor(a), torch.tensor(b), torch.tensor(level)), matrix.astype(float)


def _beside(rng, weighted):
    matrix = rng.random((N, 4)).round(1) * (rng.random((N, 4)) < 0.5)
    left = dense(torch.tensor(matrix if weighted else matrix > 0))
    a, b = rng.integers(0, 3, N), rng.integers(0, 3, M - 4)
    right = same(torch.tensor(a), torch.tensor(b))
    return beside(left, 4, right), np.hstack([matrix if weighted else matrix > 0, a[:, None] == b]).astype(float)


# A relation of N queries and M keys, and its matrix, drawn with a NumPy generator.
RELATIONS = {
    "paired": lambda _: (paired(), np.eye(N, M)),
    "everyone": lambda _: (everyone(), np.ones((N, M))),
    "listed": _listed,
    "same": _same,
    "texts": lambda rng: _same(rng, "née"),
    "dense": lambda rng: _dense(rng, False),
    "weights": lambda rng: _dense(rng, True),
    "edges": lambda rng: _edges(rng, False),
    "weighted edges": lambda rng: _edges(rng, True),
    "within": lambda rng: _times(rng, False),
    "within, of points": lambda rng: _points(rng, 2),
    "within, of points of four axes": lambda rng: _points(rng, 4),
    "gaussian": lambda rng: _times(rng, True),
    "before": _before,
    "beside": lambda rng: _beside(rng, False),
    "weights beside ids": lambda rng: _beside(rng, True),
    "pairs beside none": lambda _: (beside(paired(), N, None), np.eye(N, M)),
    "alike": lambda rng: _alike(rng, False),
    "alike, a level each": lambda rng: _alike(rng, True),
}


@st.composite
def relations(draw, depth=2):
    """A relation of N queries and M keys with its matrix, by NumPy."""
    kinds = sorted(RELATIONS) + ["and", "or", "not", "transposed"] * (depth > 0)
    kind = draw(st.sampled_from(kinds))
    if kind in RELATIONS:
        return RELATIONS[kind](np.random.default_rng(draw(st.integers(0, 2**32 - 1))))
    left, a = draw(relations(depth=depth - 1))
    if kind == "transposed":
        # Twice transposed: a relation of N queries and M keys again.
        return left.transposed().transposed(), a
    if kind == "not":
        return ~left, (a == 0).astype(float)
    right, b = draw(relations(depth=depth - 1))
    return (left & right, a * b) if kind == "and" else (left | right, np.maximum(a, b))


@dataclass(frozen=True)
class Tiny:
    """A system on data that it learns in a second or two."""

    write: Callable[[Path], Path]
    """Writes the data into a folder, and says what they are named on the command line."""
    options: dict[str, Any]
    """Small and quick ones."""
    query: str = ""
    """What is searched for, if the system searches."""
    wrong: tuple[tuple[str, Any], ...] = ()
    """The system's own options, each with a value out of its range; those that all systems have are tried anyway."""
    prompt: str | None = None
    """What its samples answer, if it takes prompts."""
    exported: str = "model"
    """What it exports to."""
    keeps: tuple[str, ...] = ()
    """What its run folder holds beside what all do."""
    begins_with_given_weights: bool = False
    """Whether the first weights are another training's, whatever the seed."""
    needs: str = ""
    """The package without which its runs are skipped: an environment that is older than its extra may lack it."""
    small: Callable[[], AbstractContextManager[None]] = nullcontext
    """Inside, what takes long is made less."""


# By name; behind a comma stands how, where a system is run through in several ways.
SYSTEMS = {
    "clip": Tiny(pictures.write_scripted, pictures.CLIP_OPTIONS, "red circle", pictures.CLIP_WRONG),
    "simclr": Tiny(pictures.write_patterns, pictures.PICTURE_OPTIONS, "3", pictures.PICTURE_WRONG),
    "moco": Tiny(pictures.write_patterns, pictures.MOCO_OPTIONS, "3", pictures.MOCO_WRONG),
    "harmony": Tiny(pictures.write_patterns, pictures.HARMONY_OPTIONS, "3", pictures.HARMONY_WRONG),
    "audiovisual": Tiny(sound.write_moments, sound.SOUND_OPTIONS, "red.wav", sound.SOUND_WRONG),
    "graph": Tiny(
        *(graphs.write_graph, graphs.GRAPH_OPTIONS | {"batch_size": 24}, "n7", graphs.GRAPH_WRONG),
        small=graphs.few_splits,
    ),
    "genomics": Tiny(
        genomes.write_genomes, genomes.GENOME_OPTIONS, 12 * "ACGGT", genomes.GENOME_WRONG, small=genomes.few_reads
    ),
    "microstructure": Tiny(
        micrographs.write_micrographs,
        micrographs.MICROGRAPH_OPTIONS,
        "fine/0.tif@0,0",
        micrographs.MICROGRAPH_WRONG,
        keeps=("pictures.json",),
        small=micrographs.few_patches,
    ),
    "bilingual": Tiny(sentences.write_translations, sentences.SENTENCE_OPTIONS, "bada fage", sentences.SENTENCE_WRONG),
    "dpo": Tiny(
        preferences.write_preferences,
        preferences.PREFERENCE_OPTIONS,
        wrong=preferences.PREFERENCE_WRONG,
        prompt="the cat",
        keeps=("pretraining", "reference", "reference.safetensors"),
        begins_with_given_weights=True,
    ),
    "attention": Tiny(memories.write_planted, memories.MEMORY_OPTIONS, "7", memories.MEMORY_WRONG),
    "federated": Tiny(pictures.write_patterns, pictures.FEDERATED_OPTIONS, "3", pictures.FEDERATED_WRONG, needs="flwr"),
    "pixels": Tiny(pixels.write_video, pixels.PIXEL_OPTIONS, "2,30,30", pixels.PIXEL_WRONG, keeps=("pictures.json",)),
    "gan": Tiny(
        generated.name_of_mixture,
        generated.POINT_OPTIONS,
        wrong=generated.GENERATED_WRONG,
        keeps=("pictures.json",),
        small=generated.few_samples,
    ),
    "gan, pictures": Tiny(
        pictures.write_patterns, generated.SHADE_OPTIONS, keeps=("pictures.json",), small=generated.short_judge
    ),
    "bilingual, transformer": Tiny(sentences.write_translations, sentences.TRANSFORMER_OPTIONS, "bada fage"),
    "word2vec": Tiny(
        *(words.write_words, words.WORD_OPTIONS, "cat1 - tax1", words.WORD_WRONG), exported="x.bin", keeps=("corpus",)
    ),
    "word2vec, infonce": Tiny(words.write_words, words.SUBWORD_OPTIONS, "cat1", exported="x.vec.gz", keeps=("corpus",)),
}
