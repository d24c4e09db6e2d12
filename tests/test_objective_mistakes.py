"""What the loss refuses: each message names the argument, what it must be, and what was found."""

import pytest
import torch

import tellapart
from tellapart import LearnedTemperature, dense, info_nce, listed, paired, same
from tellapart.errors import NotFiniteError

EYE = torch.eye(3)


@pytest.mark.parametrize("tau", [float("nan"), float("inf")])
def test_a_learned_temperature_that_is_not_finite_is_told_from_one_that_is_wrong(tau):
    """A training takes the first for divergence."""
    with pytest.raises(NotFiniteError, match="`temperature` must be positive and finite"):
        info_nce(EYE, EYE, temperature=torch.tensor(tau))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": -0.1}, "`temperature` must be positive and finite. Got -0.1."),
        ({"temperature": float("nan")}, "`temperature` must be positive"),
        ({"temperature": torch.tensor([0.1, 0.1])}, r"`temperature` must be a scalar or one per query \(3,\)"),
        ({"temperature": torch.tensor(0.0)}, "`temperature` must be positive and finite. Got 0.0."),
        ({"queries": EYE[0]}, r"`queries` must have 2 dimensions. Got shape \(3,\)"),
        ({"queries": EYE[:0]}, "`queries` must not be empty"),
        ({"queries": EYE * torch.tensor([1, 1, float("nan")])}, "`queries` must be finite. Got nan in row 0"),
        ({"keys": EYE[:2]}, "`keys` must hold a positive for each of the 3 queries. Got 2 rows"),
        ({"keys": torch.ones(3, 4)}, "`keys` must have 3 columns"),
        ({"negatives": torch.ones(2, 4)}, "`negatives` must have 3 columns"),
        ({"negatives": torch.ones(2, 4, 3)}, "`negatives` must hold one set for each of the 3 queries. Got 2"),
        ({"key_bias": torch.ones(4)}, r"`key_bias` must have one entry per key and shared negative, \(3,\)"),
        ({"margin": -1.0}, "`margin` must be finite and at least 0"),
        ({"score": "euclid"}, "`score` must be one of 'cosine', 'dot', 'sqeuclidean'. Got 'euclid'"),
        ({"multi_positive": "both"}, "`multi_positive` must be one of 'out', 'in'"),
        ({"reduction": "avg"}, "`reduction` must be one of"),
        ({"positives": same([1, 2], [1, 2, 3])}, "`positives` must relate as many queries as there are, 3. Got 2"),
        ({"positives": same([1, 2, 3], [4, 5, 6])}, "`positives` must relate at least one query to a key"),
        ({"positives": listed(torch.tensor([0, 1, 3]))}, "`positives` must list keys between 0 and 2. Got 3"),
        ({"exclude": dense(torch.ones(2, 2))}, "`exclude` must relate as many queries"),
        ({"score": tellapart.Bilinear(4, 3)}, "`queries` must have 4 columns for this score. Got 3"),
        ({"exclude": same([1, 1, 1], [0, 1, 0]), "symmetric": True}, "`exclude` .* Got none for key 1"),
        ({"exclude": paired() | ~paired()}, "`exclude` must leave every query a candidate. Got none for query 0"),
    ],
)
def test_a_wrong_argument_is_named_with_requirement_and_value(arguments, message):
    with pytest.raises(ValueError, match=message):
        info_nce(**({"queries": EYE, "keys": EYE} | arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"queries": EYE.long()}, "`queries` must be a floating-point tensor. Got torch.int64"),
        ({"keys": EYE.double()}, "`keys` must have the queries' dtype, torch.float32. Got torch.float64"),
        ({"queries": [[1.0]]}, "`queries` must be a floating-point tensor. Got list"),
        ({"score": 3}, "`score` must be a name or a function"),
        ({"positives": torch.eye(3)}, r"`positives` must be a relation, such as .* dense\(matrix\). Got Tensor"),
        ({"exclude": EYE > 0}, "`exclude` must be a relation"),
        ({"temperature": LearnedTemperature()}, "`temperature` must be a number or a tensor"),
        ({"key_bias": [0.0, 0.0, 0.0]}, "`key_bias` must be a tensor. Got list"),
    ],
)
def test_a_wrong_type_is_named(arguments, message):
    with pytest.raises(TypeError, match=message):
        info_nce(**({"queries": EYE, "keys": EYE} | arguments))


OUTSIDE = same(torch.arange(3), torch.arange(2))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "`exclude_negatives` must be left out without shared negatives"),
        ({"negatives": torch.ones(3, 2, 3)}, "`exclude_negatives` must be left out without shared negatives"),
        ({"negatives": torch.ones(2, 3), "symmetric": True}, "`exclude_negatives` must be left out .* symmetric"),
        ({"negatives": torch.ones(2, 4)}, "`negatives` must have 3 columns"),
        ({"negatives": torch.ones(3, 3)}, "`exclude_negatives` must"),
    ],
)
def test_negatives_can_be_excluded_only_where_they_are_shared_and_fit(given, message):
    with pytest.raises(ValueError, match=message):
        info_nce(EYE, EYE, exclude_negatives=OUTSIDE, **given)
