"""Word pieces."""

import pytest

from tellapart import InputError
from tellapart.domains.text import WordPieces
from tests.domains.text.conftest import TEXTS


def test_word_pieces_give_every_text_a_token_and_go_by_no_case(definition):
    pieces = WordPieces(definition, 16)
    read = pieces.read(TEXTS)
    assert (read.lengths >= 1).all()
    assert int(read.columns[0].max()) < len(pieces)
    assert pieces.read(["THE CAT"]).columns[0].tolist() == pieces.read(["the cat"]).columns[0].tolist()
    assert not set(pieces.read(["the cat sits"]).columns[0].tolist()) & set(pieces.special)


@pytest.mark.parametrize("broken", ["", "{}", "no json"])
def test_what_is_no_tokeniser_is_refused(broken):
    with pytest.raises(InputError, match="no tokeniser"):
        WordPieces(broken, 16)
