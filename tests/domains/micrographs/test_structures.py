"""Made-up structures have the statistics that they are said to have, by counting grains in loops."""

import math

import numpy as np
import pytest

from tellapart.domains.micrographs import KINDS, boundaries, drawn, generate, grain_statistics, power_cells


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_and_another_gives_another(kind):
    one, again, other = generate(kind, 64, 3), generate(kind, 64, 3), generate(kind, 64, 4)
    assert np.array_equal(one.image, again.image)
    assert np.array_equal(one.grains, again.grains)
    assert not np.array_equal(one.image, other.image)
    assert one.image.shape == one.grains.shape == (64, 64)
    assert np.isfinite(one.image).all()
    assert one.image.std() > 0.03


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.diameter])
def test_grains_have_the_mean_area_that_was_asked_for(kind):
    made = generate(kind, 256, 0)
    assert grain_statistics(made.grains).diameter == pytest.approx(made.diameter, rel=0.05)
    assert made.diameter == pytest.approx(KINDS[kind].diameter, rel=0.1)


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.share < 1])
def test_a_second_phase_has_its_share(kind):
    shares = [grain_statistics(generate(kind, 256, seed).grains).share for seed in range(4)]
    assert np.mean(shares) == pytest.approx(KINDS[kind].share, abs=0.02)


def test_elongated_grains_are_as_long_as_asked_and_others_are_not():
    found = {kind: grain_statistics(generate(kind, 256, 1).grains).aspect for kind in ("fine", "coarse", "elongated")}
    assert found["elongated"] == pytest.approx(KINDS["elongated"].aspect, rel=0.15)
    assert max(found["fine"], found["coarse"]) < 1.6


def test_few_large_grains_spread_the_sizes_of_the_bimodal_kind():
    spread = {kind: grain_statistics(generate(kind, 256, 2).grains).spread for kind in ("fine", "bimodal")}
    assert spread["bimodal"] > 2 * spread["fine"]


def test_power_cells_are_those_of_the_formula():
    random = np.random.default_rng(0)
    points, radii, places = random.uniform(0, 10, (20, 2)), random.uniform(0, 3, 20), random.uniform(0, 10, (300, 2))
    expected = (np.square(places[:, None] - points).sum(-1) - radii**2).argmin(axis=1)
    assert np.array_equal(power_cells(points, radii, places), expected)
    assert len(set(expected.tolist())) < 20  # a small cell can be covered by larger ones


def test_statistics_are_those_of_counting_grains_in_loops():
    grains, size = generate("dual-phase", 128, 5).grains, 0.25
    edge = set(np.concatenate([grains[0], grains[-1], grains[:, 0], grains[:, -1]]).tolist()) - {0}
    names = set(np.unique(grains).tolist()) - {0}
    number = len(names - edge) + len(edge) / 2
    diameters, aspects = [], []
    for name in names - edge:
        y, x = np.nonzero(grains == name)
        diameters.append(math.sqrt(4 * len(y) / math.pi))
        low, high = np.linalg.eigvalsh(np.cov(np.stack([y, x]), bias=True) + np.eye(2) / 12)
        aspects.append(math.sqrt(high / low))
    found = grain_statistics(grains, size)
    assert found.number == number
    assert found.area == pytest.approx((grains > 0).sum() / number * size**2)
    assert found.diameter == pytest.approx(math.sqrt(4 * found.area / math.pi))
    assert found.spread == pytest.approx(np.std(diameters) / np.mean(diameters))
    assert found.aspect == pytest.approx(np.mean(aspects), rel=1e-6)
    assert found.share == (grains > 0).mean()


def test_drawn_grains_have_a_shade_each_whatever_their_numbers_and_dark_boundaries():
    grains = np.kron(np.array([[7, 2**40], [-3, 7]]), np.ones((20, 20), dtype=np.int64))
    image = drawn(grains)
    assert image[5, 5] == image[35, 35] != image[5, 35]
    assert image[20, 5] < min(image[15, 5], image[25, 5])
    assert boundaries(grains).sum() == 20 * 4 - 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: generate("coral", 64, 0), "`kind` must be one of"),
        (lambda: generate("fine", 8, 0), "`side` must be at least 16"),
        (lambda: grain_statistics(np.zeros((4, 4), dtype=int)), "hold a grain"),
        (lambda: grain_statistics(np.ones((4, 4))), "two-dimensional array of integers"),
        (lambda: grain_statistics(np.ones((4, 4), dtype=int), 0.0), "`pixel_size` must be positive"),
    ],
)
def test_mistakes_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
