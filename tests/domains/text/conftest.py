"""Texts in several scripts, and the tokeniser learned from them."""

import pytest

from tellapart.domains.text import WordPieces

TEXTS = ["The cat sits.", "le chat", "", "x", "小猫 坐", "a cat and a dog and a bird " * 3, "Ⅻ ﬁsh"]


@pytest.fixture(scope="session")
def definition():
    return WordPieces.learn(TEXTS * 5, 120)
