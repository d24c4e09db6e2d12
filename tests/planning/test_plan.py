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
from tellapart.diagnostics import planned_margin
from tellapart.domains import memories
from tellapart.domains.graphs import Part
from tellapart.domains.memories import Sides
from tellapart.domains.memories.options import Side
from tellapart.domains.micrographs.pairs import Patches
from tellapart.domains.pictures import ImageShape, Pairs, PictureSet
from tellapart.domains.text import Batch, Translations
from tellapart.planning import EncoderSpeed, LossSpeed, PlanOptions, make_plan
from tellapart.systems import (
    NAMES,
    attention,
    bilingual,
    clip,
    genomics,
    graph,
    harmony,
    load,
    microstructure,
    moco,
    simclr,
)
from tests.engines import threads
from tests.planning.peak import Peak
from tests.planning.plans import plan, planned
from tests.tiny.genomes import GENOME_OPTIONS
from tests.tiny.graphs import GRAPH_OPTIONS
from tests.tiny.memories import MEMORY_OPTIONS
from tests.tiny.micrographs import MICROGRAPH_OPTIONS
from tests.tiny.pictures import HARMONY_OPTIONS, MOCO_OPTIONS, OPTIONS, PICTURE_OPTIONS
from tests.tiny.sentences import SENTENCE_OPTIONS, translations

SPEED = LossSpeed(batch=64, n_scores=64 * 64, seconds=0.5)
SIZES = st.one_of(
    st.tuples(st.sampled_from(["clip", "simclr", "bilingual"]), st.integers(3, 10**4), st.just(0)),
    st.tuples(st.just("moco"), st.integers(3, 10**4), st.integers(0, 10**5)),
)
TAUS = st.floats(0.01, 2)


def crowd(k, positive, temperature):
    """The loss of one query whose positive has that score among k negatives of score 0, in float64."""
    query = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    keys = torch.cat([torch.tensor([[positive, 0.0]]), torch.tensor([[0.0, 1.0]]).expand(k, 2)]).double()
    return info_nce(query, keys, temperature=temperature, score="dot").item()


@given(k=st.integers(1, 300), temperature=st.floats(0.05, 2))
def test_a_positive_at_the_margin_has_even_odds_and_a_perfect_one_loses_what_is_said(k, temperature):
    made = plan("clip", k + 1, 0, 8, temperature, SPEED)
    assert crowd(k, made.margin, temperature) == pytest.approx(math.log(2), rel=1e-6)
    assert crowd(k, 1.0, temperature) == pytest.approx(made.least_loss, rel=1e-6)
    assert made.mi_ceiling == pytest.approx(crowd(k, 0.0, temperature))  # guessing


@given(size=SIZES, temperature=TAUS)
def test_the_margin_doubles_with_the_square_of_the_negatives_or_twice_the_temperature(size, temperature):
    k = planned(*size).n_negatives
    margin = plan(*size, 8, temperature, SPEED).margin
    assert planned_margin(k * k, temperature) == pytest.approx(2 * margin)
    assert plan(*size, 8, 2 * temperature, SPEED).margin == pytest.approx(2 * margin)
    assert planned_margin(2 * k, temperature) - margin == pytest.approx(temperature * math.log(2), abs=1e-9)


@given(size=SIZES)
def test_time_goes_by_the_number_of_scores(size):
    assert plan(*size, 8, 0.1, SPEED).loss_seconds == pytest.approx(0.5 * planned(*size).n_scores / 64**2)


def terms_of_clip(shown, names):
    options = {name: value for name, value in OPTIONS.items() if name in clip.Config.__dataclass_fields__}
    return clip.terms(clip.CLIP(clip.Config(**options)), Pairs(shown, names, names))


def terms_of_simclr(shown, names):
    model = simclr.SimCLR(simclr.Config(**PICTURE_OPTIONS), ImageShape(16, 3))
    return simclr.terms(model, PictureSet(shown, None, None, names))


def terms_of_harmony(shown, _):
    model = harmony.Harmony(harmony.Config(**HARMONY_OPTIONS), ImageShape(16, 3), 2)
    return model.compare(shown)


def terms_of_moco(shown, names):
    model = moco.MoCo(moco.Config(**MOCO_OPTIONS | {"batch_size": 6}), ImageShape(16, 3))
    model.queue.push(torch.randn(20, 16), torch.arange(100, 120))
    batch = moco.Batch(PictureSet(shown, None, None, names), torch.arange(6))
    return moco.terms(model, moco.prepare(model, batch))


def terms_of_graph(*_):
    node = torch.arange(6)
    ring = torch.cat([torch.stack([node, node.roll(1)]), torch.stack([node.roll(1), node])], dim=1)
    part = Part(torch.randn(6, 3), ring, 6)
    return graph.terms(graph.Model(graph.Config(data="", **GRAPH_OPTIONS), 3), part)


def terms_of_genomics(*_):
    model = genomics.Genomics(genomics.Config(data="", **GENOME_OPTIONS))
    begin = 10_000 * torch.arange(6).repeat(2)
    reads = genomics.Reads(torch.ones(12, 50, dtype=torch.uint8), torch.zeros(12, dtype=torch.long), begin)
    return genomics.terms(model, reads)


def terms_of_bilingual(*_):
    model = bilingual.Bilingual(bilingual.Config(data="", **SENTENCE_OPTIONS), "")
    sources, targets, pages = map(list, zip(*translations(6), strict=True))
    return bilingual.terms(model, Batch.of(model.encoder, Translations(sources, targets, pages)))


def terms_of_microstructure(*_):
    model = microstructure.Microstructure(microstructure.Config(**MICROGRAPH_OPTIONS))
    return microstructure.terms(model, Patches(torch.randn(12, 32, 32), torch.arange(6).repeat(2)))


def terms_of_attention(*_):
    model = attention.make_memory(attention.Config(data="", **MEMORY_OPTIONS), Sides(*[Side((8,), 0.0, 1.0)] * 2))
    return attention.terms(model, memories.Batch(torch.randn(6, 8), torch.randn(6, 8), torch.arange(6)))


@pytest.mark.parametrize("system", [name for name in NAMES if load(name).plan])
def test_the_sizes_are_those_of_the_systems_own_loss(system):
    shown, names = torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8), [str(i) for i in range(6)]
    terms = globals()[f"terms_of_{system}"](shown, names)
    step = planned(system, 6, 20 if system == "moco" else 0)
    assert (terms.reverse is not None) == (step.way == "symmetric")
    assert (terms.given.keys is terms.given.queries) == (step.way == "mirrored")
    for side in (terms, terms.reverse) if terms.reverse is not None else (terms,):
        assert set((side.n_candidates - side.n_positives).tolist()) == {step.n_negatives}
    assert (len(terms.given.queries), len(terms.given.keys)) == (step.n_queries, step.n_candidates)
    timed = step.ready(4, 0.1)()
    assert torch.equal(timed.n_candidates, terms.n_candidates)
    assert torch.equal(timed.n_positives, terms.n_positives)
    timed.loss().backward()


@given(n=st.integers(2, 3000), c=st.integers(2, 3000))
def test_it_knows_which_engine_will_compute_it(n, c):
    line_up = Problem.build(torch.ones(n, 1), torch.ones(c, 1), positives=listed(torch.zeros(n, dtype=torch.long)))
    assert memory.is_streamed(n, c) == (choose(line_up, "auto") == "tiled")


@given(n=st.integers(2, 20000))
def test_the_half_of_a_mirrored_matrix_is_counted_as_its_tiles_are(n):
    grid = Grid(Candidates(n, n, n, mirrored=True), torch.device("cpu"), tiling())
    walked, work = sum(tile.size for tile in grid.tiles()), 8 * torch.get_num_threads() * grid.height * grid.width
    found = [memory.streamed_bytes(n, n, d, mirrored=True) for d in (192, 191)]
    # Scores are kept of vectors of 192 numbers and more; the gradients may take more than they and the tiles.
    scratch = [work + kept + 4 * n * d for d, kept in ((192, 4 * min(walked, 2**28)), (191, 0))]
    assert found == [4 * n * d + max(tiles, 3 * 4 * n * d) for d, tiles in zip((192, 191), scratch, strict=True)]


def plainly(step, d):
    """The plain formula of a planned loss, ready to compute, as benchmarks/formulas.py has it."""
    n, c = step.n_queries, step.n_candidates
    q, k = torch.randn(n, d, requires_grad=True), torch.randn(n, d, requires_grad=step.way == "symmetric")
    if step.way == "symmetric":
        return lambda: formulas.two_products_two_cross_entropies(q, k)
    if step.way == "mirrored":
        return lambda: formulas.masked_cross_entropy(*q.split(step.batch))
    queue = torch.randn(c, d)
    return lambda: formulas.concatenated_queue(q, k, queue)


@pytest.mark.parametrize(
    ("size", "d"),
    [
        (("clip", 2048, 0), 64),  # no scores stay
        (("clip", 2048, 0), 256),  # they do
        (("simclr", 1024, 0), 128),
        (("simclr", 1024, 0), 256),
        (("moco", 256, 16384), 64),
        (("moco", 1024, 8192), 256),
    ],
)
def test_memory_is_within_15_percent_of_what_is_held(size, d):
    """Beyond inputs and gradients, of the streamed loss and of the plain formula; what counts bytes sees one thread."""
    with threads(1):
        made, step = plan(*size, d, 0.1, SPEED), planned(*size)
    gradients = 4 * d * step.n_queries * (2 if step.way == "symmetric" else 1)
    for compute, told in (
        (step.ready(d, 0.1), made.streamed_bytes),
        (plainly(step, d), made.whole_bytes),
    ):
        with Peak() as peak:
            result = compute()
            (result if isinstance(result, torch.Tensor) else result.loss()).backward()
        assert told == pytest.approx(peak.most - gradients, rel=0.15)


def test_an_encoder_counts_every_view_and_the_slow_networks_forward_alone():
    speed = EncoderSpeed(forward_and_backward=0.03, forward=0.01, kept_bytes=2.0**20)
    seconds = {}
    for system in ("clip", "simclr", "moco"):
        made = plan(system, 100, 0, 8, 0.1, SPEED, speed, memory_bytes=2**40)
        assert made.encoder is not None
        assert made.encoder.chunk == 0
        seconds[system] = made.encoder.seconds
    assert seconds == pytest.approx({"clip": 3.0, "simclr": 6.0, "moco": 8.0})


@given(batch=st.integers(2, 10**5), kept=st.floats(1e3, 1e10), room=st.integers(10**9, 10**13))
def test_a_chunk_is_asked_for_exactly_if_half_of_the_memory_is_too_little_and_fits(batch, kept, room):
    made = plan("clip", batch, 0, 8, 0.1, SPEED, EncoderSpeed(0.03, 0.01, kept), memory_bytes=room).encoder
    assert made is not None
    assert (made.chunk > 0) == (2 * batch * kept > room)
    if made.chunk:
        assert 2 <= made.chunk <= batch
        assert made.chunked_bytes <= max(room / 8, 2 * kept)
        assert made.chunked_seconds == pytest.approx(made.seconds + 0.01 * batch)


@pytest.mark.parametrize(
    ("option", "system", "arguments"),
    [
        ("batch", "moco", {"batch": 1}),
        ("batch", "graph", {"batch": 3}),
        ("queue", "moco", {"batch": 4, "queue": -1}),
        ("queue", "clip", {"batch": 4, "queue": 1}),
        ("queue", "simclr", {"batch": 4, "queue": 1}),
        ("encoder", "genomics", {"batch": 4, "encoder": "convnet"}),
    ],
)
def test_a_step_that_cannot_be_is_refused_by_name(option, system, arguments):
    with pytest.raises(InputError, match=f"`{option}` must"):
        make_plan(system, load(system).plan, PlanOptions(**arguments))


@pytest.mark.parametrize(("dim", "temperature"), [(0, 0.1), (2**15, 0.1), (8, 0.0), (8, math.nan), (8, math.inf)])
def test_a_width_or_a_temperature_that_cannot_be_is_refused_by_name(dim, temperature):
    with pytest.raises(InputError, match="`dim` must" if temperature == 0.1 else "`temperature` must"):
        plan("clip", 4, 0, dim, temperature, SPEED)
