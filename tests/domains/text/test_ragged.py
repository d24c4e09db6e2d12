"""Sequences of different lengths, end to end."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart.domains.text import Ragged


@given(st.lists(st.lists(st.integers(0, 99), max_size=5), min_size=1, max_size=6), st.data())
def test_rows_of_ragged_sequences_are_those_sequences(sequences, data):
    flat = torch.tensor([x for sequence in sequences for x in sequence], dtype=torch.long)
    ragged = Ragged((flat, 2 * flat), torch.tensor(list(map(len, sequences))))
    index = data.draw(st.lists(st.integers(0, len(sequences) - 1), min_size=1, max_size=8))
    picked = ragged.rows(torch.tensor(index))
    assert [part.tolist() for part in picked.columns[0].split(picked.lengths.tolist())] == [sequences[i] for i in index]
    assert torch.equal(picked.columns[1], 2 * picked.columns[0])
    assert picked.owners().tolist() == [place for place, i in enumerate(index) for _ in sequences[i]]
    padded, real = picked.padded(filler=-1)
    assert [row[keep].tolist() for row, keep in zip(padded, real, strict=True)] == [sequences[i] for i in index]
    assert (padded[~real] == -1).all()
