"""Words: corpora of any size, vocabulary, phrases, word2vec's file formats, and measures of word vectors."""

from tellapart.domains.words.corpus import Corpus, Found
from tellapart.domains.words.formats import read_vectors, write_vectors
from tellapart.domains.words.gather import gather
from tellapart.domains.words.phrases import Phrases
from tellapart.domains.words.tokens import Tokens
from tellapart.domains.words.vocabulary import Vocabulary

__all__ = [
    "Corpus",
    "Found",
    "Phrases",
    "Tokens",
    "Vocabulary",
    "gather",
    "read_vectors",
    "write_vectors",
]
