"""Words: corpora of any size, vocabulary, phrases, word2vec's file formats, and measures of word vectors."""

from tellapart.domains.words.commands import commands, export, make_model, search
from tellapart.domains.words.corpus import Corpus, Found
from tellapart.domains.words.dataset import Dataset
from tellapart.domains.words.formats import read_vectors, write_vectors
from tellapart.domains.words.gather import gather
from tellapart.domains.words.network import WordVectors
from tellapart.domains.words.options import WordOptions
from tellapart.domains.words.phrases import Phrases
from tellapart.domains.words.taken import final
from tellapart.domains.words.texts import mean_vectors, true_word_first
from tellapart.domains.words.tokens import Tokens
from tellapart.domains.words.training import KernelStep, Text, Unseen, check_trainer
from tellapart.domains.words.vocabulary import Vocabulary

__all__ = [
    "Corpus",
    "Dataset",
    "Found",
    "KernelStep",
    "Phrases",
    "Text",
    "Tokens",
    "Unseen",
    "Vocabulary",
    "WordOptions",
    "WordVectors",
    "check_trainer",
    "commands",
    "export",
    "final",
    "gather",
    "make_model",
    "mean_vectors",
    "read_vectors",
    "search",
    "true_word_first",
    "write_vectors",
]
