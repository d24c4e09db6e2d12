"""Clocks that are learned: held to a slow EM, and to the truth where the embeddings tell it."""

import numpy as np
import pytest
import torch

from tellapart import gaussian, info_nce_terms
from tellapart.domains.sound import Clock, clock


def events(n=400, offset=(2.0,), gain=0.0, sigma=0.5, kinds=12, seed=0):
    """Embeddings that know the kind of an event, times on both clocks, and the recorder of each sound."""
    random = np.random.default_rng(seed)
    times, kind = np.cumsum(random.exponential(size=n)), random.integers(kinds, size=n)
    recorders = random.integers(len(offset), size=n)
    written = times * (1 + gain) + np.array(offset)[recorders] + sigma * random.normal(size=n)
    vectors = torch.eye(kinds)[kind] + 0.1 * torch.from_numpy(random.normal(size=(2, n, kinds))).float()
    return *vectors, torch.from_numpy(written), torch.tensor(recorders), torch.from_numpy(times)


def learned(found, data, steps):
    sounds, pictures, times, recorders, picture_times = data
    for _ in range(steps):
        positives = gaussian(found.corrected(times, recorders), picture_times, found.sigma)
        terms = info_nce_terms(sounds, pictures, positives=positives, temperature=0.1, multi_positive="in")
        found.learn(terms, times, recorders, picture_times)
    return found


def test_a_step_is_that_of_a_slow_em(monkeypatch):
    sounds, pictures, times, recorders, picture_times = data = events(40, offset=(1.0, -1.0))
    found = learned(Clock(0.5, 2.0, 2, (0.0, 40.0)), data, 1)
    monkeypatch.setattr(clock, "_CHUNK", 7)
    chunked = learned(Clock(0.5, 2.0, 2, (0.0, 40.0)), data, 1)
    u, v = (x.double().numpy() / np.linalg.norm(x.double().numpy(), axis=1, keepdims=True) for x in (sounds, pictures))
    p = np.exp(u @ v.T / 0.1)
    p /= p.sum(axis=1, keepdims=True)
    apart = times.numpy()[:, None] - picture_times.numpy()
    r = p * np.exp(-((apart - 0.5) ** 2) / (2 * 2.0**2))
    r /= r.sum(axis=1, keepdims=True)
    offsets = np.array([(r * apart)[recorders == d].sum() / r[recorders == d].sum() for d in (0, 1)])
    variance = (r * (apart - offsets[recorders.numpy()][:, None]) ** 2).sum() / r.sum()
    np.testing.assert_allclose(found.offsets(), offsets, rtol=1e-3)
    assert found.sigma == pytest.approx(np.sqrt(variance), rel=1e-3)
    for name, value in found.state_dict().items():
        torch.testing.assert_close(value, chunked.state_dict()[name])


def test_offset_and_width_of_each_recorder_are_found_from_a_width_three_times_too_large():
    found = learned(Clock(0.0, 1.5, 2, (0.0, 400.0), memory=4), events(offset=(2.0, -1.0)), 40)
    np.testing.assert_allclose(found.offsets(), [2.0, -1.0], atol=0.1)
    assert found.sigma == pytest.approx(0.5, rel=0.15)


def test_a_drift_is_found_and_a_clock_without_takes_it_for_width():
    data = events(gain=0.01)  # 4 s in 400
    stretch = (0.0, float(data[2].max()))
    found = learned(Clock(3.0, 2.0, 1, stretch, drifts=True, memory=4), data, 60)
    assert found.gains().item() == pytest.approx(0.01, rel=0.1)
    assert found.sigma == pytest.approx(0.5, rel=0.15)
    corrected = found.corrected(data[2], data[3]) - data[4]
    assert corrected.abs().mean() < 0.5
    assert learned(Clock(3.0, 2.0, 1, stretch, memory=4), data, 60).sigma > 0.9


def test_times_since_1970_lose_no_digits():
    data = events()
    plain = learned(Clock(0.0, 1.5, 1, (0.0, 400.0), memory=4), data, 20)
    data = *data[:2], data[2] + 1.7e9 + 86400, data[3], data[4] + 1.7e9
    late = learned(Clock(86400.0, 1.5, 1, (1.7e9, 1.7e9 + 400.0), memory=4), data, 20)
    assert late.offsets().item() - 86400 == pytest.approx(plain.offsets().item(), abs=1e-4)
    assert late.sigma == pytest.approx(plain.sigma, abs=1e-4)


def test_a_recorder_that_is_not_heard_for_long_keeps_its_offset():
    data = events(offset=(2.0, -1.0))
    found = learned(Clock(0.0, 1.5, 2, (0.0, 400.0), memory=2), data, 30)
    before = found.offsets()[1].item()
    first = data[3] == 0
    only = tuple(x[first] for x in data[:4])
    sounds, times, recorders = only[0], only[2], only[3]
    learned(found, (sounds, data[1], times, recorders, data[4]), 80)
    assert found.offsets()[1].item() == pytest.approx(before, abs=1e-3)
    assert found.sigma == pytest.approx(0.5, rel=0.2)
