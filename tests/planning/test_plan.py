"""A plan's numbers are those that the loss, the engine and the systems have."""

import math

import pytest
import torch
from benchmarks import formulas
from hypothesis import given
from hypothesis import strategies as st

from tellapart import InputError, info_nce, listed
from tellapart._engine import LineUp as Problem
from tellapart._engine import memory
from tellapart._engine.candidates import Candidates
from tellapart._engine.dispatch import choose
from tellapart._engine.kernels.grid import Grid, tiling
from tellapart.domains.pictures import Form, Pairs, PictureSet
from tellapart.planning import EncoderSpeed, LineUp, LossSpeed, plan
from tellapart.systems import clip, moco, simclr
from tests.planning.peak import Peak
from tests.tiny import MOCO_OPTIONS, OPTIONS, PICTURE_OPTIONS

SPEED = LossSpeed(batch=64, n_scores=64 * 64, seconds=0.5)
LINE_UPS = st.one_of(
    st.builds(LineUp, st.sampled_from(["clip", "simclr"]), st.integers(3, 10**6)),
    st.builds(LineUp, st.just("moco"), st.integers(3, 10**6), st.integers(0, 10**6)),
)
TAUS = st.floats(0.01, 2)


def crowd(k, positive, temperature):
    """The loss of one query whose positive has that score among k negatives of score 0, in float64."""
    query = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    keys = torch.cat([torch.tensor([[positive, 0.0]]), torch.tensor([[0.0, 1.0]]).expand(k, 2)]).double()
    return info_nce(query, keys, temperature=temperature, score="dot").item()


@given(k=st.integers(1, 300), temperature=st.floats(0.05, 2))
def test_a_positive_at_the_margin_has_even_odds_and_a_perfect_one_loses_what_is_said(k, temperature):
    made = plan(LineUp("clip", k + 1), 8, temperature, SPEED)
    assert crowd(k, made.margin, temperature) == pytest.approx(math.log(2), rel=1e-6)
    assert crowd(k, 1.0, temperature) == pytest.approx(made.least_loss, rel=1e-6)
    assert made.mi_ceiling == pytest.approx(crowd(k, 0.0, temperature))  # guessing


@given(line_up=LINE_UPS, temperature=TAUS)
def test_the_margin_doubles_with_the_square_of_the_negatives_or_twice_the_temperature(line_up, temperature):
    k = line_up.n_negatives
    margin = plan(line_up, 8, temperature, SPEED).margin
    assert plan(LineUp("clip", k * k + 1), 8, temperature, SPEED).margin == pytest.approx(2 * margin)
    assert plan(line_up, 8, 2 * temperature, SPEED).margin == pytest.approx(2 * margin)
    assert plan(LineUp("clip", 2 * k + 1), 8, temperature, SPEED).margin - margin == pytest.approx(
        temperature * math.log(2), abs=1e-9
    )


@given(line_up=LINE_UPS)
def test_time_goes_by_the_number_of_scores(line_up):
    assert plan(line_up, 8, 0.1, SPEED).loss_seconds == pytest.approx(0.5 * line_up.n_scores / 64**2)


def test_the_negatives_are_those_in_the_systems_own_line_ups():
    shown = torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8)
    names = [str(i) for i in range(6)]
    options = {name: value for name, value in OPTIONS.items() if name in clip.Config.__dataclass_fields__}
    of_clip = clip.terms(clip.CLIP(clip.Config(**options)), Pairs(shown, names, names))
    pictures = PictureSet(shown, None, None, names)
    of_simclr = simclr.terms(simclr.SimCLR(simclr.Config(**PICTURE_OPTIONS), Form(16, 3)), pictures)
    model = moco.MoCo(moco.Config(**MOCO_OPTIONS | {"batch_size": 6}), Form(16, 3))
    model.queue.push(torch.randn(20, 16), torch.arange(100, 120))
    of_moco = moco.terms(model, moco.ask(model, moco.Batch(pictures, torch.arange(6))))
    for line_up, terms in (
        (LineUp("clip", 6), of_clip),
        (LineUp("simclr", 6), of_simclr),
        (LineUp("moco", 6, 20), of_moco),
    ):
        there = [terms, terms.reverse] if terms.reverse is not None else [terms]
        for side in there:
            assert set((side.n_candidates - side.n_positives).tolist()) == {line_up.n_negatives}, line_up
        assert len(terms.n_candidates) == line_up.n_queries
        timed = line_up.ready(4, 0.1)()
        assert torch.equal(timed.n_candidates, terms.n_candidates)
        assert torch.equal(timed.n_positives, terms.n_positives)


@given(n=st.integers(2, 3000), c=st.integers(2, 3000))
def test_it_knows_which_engine_will_compute_it(n, c):
    line_up = Problem.build(torch.ones(n, 1), torch.ones(c, 1), positives=listed(torch.zeros(n, dtype=torch.long)))
    assert memory.is_streamed(n, c) == (choose(line_up, "auto") == "tiled")


@given(n=st.integers(2, 20000))
def test_the_half_of_a_mirrored_matrix_is_counted_as_it_is_walked(n):
    walked = sum(
        t.shape[0] * t.shape[1] for t in Grid(Candidates(n, n, n, mirrored=True), torch.device("cpu"), tiling()).tiles()
    )
    whole, none = (memory.streamed_bytes(n, n, d, mirrored=True) for d in (192, 191))
    units = 4 * n * 192
    # Scores are kept of vectors of 192 numbers and more: what is more than the gradients' place is theirs.
    assert whole - none == 8 * n + max(0, 4 * min(walked, 2**28) - units)


def plainly(line_up, d):
    """The plain formula of a system's loss, ready to compute, as benchmarks/formulas.py has it."""
    n, c = line_up.n_queries, line_up.n_candidates
    q, k = torch.randn(n, d, requires_grad=True), torch.randn(n, d, requires_grad=line_up.system == "clip")
    if line_up.system == "clip":
        return lambda: formulas.two_products_two_cross_entropies(q, k)
    if line_up.system == "simclr":
        return lambda: formulas.masked_cross_entropy(*q.split(line_up.batch))
    queue = torch.randn(c, d)
    return lambda: formulas.concatenated_queue(q, k, queue)


@pytest.mark.parametrize(
    ("line_up", "d"),
    [
        (LineUp("clip", 2048), 64),  # no scores stay
        (LineUp("clip", 2048), 256),  # they do
        (LineUp("simclr", 1024), 128),
        (LineUp("simclr", 1024), 256),
        (LineUp("moco", 256, 16384), 64),
        (LineUp("moco", 1024, 8192), 256),
    ],
)
def test_memory_is_within_15_percent_of_what_is_held(line_up, d):
    """Beyond inputs and gradients, of the streamed loss and of the plain formula."""
    made = plan(line_up, d, 0.1, SPEED)
    gradients = 4 * d * line_up.n_queries * (2 if line_up.system == "clip" else 1)
    for compute, told in (
        (line_up.ready(d, 0.1), made.streamed_bytes),
        (plainly(line_up, d), made.whole_bytes),
    ):
        with Peak() as peak:
            result = compute()
            (result if isinstance(result, torch.Tensor) else result.loss()).backward()
        assert told == pytest.approx(peak.most - gradients, rel=0.15)


def test_an_encoder_counts_every_view_and_the_slow_networks_forward_alone():
    speed = EncoderSpeed(forward_and_backward=0.03, forward=0.01, kept_bytes=2.0**20)
    seconds = {}
    for system in ("clip", "simclr", "moco"):
        made = plan(LineUp(system, 100), 8, 0.1, SPEED, speed, memory_bytes=2**40)
        assert made.encoder is not None
        assert made.encoder.chunk == 0
        seconds[system] = made.encoder.seconds
    assert seconds == pytest.approx({"clip": 3.0, "simclr": 6.0, "moco": 8.0})


@given(batch=st.integers(2, 10**6), kept=st.floats(1e3, 1e10), room=st.integers(10**9, 10**13))
def test_a_chunk_is_asked_for_exactly_if_half_of_the_memory_is_too_little_and_fits(batch, kept, room):
    made = plan(LineUp("clip", batch), 8, 0.1, SPEED, EncoderSpeed(0.03, 0.01, kept), memory_bytes=room).encoder
    assert made is not None
    assert (made.chunk > 0) == (2 * batch * kept > room)
    if made.chunk:
        assert 2 <= made.chunk <= batch
        assert made.chunked_bytes <= max(room / 8, 2 * kept)
        assert made.chunked_seconds == pytest.approx(made.seconds + 0.01 * batch)


@pytest.mark.parametrize(
    ("option", "arguments"),
    [
        ("batch", {"batch": 1}),
        ("queue", {"batch": 4, "queue": -1}),
        ("queue", {"batch": 4, "system": "clip", "queue": 1}),
        ("queue", {"batch": 4, "system": "simclr", "queue": 1}),
        ("system", {"batch": 4, "system": "word2vec"}),
    ],
)
def test_a_line_up_that_cannot_be_is_refused_by_name(option, arguments):
    with pytest.raises(InputError, match=f"`{option}` must"):
        LineUp(**{"system": "moco"} | arguments)


@pytest.mark.parametrize(("dim", "temperature"), [(0, 0.1), (2**15, 0.1), (8, 0.0), (8, math.nan), (8, math.inf)])
def test_a_width_or_a_temperature_that_cannot_be_is_refused_by_name(dim, temperature):
    with pytest.raises(InputError, match="`dim` must" if temperature == 0.1 else "`temperature` must"):
        plan(LineUp("clip", 4), dim, temperature, SPEED)
