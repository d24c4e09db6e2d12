"""Sentences and translations: text files, tables and TMX, text encoders, retrieval in pools."""

from tellapart.domains.text.agreement import agreement
from tellapart.domains.text.batch import Batch, Reading, ReadPairs
from tellapart.domains.text.commands import as_sentences, commands_for, score
from tellapart.domains.text.dataset import Dataset
from tellapart.domains.text.encoder import Bag, make_encoder
from tellapart.domains.text.load import load_sentences, load_translations
from tellapart.domains.text.ngram_bag import NgramBag, hashed
from tellapart.domains.text.options import SentenceOptions
from tellapart.domains.text.pools import found_first, in_pools
from tellapart.domains.text.pretrained_text import PretrainedText
from tellapart.domains.text.ragged import Ragged
from tellapart.domains.text.tensors import text_encoder
from tellapart.domains.text.tfidf import character_tfidf
from tellapart.domains.text.transformer import Transformer
from tellapart.domains.text.translations import Translations, fingerprint_of
from tellapart.domains.text.unread import Unread, sentences_of
from tellapart.domains.text.wordpieces import WordPieces

__all__ = [
    "Bag",
    "Batch",
    "Dataset",
    "NgramBag",
    "PretrainedText",
    "Ragged",
    "ReadPairs",
    "Reading",
    "SentenceOptions",
    "Transformer",
    "Translations",
    "Unread",
    "WordPieces",
    "agreement",
    "as_sentences",
    "character_tfidf",
    "commands_for",
    "fingerprint_of",
    "found_first",
    "hashed",
    "in_pools",
    "load_sentences",
    "load_translations",
    "make_encoder",
    "score",
    "sentences_of",
    "text_encoder",
]
