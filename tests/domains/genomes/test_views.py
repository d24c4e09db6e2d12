"""Reads: taken from where they should be, wrong as often as they should be, and near one another."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.domains.genomes import Places, from_either_strand, neighbours, piece_length, sequenced, simulate
from tellapart.domains.genomes.bases import decode, encode, lengths, reverse_complement

SEEDS = st.integers(0, 2**32 - 1)


def genome(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (1 << torch.randint(0, 4, (n,), generator=generator)).to(torch.uint8)


def whole(bases, n=1):
    return torch.zeros(n, dtype=torch.int64), torch.full((n,), len(bases))


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 30)), min_size=1, max_size=6))
def test_without_errors_a_read_is_its_stretch_and_ends_where_that_does(wanted):
    bases = genome(100)
    begin, length = (torch.tensor(column) for column in zip(*wanted, strict=True))
    found = sequenced(bases, Places(begin, length), torch.full((len(wanted),), 100))
    for row, (first, size) in zip(found, wanted, strict=True):
        assert decode(row).rstrip("-") == decode(bases[first : min(first + size, 100)])


@pytest.mark.parametrize("rate", [0.01, 0.2, 1.0])
def test_bases_are_exchanged_as_often_as_asked(rate):
    n, length = 400, 500
    bases = genome(length)
    torch.manual_seed(0)
    places = Places(torch.zeros(n, dtype=torch.int64), torch.full((n,), length))
    found = sequenced(bases, places, torch.full((n,), length), error_rate=rate)
    assert torch.isin(found, torch.tensor([1, 2, 4, 8], dtype=torch.uint8)).all()
    wrong = (found != bases).double().mean().item()
    assert wrong == pytest.approx(rate, abs=4 * (rate * (1 - rate) / (n * length)) ** 0.5)


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_bases_are_inserted_and_left_out_as_often_as_asked(rate):
    """In a genome of ambiguous bases alone, what is single was inserted, and what follows tells what was left out."""
    n, length = 50, 400
    codes = torch.tensor([code for code in range(1, 16) if code not in (1, 2, 4, 8)], dtype=torch.uint8)
    bases = codes.repeat(100)
    torch.manual_seed(0)
    places = Places(torch.zeros(n, dtype=torch.int64), torch.full((n,), length))
    found = sequenced(bases, places, torch.full((n,), len(bases)), error_rate=rate, indels=1.0)
    single = torch.isin(found, torch.tensor([1, 2, 4, 8], dtype=torch.uint8))
    total, sigma = n * length, (n * length * rate / 2) ** 0.5
    assert abs(int(single.sum()) - total * rate / 2) < 4 * sigma
    left_out = 0
    for read, inserted in zip(found, single, strict=True):
        place = torch.searchsorted(codes, read[~inserted])
        step = place.diff() % len(codes)
        assert set(step.tolist()) <= {1, 2}
        left_out += int((step == 2).sum())
    assert abs(left_out - total * rate / 2) < 4 * sigma


def test_a_substituted_base_is_any_of_the_other_three_alike():
    bases = torch.full((3000,), 4, dtype=torch.uint8)
    torch.manual_seed(1)
    found = sequenced(bases, Places(torch.tensor([0]), torch.tensor([3000])), torch.tensor([3000]), error_rate=1.0)
    counts = torch.bincount(found.flatten().int(), minlength=9)[[1, 2, 4, 8]]
    assert counts[2] == 0
    assert (counts[[0, 1, 3]] - 1000).abs().max() < 4 * (3000 * 2 / 9) ** 0.5


def test_an_ambiguous_base_becomes_another_as_ambiguous():
    bases = torch.from_numpy(encode("NRB" * 50))
    found = sequenced(bases, Places(*whole(bases)), whole(bases)[1], error_rate=1.0)
    bits = [bin(x).count("1") for x in found[0].tolist()]
    assert bits == [4, 2, 3] * 50


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 2000), st.floats(0, 1)), min_size=1, max_size=8),
    st.integers(1, 300),
    st.integers(0, 800),
    SEEDS,
)
def test_neighbours_lie_in_their_stretch_and_begin_within_the_window(rows, length, window, seed):
    start, size, share = (torch.tensor(column) for column in zip(*rows, strict=True))
    torch.manual_seed(seed)
    first, second = neighbours(start, start + size, share.double(), length, window)
    for places in (first, second):
        assert (places.begin >= start).all()
        assert (places.begin + places.length <= start + size).all()
        assert torch.equal(places.length, piece_length(size, length))
    apart = (first.begin - second.begin).abs()
    assert (apart <= (first.length // 2).clamp(min=window)).all()
    if window == 0:
        assert (apart <= first.length / 2).all()  # they overlap


def test_a_short_sequence_is_read_in_two_different_pieces_that_overlap():
    n = 20_000
    start, stop = torch.zeros(n, dtype=torch.int64), torch.full((n,), 100)
    torch.manual_seed(0)
    first, second = neighbours(start, stop, torch.rand(n, dtype=torch.float64), length=150, window=5000)
    assert set(first.length.tolist()) == {60}
    apart = (first.begin - second.begin).abs()
    assert apart.max() == 40  # from one end to the other: 20 in common
    assert (apart == 0).double().mean() < 0.1


def test_first_places_are_spread_evenly_and_second_ones_over_the_window():
    n = 20_000
    start, stop = torch.zeros(n, dtype=torch.int64), torch.full((n,), 1000)
    torch.manual_seed(0)
    first, second = neighbours(start, stop, torch.rand(n, dtype=torch.float64), length=100, window=50)
    counts = torch.histc(first.begin.double(), 9, 0, 901)
    assert (counts - n / 9).abs().max() < 4.5 * (n / 9) ** 0.5
    inside = (first.begin >= 50) & (first.begin <= 850)
    apart = (second.begin - first.begin)[inside]
    counts = torch.bincount(apart + 50, minlength=101).double()
    expected = int(inside.sum()) / 101
    assert (counts - expected).abs().max() < 5 * expected**0.5


def test_either_strand_is_each_half_of_the_time_and_nothing_else():
    reads = torch.from_numpy(encode("AACGTA")).repeat(2000, 1)
    torch.manual_seed(0)
    found = from_either_strand(reads)
    turned = (found == reverse_complement(reads)).all(dim=1)
    assert ((found == reads).all(dim=1) ^ turned).all()
    assert abs(int(turned.sum()) - 1000) < 4 * 500**0.5


@given(st.lists(st.integers(1, 60), min_size=1, max_size=5), st.integers(1, 40), SEEDS)
def test_simulated_reads_are_where_they_say_on_the_strand_they_say(sizes, length, seed):
    bases = genome(sum(sizes))
    stop = torch.tensor(sizes).cumsum(0)
    start = stop - torch.tensor(sizes)
    if length > max(sizes):
        with pytest.raises(ValueError, match=rf"`length` must lie between 1 and {max(sizes)}"):
            simulate(bases, start, stop, 5, length, seed=seed)
        return
    made = simulate(bases, start, stop, 20, length, seed=seed)
    assert (made.begin >= start[made.row]).all()
    assert (made.begin + length <= stop[made.row]).all()
    for read, begin, reverse in zip(made.reads, made.begin, made.reverse, strict=True):
        expected = bases[begin : begin + length][None]
        assert torch.equal(read, (reverse_complement(expected) if reverse else expected)[0])


def test_all_places_are_equally_likely_and_the_strand_is_the_one_asked_for():
    bases = genome(200)
    start, stop = torch.tensor([0, 50]), torch.tensor([50, 200])
    made = simulate(bases, start, stop, 20_000, 40, seed=5)
    counts = torch.bincount(made.begin, minlength=200)[[*range(11), *range(50, 161)]].double()
    assert counts.sum() == 20_000
    assert (counts - 20_000 / 122).abs().max() < 5 * (20_000 / 122) ** 0.5
    assert abs(int(made.reverse.sum()) - 10_000) < 4 * 5000**0.5
    for strand, expected in (("forward", 0), ("reverse", 50)):
        assert int(simulate(bases, start, stop, 50, 40, strand=strand, seed=5).reverse.sum()) == expected


def test_the_seed_decides_the_reads_and_no_other_randomness_is_touched():
    bases = genome(500)
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    one, again, other = (simulate(bases, *whole(bases), 9, 50, error_rate=0.1, seed=s).reads for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(("name", "value"), [("error_rate", -0.1), ("error_rate", 1.5), ("indels", float("nan"))])
def test_a_rate_out_of_range_is_refused_by_name(name, value):
    bases = genome(50)
    with pytest.raises(ValueError, match=f"`{name}` must lie in"):
        simulate(bases, *whole(bases), 3, 10, **{name: value})


def test_an_unknown_strand_is_refused():
    bases = genome(50)
    with pytest.raises(ValueError, match="`strand` must be one of"):
        simulate(bases, *whole(bases), 3, 10, strand="both")


def test_a_read_with_deletions_at_the_end_of_its_stretch_has_fewer_bases():
    bases = genome(60)
    torch.manual_seed(0)
    places = Places(torch.zeros(200, dtype=torch.int64), torch.full((200,), 60))
    found = sequenced(bases, places, torch.full((200,), 60), error_rate=0.5, indels=1.0)
    sizes = lengths(found)
    assert int(sizes.min()) < 60 == int(sizes.max())
    padding = torch.arange(60) >= sizes[:, None]
    assert (found[padding] == 0).all()
