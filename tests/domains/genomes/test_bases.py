"""The alphabet of DNA against IUPAC's table of the bases of each letter, written out."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tellapart.domains.genomes.bases import (
    LETTERS,
    UNKNOWN,
    decode,
    encode,
    lengths,
    padded,
    reverse_complement,
    shares,
)

# NC-IUB 1985, table 1, and the complements of table 2.
MEANINGS = {
    "A": "A",
    "C": "C",
    "G": "G",
    "T": "T",
    "R": "AG",
    "Y": "CT",
    "S": "CG",
    "W": "AT",
    "K": "GT",
    "M": "AC",
    "B": "CGT",
    "D": "AGT",
    "H": "ACT",
    "V": "ACG",
    "N": "ACGT",
}
COMPLEMENTS = dict(zip("ACGTRYSWKMBDHVN", "TGCAYRSWMKVHDBN", strict=True))
SEQUENCES = st.text("".join(MEANINGS), min_size=1, max_size=40)


def as_reads(*texts):
    return padded([encode(text) for text in texts])


@pytest.mark.parametrize("letter", MEANINGS)
def test_each_letter_is_shared_equally_among_its_bases(letter):
    expected = [("ACGT"[i] in MEANINGS[letter]) / len(MEANINGS[letter]) for i in range(4)]
    assert shares(as_reads(letter))[0, 0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("letter", MEANINGS)
def test_each_letter_has_its_complement_which_is_that_of_its_bases(letter):
    assert decode(reverse_complement(as_reads(letter))[0]) == COMPLEMENTS[letter]
    assert {COMPLEMENTS[base] for base in MEANINGS[letter]} == set(MEANINGS[COMPLEMENTS[letter]])


def test_no_base_is_no_share_of_any():
    assert shares(torch.zeros(1, 3, dtype=torch.uint8)).tolist() == [[[0.0] * 4] * 3]


@given(st.lists(SEQUENCES, min_size=1, max_size=5))
def test_the_reverse_complement_of_a_batch_is_that_of_each_read_alone(texts):
    reads = as_reads(*texts)
    turned = reverse_complement(reads)
    for row, text in zip(turned, texts, strict=True):
        expected = "".join(COMPLEMENTS[letter] for letter in reversed(text))
        assert decode(row) == expected.ljust(reads.shape[1], "-")
    assert torch.equal(reverse_complement(turned), reads)
    assert lengths(reads).tolist() == [len(text) for text in texts]


@given(SEQUENCES)
def test_small_letters_and_rna_are_the_same_bases(text):
    assert np.array_equal(encode(text), encode(text.lower()))
    assert np.array_equal(encode(text), encode(text.replace("T", "U")))
    assert decode(torch.from_numpy(encode(text.lower()))) == text


@given(st.characters())
def test_every_other_character_is_unknown(character):
    known = character.upper() in [*MEANINGS, "U"] and character.isascii()
    assert (encode(character)[0] != UNKNOWN) == known


def test_letters_are_numbered_by_their_bits():
    for bits, letter in enumerate(LETTERS[1:], 1):
        assert "".join("ACGT"[i] for i in range(4) if bits >> i & 1) == MEANINGS[letter]
