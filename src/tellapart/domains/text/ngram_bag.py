"""Embed texts by hashed words and character n-grams, in any script, without a vocabulary or a tokeniser."""

from __future__ import annotations

import unicodedata
import zlib
from array import array
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from tellapart.domains.text.ragged import Ragged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from jaxtyping import Float, Int

_LENGTHS = (3, 4, 5)


def ngrams(text: str) -> list[list[str]]:
    """The words of a text, each as the whole word with its ends marked, and its character n-grams (3 to 5).

    In scripts without case, many of which put no space between words, single letters are added. A text without words
    is the empty word.

    Source: Bojanowski et al. 2017 (fastText), §3.2.

    >>> ngrams("a Cat")
    [['<a>'], ['<cat>', '<ca', 'cat', 'at>', '<cat', 'cat>']]
    >>> ngrams("猫")
    [['<猫>', '猫']]
    """
    words = unicodedata.normalize("NFKC", text).casefold().split() or [""]
    return [_pieces(word) for word in words]


def _pieces(word: str) -> list[str]:
    marked = f"<{word}>"
    pieces = [marked[i : i + n] for n in _LENGTHS if n < len(marked) for i in range(len(marked) - n + 1)]
    return [marked, *pieces, *(letter for letter in word if unicodedata.category(letter) == "Lo")]


def hashed(texts: Iterable[str], buckets: int) -> Ragged:
    """The buckets of all n-grams of each text (CRC-32 modulo `buckets`), and the inverse squares of their weights.

    One of n n-grams of one of w words has weight 1 / (w·√n), so the second column is w²·n.

    >>> bags = hashed(["a cat", "a"], 100)
    >>> bags.lengths.tolist(), bags.columns[1].tolist()
    ([7, 1], [4, 24, 24, 24, 24, 24, 24, 1])
    """
    of_word = _hashing(buckets)
    ids, squares, lengths = array("i"), array("q"), array("q")
    for text in texts:
        words = [of_word(word) for word in unicodedata.normalize("NFKC", text).casefold().split() or [""]]
        for pieces in words:
            ids += pieces
            squares.extend([len(words) ** 2 * len(pieces)] * len(pieces))
        lengths.append(sum(map(len, words)))
    columns = [torch.from_numpy(np.array(column)) for column in (ids, squares, lengths)]
    return Ragged((columns[0], columns[1]), columns[2])


@lru_cache(4)
def _hashing(buckets: int) -> Callable[[str], array[int]]:
    """What hashes the n-grams of a word, and remembers the last words: batches that are read one by one share them."""

    @lru_cache(2**16)
    def of_word(word: str) -> array[int]:
        return array("i", [zlib.crc32(piece.encode("utf-8", "surrogatepass")) % buckets for piece in _pieces(word)])

    return of_word


class NgramBag(nn.Module):
    """Texts to embeddings through the vectors v of hashed n-grams, then a linear layer:

        embedding = head( mean over words of Σ over the word's n n-grams of v / √n )

    The vectors of n-grams are random at first, with a length of about 1, so that a word's vector has a length of about
    1, too. The mean of its n-grams would be shorter for longer words, though these distinguish texts best. Two n-grams
    share a vector if their hashes agree: see `hashed`.

    In training a random share `dropout` of a text's n-grams is left out, and the rest is scaled up. If none is left,
    the sum is zero.

    Args:
        dim: length of the embeddings.
        buckets: the number of vectors.
        width: the length of the vectors.
        dropout: the share of n-grams left out.
        head: whether there is a linear layer; without it `width` has to be `dim`.
        sparse: whether gradients are sparse, with only the vectors in use; not every optimizer supports it.

    >>> NgramBag(dim=16, buckets=100, width=8)(["red fish", "", "小猫"]).shape
    torch.Size([3, 16])
    """

    def __init__(
        self, dim: int, buckets: int, width: int, dropout: float = 0.0, *, head: bool = True, sparse: bool = False
    ) -> None:
        super().__init__()
        self.ngrams = nn.EmbeddingBag(buckets, width, mode="sum", sparse=sparse)
        nn.init.normal_(self.ngrams.weight, std=width**-0.5)
        self.head = nn.Linear(width, dim) if head else nn.Identity()
        self.dropout = dropout

    def forward(self, texts: Sequence[str] | Ragged) -> Float[Tensor, "n dim"]:
        """Embed texts, or the output of `hashed`; each embedding depends on its own text only."""
        weight = self.ngrams.weight
        bags = texts if isinstance(texts, Ragged) else hashed(texts, self.ngrams.num_embeddings)
        bags = bags.to(weight.device)
        # In float32, because in bfloat16 the small weights of a long text would be lost.
        exact = torch.promote_types(weight.dtype, torch.float32)
        ids, counts = bags.columns[0].long(), bags.columns[1].to(exact).rsqrt()
        if self.training and self.dropout:
            counts = self._without_some(counts, bags.owners(), len(bags))
        summed = self.ngrams(ids, bags.starts(), per_sample_weights=counts.to(weight.dtype))
        embeddings: Tensor = self.head(summed)
        return embeddings

    def _without_some(
        self, counts: Float[Tensor, " total"], owner: Int[Tensor, " total"], n: int
    ) -> Float[Tensor, " total"]:
        """Weights with some n-grams left out at random; the rest of the same text is scaled up."""
        kept = counts * (torch.rand_like(counts) >= self.dropout)
        before = counts.new_zeros(n).index_add(0, owner, counts)
        after = counts.new_zeros(n).index_add(0, owner, kept)
        return kept * (before / torch.where(after > 0, after, 1))[owner]
