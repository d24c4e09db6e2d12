"""The page computes in the browser what the library computes, for the same queries and keys."""

import math

import pytest
import torch

from tellapart import info_nce, info_nce_terms
from tellapart.diagnostics import (
    effective_margin,
    effective_negatives,
    forces,
    hardest_share,
    hinge,
    mi_bound,
    mi_ceiling,
    shares,
    turn_and_stretch,
)
from tellapart.relations import listed

TEMPERATURES = (0.01, 0.07, 0.2, 1.0, 10.0)


def unit(degrees):
    """Points on the circle, `(..., 2)`."""
    radians = torch.as_tensor(degrees, dtype=torch.float64) * math.pi / 180
    return torch.stack([radians.cos(), radians.sin()], dim=-1)


def problems(temperature):
    """Keys at random angles, 1 to 16 negatives; then the hard cases: ties, opposites, all in one place."""
    generator = torch.Generator().manual_seed(round(1000 * temperature))
    for n_negatives in (*range(1, 17), *range(1, 17)):
        angles = 360 * torch.rand(n_negatives + 2, generator=generator, dtype=torch.float64)
        yield {"query": angles[0].item(), "keys": angles[1:].tolist(), "temperature": temperature}
    for query, keys in ((0, [0, 0]), (0, [0, 180]), (0, [180, 0, 0]), (90, [45, 135, 135]), (30, [30] * 17)):
        yield {"query": query, "keys": keys, "temperature": temperature}


def by_the_library(given):
    """All numbers on the page, from the functions that it explains."""
    query, keys, temperature = unit([given["query"]]), unit(given["keys"]), given["temperature"]
    options = {"positives": listed(torch.tensor([0])), "temperature": temperature}
    terms = info_nce_terms(query, keys, **options)
    found, dots = forces(query, keys, **options), forces(query, keys, score="dot", **options)
    turn, stretch = turn_and_stretch(query, found.gradient)
    margin = effective_margin(terms, temperature)
    return {
        "scores": (keys @ query[0]).tolist(),
        "logits": (keys @ query[0] / temperature).tolist(),
        "shares": shares(query, keys, **options)[0].tolist(),
        "pull": found.pull[0].tolist(),
        "push": found.push[0].tolist(),
        "gradient": found.gradient[0].tolist(),
        "loss": info_nce(query, keys, **options).item(),
        "turn": (turn[0] @ unit(given["query"] + 90)).item(),
        "stretch": stretch.item(),
        "stretchOfDot": turn_and_stretch(query, dots.gradient).stretch.item(),
        "margin": margin.item(),
        "hinge": hinge(margin, temperature * terms.positive, temperature).item(),
        "effectiveNegatives": effective_negatives(query, keys, **options).item(),
        "hardestShare": hardest_share(terms).item(),
        "ceiling": mi_ceiling(terms).item(),
        "bound": mi_bound(terms).item(),
    }


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_every_number_of_the_page_is_the_librarys(page, temperature):
    given = list(problems(temperature))
    shown = page.evaluate("problems => problems.map(window.infoNce.evaluate)", given)
    for one, in_page in zip(given, shown, strict=True):
        expected = by_the_library(one)
        assert in_page.keys() == expected.keys()
        for name, value in expected.items():
            assert in_page[name] == pytest.approx(value, rel=0, abs=1e-6), (name, one)
