"""The compiled kernel, held to autograd of the losses that it stands for, and to the same bits for any threads."""

import itertools

import numpy as np
import pytest
import torch

from tellapart import info_nce, listed
from tellapart.skip_gram import Noise, SkipGram, Vectors
from tellapart.skip_gram.block import PARTS, Block, Problem, Scratch, score, update
from tellapart.skip_gram.windows import MOST_OCCURRENCES, MOST_WINDOWS, windows_of
from tellapart.variants import sgns

ALL = np.uint64(2**32)


def vectors(n=30, length=32, parts=None, seed=0):
    random = np.random.default_rng(seed)
    rows, starts = parts or (np.arange(n), np.arange(n + 1))
    scale = (1 / np.sqrt(np.diff(starts))).astype(np.float32)
    inputs, outputs = (random.normal(size=(max(rows.max() + 1, n), length)).astype(np.float32) / 3 for _ in range(2))
    return Vectors(inputs, outputs[:n].copy(), rows, starts, scale)


def problem_of(found, ids, softmax, radius=3):
    noise = Noise.of(np.ones(len(found.outputs)))
    windows = windows_of(ids, 0, 5, np.full(len(found.outputs), ALL), radius)
    losses = np.zeros((len(ids), 3))
    return Problem(found, windows, noise, np.uint64(5), softmax, radius, 1, losses), windows


def loss_of_block(inputs, outputs, windows, key_words, softmax, stop):
    """By autograd, window for window, with `variants.sgns` or `info_nce`."""
    total = 0
    for i in range(stop):
        around = [k for k in range(windows.first[i], windows.last[i] + 1) if k != i]
        queries = inputs[[int(windows.words[k]) for k in around]]
        middle, *drawn = key_words[i].tolist()
        negatives = outputs[[word for word in drawn if word != middle]]
        if not around:
            continue
        if softmax:
            keys = torch.cat([outputs[[middle]], negatives])
            first = listed(torch.zeros(len(around), dtype=torch.long))
            total = total + info_nce(queries, keys, positives=first, score="dot", temperature=1.0, reduction="sum")
        else:
            keys = outputs[[middle] * len(around)]
            total = total + sgns(queries, keys, negatives=negatives, reduction="sum")
    return total


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("negatives", [1, 5, 7])
@pytest.mark.parametrize("with_parts", [False, True])
def test_a_block_is_one_step_of_sgd_on_the_loss_of_its_windows(softmax, negatives, with_parts):
    n, rate = 30, np.float32(0.05)
    parts = None
    if with_parts:  # rows 30 to 39 are shared by words, some twice by the same
        random = np.random.default_rng(1)
        lists = [[i, *random.integers(n, n + 10, i % 4)] for i in range(n)]
        parts = (np.array([row for rows in lists for row in rows]), np.cumsum([0, *map(len, lists)]))
    found = vectors(n, parts=parts)
    ids = np.random.default_rng(0).integers(0, n, 25).astype(np.int32)
    ids[[3, 4, 12]] = -1
    problem, windows = problem_of(found, ids, softmax)
    stop = int(windows.blocks[1])
    rows, outputs = (torch.tensor(x.copy(), requires_grad=True) for x in (found.inputs, found.outputs))
    starts = found.part_starts
    words = [rows[found.parts[a:b]].sum(0) * s for a, b, s in zip(starts, starts[1:], found.scale, strict=False)]
    scratch = Scratch.make(32, negatives, problem.radius)
    block = Block(0, stop, 0, min(stop + problem.radius, len(windows.words)), 0)
    score(problem, scratch, block, 0, PARTS)
    update(problem, scratch, block, 0, PARTS, rate)
    loss = loss_of_block(torch.stack(words), outputs, windows, scratch.key_words[0, 0], softmax, stop)
    loss.backward()
    np.testing.assert_allclose(problem.losses[:stop, 0].sum(), loss.item(), rtol=1e-5)
    np.testing.assert_allclose(found.inputs, (rows - float(rate) * rows.grad).detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(found.outputs, (outputs - float(rate) * outputs.grad).detach().numpy(), atol=1e-6)
    assert not torch.equal(rows.grad, torch.zeros_like(rows))


def text(n_words=200, n=4000, seed=0):
    random = np.random.default_rng(seed)
    ids = (n_words * random.random(n) ** 3).astype(np.int32)
    ids[random.integers(0, n, n // 15)] = -1
    return ids


def trained(threads=1, hogwild=False, softmax=False, cuts=(), negatives=5, seed=3, ids=None, n=200):
    found = vectors(n, 48)
    ids = text(n) if ids is None else ids
    keep = np.linspace(0.3, 1, n) * 2**32
    kernel = SkipGram(
        *(found, Noise.of(np.arange(n, 0, -1.0)), keep.astype(np.uint64), softmax, negatives, 4, threads, hogwild)
    )
    places = [0, *cuts, len(ids)]
    measured = [kernel.train(ids[a:b], a, seed, (0.02, 0.02)) for a, b in itertools.pairwise(places)]
    return found, measured


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("threads", [2, 3])
def test_any_number_of_threads_ends_with_the_same_bits(softmax, threads):
    one, measured = trained(1, softmax=softmax)
    several, measured_by_several = trained(threads, softmax=softmax)
    assert one.inputs.tobytes() == several.inputs.tobytes()
    assert one.outputs.tobytes() == several.outputs.tobytes()
    assert measured == measured_by_several


def test_the_seed_decides_what_is_drawn():
    assert trained(seed=3)[0].inputs.tobytes() == trained(seed=3)[0].inputs.tobytes()
    assert trained(seed=3)[0].inputs.tobytes() != trained(seed=4)[0].inputs.tobytes()


def test_hogwild_learns_as_well():
    _, in_step = trained(2, cuts=(2000,))
    _, hogwild = trained(2, hogwild=True, cuts=(2000,))
    assert hogwild[1].loss == pytest.approx(in_step[1].loss, rel=0.05)
    assert hogwild[1].windows == in_step[1].windows


def test_measuring_gives_the_loss_and_changes_nothing():
    found, _ = trained()
    before = found.inputs.tobytes(), found.outputs.tobytes()
    kernel = SkipGram(found, Noise.of(np.ones(200)), np.full(200, ALL), False, 5, 4, threads=2)
    measured = kernel.measure(text(), 0)
    assert (found.inputs.tobytes(), found.outputs.tobytes()) == before
    assert measured.windows == (text() >= 0).sum()
    found.outputs[:] = 0
    guessed = kernel.measure(text(), 0).loss  # less where a drawn word is the middle word
    assert 0.98 * 6 * np.log(2) < guessed < 6 * np.log(2)


def test_a_word_ten_thousand_times_in_a_row_leaves_all_vectors_finite():
    ids = np.concatenate([text(), np.zeros(10_000, np.int32), text()])
    for softmax in (False, True):
        found, measured = trained(2, softmax=softmax, ids=ids)
        assert np.isfinite(found.inputs).all()
        assert np.isfinite(found.outputs).all()
        assert np.isfinite(measured[0].loss)


def test_a_text_without_words_changes_nothing():
    found, measured = trained(ids=np.full(5, -1, np.int32))
    assert found.inputs.tobytes() == vectors(200, 48).inputs.tobytes()
    assert measured[0].windows == 0


def test_negatives_are_drawn_from_the_noise():
    n = 20
    weights = np.arange(1.0, n + 1) ** 2
    ids = np.zeros(MOST_WINDOWS, np.int32)
    found = vectors(n)
    counts = np.zeros(n)
    for place in range(0, 40 * MOST_WINDOWS, MOST_WINDOWS):
        windows = windows_of(ids, place, 5, np.full(n, ALL), 3)
        problem = Problem(found, windows, Noise.of(weights), np.uint64(5), False, 3, 1, np.zeros((1, 3)))
        scratch = Scratch.make(32, 9, 3)
        score(problem, scratch, Block(0, len(ids), 0, len(ids), 0), 0, 1)
        counts += np.bincount(scratch.key_words[0, 0, :, 1:].ravel(), minlength=n)
    expected = counts.sum() * weights / weights.sum()
    assert ((counts - expected) ** 2 / expected).sum() < 50  # χ² of 19 degrees of freedom


def slow_blocks(words):
    starts, seen = [0], {}
    for i, word in enumerate(words):
        if seen.get(word, 0) == MOST_OCCURRENCES or i - starts[-1] == MOST_WINDOWS:
            starts.append(i)
            seen = {}
        seen[word] = seen.get(word, 0) + 1
    return [*starts, len(words)]


@pytest.mark.parametrize("n_words", [3, 200, 100_000])
def test_a_block_ends_before_a_word_occurs_too_often(n_words):
    windows = windows_of(text(n_words), 7, 11, np.full(n_words, ALL), 5)
    assert windows.blocks.tolist() == slow_blocks(windows.words.tolist())


def test_windows_stay_within_their_lines_and_reach_as_far_as_is_drawn():
    ids = text()
    windows = windows_of(ids, 100, 11, np.full(200, ALL), 5)
    assert windows.words.tolist() == ids[ids >= 0].tolist()
    assert (windows.places - 100).tolist() == np.flatnonzero(ids >= 0).tolist()
    line = np.cumsum(ids < 0)[ids >= 0]
    at = np.arange(len(line))
    assert (line[windows.first] == line).all()
    assert (line[windows.last] == line).all()
    reach = np.maximum(at - windows.first, windows.last - at)
    is_inside = (at >= 5) & (at < len(at) - 5) & (line[np.maximum(at - 5, 0)] == line[np.minimum(at + 5, len(at) - 1)])
    counts = np.bincount(reach[is_inside], minlength=6)
    assert counts[0] == 0
    assert (np.abs(counts[1:] / is_inside.sum() - 0.2) < 0.04).all()


def test_subsampling_keeps_each_word_with_its_probability_whatever_the_cut():
    ids = np.repeat(np.arange(4, dtype=np.int32), 5000)
    keep = (np.array([0.1, 0.5, 0.9, 1.0]) * 2**32).astype(np.uint64)
    windows = windows_of(ids, 0, 11, keep, 5)
    assert np.abs(np.bincount(windows.words) / 5000 - [0.1, 0.5, 0.9, 1.0]).max() < 0.025
    parts = [windows_of(ids[a:b], a, 11, keep, 5).places for a, b in ((0, 777), (777, 20_000))]
    assert np.concatenate(parts).tolist() == windows.places.tolist()
