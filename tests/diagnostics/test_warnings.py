"""Each warning comes exactly when its threshold is crossed, and none of a sound training."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart import info_nce_terms, same
from tellapart.diagnostics import suspected, training_warnings, warnings
from tellapart.relations import paired

SOUND = {
    "loss": 2.0,
    "mi_bound": 2.85,
    "mi_ceiling": 4.85,
    "effective_rank": 60.0,
    "rank_limit": 128.0,
    "temperature": 0.07,
    "temperature_at_bound": 0.0,
    "hardest_share": 0.2,
    "suspects": 0.01,
    "kl": 5.0,
    "length_ratio": 1.0,
    "chosen_change": -1.0,
}
# What to set, the threshold, and on which side of it there is a warning.
CASES = {
    "collapse": (lambda x: {"effective_rank": x, "rank_limit": 128.0}, 6.4, "below"),
    "saturation": (lambda x: {"mi_bound": 4.85 - x}, 0.1, "below"),
    "temperature": (lambda x: {"temperature_at_bound": x}, 0.5, "above"),
    "domination": (lambda x: {"hardest_share": x}, 0.5, "above"),
    "false negatives": (lambda x: {"suspects": x}, 0.1, "above"),
    "memory": (lambda x: {"accuracy": 0.2 + x, "held_out_accuracy": 0.2}, 0.3, "above"),
    "divergence": (lambda x: {"kl": x}, 25.0, "above"),
    "length": (lambda x: {"length_ratio": x}, 0.75, "below"),
    "length, longer": (lambda x: {"length_ratio": x}, 1.5, "above"),
    "fallen": (lambda x: {"chosen_change": x}, -10.0, "below"),
}


def log_of(n, **changed):
    return [{"step": step, **SOUND, **changed} for step in range(1, n + 1)]


def names(log):
    return [warning.name for warning in training_warnings(log)]


@pytest.mark.parametrize("n", [1, 5, 100])
def test_a_sound_training_and_an_empty_log_have_none(n):
    assert names(log_of(n)) == []
    assert names([]) == []
    assert names([{"step": 1.0}]) == []  # of what is not known nothing is said


@pytest.mark.parametrize("name", CASES)
@given(away=st.floats(1e-6, 0.04))
def test_each_comes_exactly_beyond_its_threshold(name, away):
    change, threshold, side = CASES[name]
    for value, warned in ((threshold - away, side == "below"), (threshold + away, side == "above")):
        assert names(log_of(20, **change(value))) == ([name.partition(",")[0]] if warned else []), value


@pytest.mark.parametrize(("steps", "every"), [(1, 1), (10, 1), (100, 10), (5000, 475)])
def test_what_was_learned_by_heart_is_to_be_measured_several_times_in_such_a_training(steps, every):
    (warning,) = training_warnings(log_of(steps, accuracy=0.9, held_out_accuracy=0.2))
    assert f"--trainer.validate_every {every} keeps" in warning.remedy


def test_the_thresholds_are_those_of_the_table():
    for value in (
        "< 2 or 5 %",
        "of 2, < 1.5",
        "< 0.1 nat",
        "more than half",
        "> 0.5",
        "> 10 %",
        "> 25",
        "< 0.75 or > 1.5",
        "−10",
    ):
        assert value in warnings.__doc__
    assert (warnings.COLLAPSED_DIMENSIONS, warnings.COLLAPSED_SHARE, warnings.SATURATED_NATS) == (2.0, 0.05, 0.1)
    assert (warnings.COLLAPSED_OF_FEW, warnings.FEWEST_NEGATIVES) == (0.75, 4)
    assert (warnings.DIVERGED_NATS, warnings.SHORTER, warnings.LONGER, warnings.FALLEN_NATS) == (25.0, 0.75, 1.5, 10.0)
    assert (warnings.AT_BOUND_SHARE, warnings.DOMINATING_SHARE, warnings.SUSPECT_SHARE) == (0.5, 0.5, 0.1)


@pytest.mark.parametrize(("rank", "limit", "warned"), [(1.9, 4, True), (2.1, 4, False), (12.9, 256, False)])
def test_of_few_dimensions_fewer_than_two_are_a_collapse(rank, limit, warned):
    assert (names(log_of(3, effective_rank=rank, rank_limit=limit)) == ["collapse"]) == warned


def test_it_is_the_last_tenth_of_the_steps_that_counts():
    early = log_of(90, hardest_share=0.9) + log_of(10)
    assert names(early) == []
    late = log_of(90) + log_of(10, hardest_share=0.9)
    assert names(late) == ["domination"]
    wavering = log_of(90) + log_of(4, hardest_share=0.9) + log_of(6)  # on average 0.48
    assert names(wavering) == []


def test_what_is_read_now_and_then_is_taken_from_its_last_reading():
    log = log_of(100)
    for entry in log[51:]:
        del entry["effective_rank"], entry["rank_limit"]
    assert names(log) == []
    log[50] |= {"effective_rank": 1.2}
    assert names(log) == ["collapse"]


def test_every_warning_is_one_plain_line_with_its_numbers_and_a_remedy():
    of_embeddings = {"effective_rank": 1.25, "mi_bound": 4.84, "temperature_at_bound": 1.0, "hardest_share": 0.75}
    of_answers = {"kl": 30.0, "length_ratio": 0.5, "chosen_change": -12.0}
    by_heart = {"suspects": 0.12, "accuracy": 0.87, "held_out_accuracy": 0.07}
    worst = log_of(4, **of_embeddings, **by_heart, **of_answers)
    found = training_warnings(worst)
    assert [warning.name for warning in found] == [name for name in CASES if "," not in name]
    for warning, number in zip(
        found,
        ("1.2 of 128", "4.84", "0.07", "75%", "12%", "87% of its queries, but of 7%", "30 nats", "50%", "12.0 nats"),
        strict=True,
    ):
        assert number in warning.found
        assert warning.remedy.endswith(".")
        assert "\n" not in warning.found + warning.remedy


@given(seed=st.integers(0, 1000), copies=st.integers(0, 10), temperature=st.sampled_from([0.03, 0.07, 0.15]))
def test_only_copies_under_other_ids_are_suspected_and_of_many_some(seed, copies, temperature):
    """Rows of many dimensions are nearly at right angles; noise is small, so that copies differ as two views do."""
    generator = torch.Generator().manual_seed(seed)
    of = torch.arange(20)
    of[:copies] = torch.arange(20 - copies, 20)
    rows = torch.randn(20, 256, generator=generator)[of]
    first, second = (rows + 0.1 * torch.randn(20, 256, generator=generator) for _ in range(2))
    found = suspected(info_nce_terms(first, second, temperature=temperature))
    has_copy = torch.tensor([(of == x).sum() > 1 for x in of])
    assert not bool((found & ~has_copy).any())
    if copies >= 8:  # each has an even chance
        assert bool(found.any())


def test_queries_with_several_positives_are_no_suspects():
    x = torch.eye(4)[[0, 0, 1, 2]]
    assert not bool(suspected(info_nce_terms(x, x, positives=same([0, 0, 1, 1]), temperature=0.1)).any())
    lonely = info_nce_terms(x, x, positives=same([0, 0, 1, 2]) & ~paired(), exclude=paired(), temperature=0.1)
    assert not bool(suspected(lonely).any())


def test_line_ups_too_small_to_have_a_crowd_and_two_dimensions_in_full_use_are_no_reason_to_warn():
    few = {"hardest_share": 0.9, "suspects": 0.9}
    assert training_warnings([few | {"n_candidates": 4.0}]) == []
    assert {w.name for w in training_warnings([few | {"n_candidates": 5.0}])} == {"domination", "false negatives"}
    assert training_warnings([{"effective_rank": 1.99, "rank_limit": 2.0}]) == []
    assert [w.name for w in training_warnings([{"effective_rank": 1.1, "rank_limit": 2.0}])] == ["collapse"]


def test_before_training_nobody_is_suspected_however_low_the_temperature():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 256, 32, generator=generator)
    assert not bool(suspected(info_nce_terms(first, second, temperature=0.01)).any())


@pytest.mark.parametrize(("measures", "advice"), [(1, "keeps the best weights"), (2, "--trainer.patience 5")])
def test_a_training_that_measures_held_out_rows_already_is_not_told_to(measures, advice):
    log = log_of(4, accuracy=0.9)
    for entry in log[-measures:]:
        entry |= {"held_out_accuracy": 0.1, "held_out_loss": 4.0}
    (warning,) = training_warnings(log)
    assert advice in warning.remedy
    assert ("--trainer.validate_every" in warning.remedy) == (measures == 1)
