"""The first vectors of word pieces, from their letters."""

import torch

from tellapart.domains.text.spelling import Spelling


def test_pieces_that_are_spelled_alike_begin_alike():
    torch.manual_seed(0)
    vectors = Spelling(["▁document", "▁documents", "▁parliament", "x"], 2**12, 64)(torch.arange(4))
    cosines = torch.nn.functional.cosine_similarity(vectors[:1], vectors[1:])
    assert cosines[0] > 0.7
    assert cosines[1:].abs().max() < 0.4
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4), rtol=0.25, atol=0)
