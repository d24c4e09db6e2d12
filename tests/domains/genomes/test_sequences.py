"""Sequences and the regions they are cut into: nothing twice, nothing lost, nothing on both sides."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart import InputError
from tellapart.domains.genomes import Regions, load_sequences, split_regions
from tellapart.domains.genomes.bases import decode


def sequences(lengths, labels):
    stop = torch.tensor(lengths).cumsum(0)
    start = stop - torch.tensor(lengths)
    n = max(labels) + 1
    bases = torch.ones(int(stop[-1]), dtype=torch.uint8)
    return Regions(bases, start, stop, torch.arange(len(lengths)), torch.tensor(labels), list("abcdefgh"), ["x"] * n)


def write(path, *texts):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f">{path.name}{i}\n{text}\n" for i, text in enumerate(texts)))


def text(found, row):
    return decode(found.bases[found.start[row] : found.stop[row]])


def test_every_record_is_a_region_labelled_by_its_subfolder_or_its_file(tmp_path):
    write(tmp_path / "coli" / "K-12.fa", "AACC", "GG")
    write(tmp_path / "coli" / "deep" / "536.fa", "TTT")
    write(tmp_path / "aureus.fasta", "ACGTN")
    found = load_sequences(str(tmp_path))
    assert found.classes == ["aureus", "coli"]
    assert found.names == ["aureus.fasta0", "K-12.fa0", "K-12.fa1", "536.fa0"]
    assert [text(found, row) for row in range(4)] == ["ACGTN", "AACC", "GG", "TTT"]
    assert found.label.tolist() == [0, 1, 1, 1]
    assert found.sequence.tolist() == [0, 1, 2, 3]


def test_a_single_file_has_one_label(tmp_path):
    write(tmp_path / "x.fa", "AC", "GT")
    found = load_sequences(str(tmp_path / "x.fa"))
    assert (found.classes, found.label.tolist()) == (["x"], [0, 0])


def test_the_fingerprint_tells_bases_names_and_labels_apart(tmp_path):
    made = []
    for number, (name, letters) in enumerate([("a.fa", "ACGT"), ("a.fa", "ACGA"), ("b.fa", "ACGT")]):
        write(tmp_path / str(number) / name, letters, "AA")
        made.append(load_sequences(str(tmp_path / str(number))).fingerprint())
    assert len(set(made)) == 3
    assert made[0] == load_sequences(str(tmp_path / "0")).fingerprint()


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 2)), min_size=2, max_size=8),
    st.floats(0.01, 0.99),
    st.integers(0, 100),
    st.integers(1, 300),
)
def test_parts_have_every_base_once_and_none_is_on_both_sides(rows, share, seed, least):
    lengths, labels = zip(*rows, strict=True)
    whole = sequences(lengths, labels)
    try:
        sides = split_regions(whole, share, seed, least)
    except InputError:
        assert all(length < 2 * least for length in lengths)
        return
    taken = np.zeros(len(whole.bases), dtype=int)
    for side in sides:
        assert len(side)
        for start, stop, sequence, label in zip(side.start, side.stop, side.sequence, side.label, strict=True):
            taken[start:stop] += 1
            assert whole.start[sequence] <= start < stop <= whole.stop[sequence]
            assert label == whole.label[sequence]
            assert stop - start >= min(least, whole.lengths()[sequence])
    assert (taken == 1).all()


def test_every_label_gives_up_its_share_and_keeps_the_rest():
    whole = sequences([4_000_000, 1_600_000, 50_000], [0, 1, 2])
    training, test = split_regions(whole, 0.25, seed=3, least=1000)
    for label, size in enumerate([4_000_000, 1_600_000, 50_000]):
        out = int(test.lengths()[test.label == label].sum())
        region = int(training.lengths().max())
        assert size / 4 <= out <= size / 4 + region
    assert int(training.lengths().max()) < 200_000


def test_reads_stay_whole():
    whole = sequences([150] * 8, [0] * 8)
    training, test = split_regions(whole, 0.25, seed=0, least=10_000)
    assert sorted(training.sequence.tolist() + test.sequence.tolist()) == list(range(8))
    assert len(test) == 2


def test_the_seed_decides_what_is_held_out():
    whole = sequences([100_000, 100_000], [0, 1])
    one, again, other = (split_regions(whole, 0.2, seed, 100)[1].start.tolist() for seed in (0, 0, 1))
    assert one == again != other


def test_a_single_short_sequence_cannot_be_divided():
    with pytest.raises(InputError, match="1 sequence of 150 bases, too little to hold a part out"):
        split_regions(sequences([150], [0]), 0.2, 0, 100)
