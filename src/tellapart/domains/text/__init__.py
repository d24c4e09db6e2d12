"""Sentences and translations: text files, tables and TMX, text encoders, retrieval in pools."""

from tellapart.domains.text.batch import Batch, Reading
from tellapart.domains.text.encoder import Bag, make_encoder
from tellapart.domains.text.load import load_sentences, load_translations
from tellapart.domains.text.ngram_bag import NgramBag, hashed
from tellapart.domains.text.options import SentenceOptions
from tellapart.domains.text.pools import found_first, in_pools
from tellapart.domains.text.ragged import Ragged
from tellapart.domains.text.study import Study
from tellapart.domains.text.tfidf import character_tfidf
from tellapart.domains.text.transformer import Transformer
from tellapart.domains.text.translations import Translations, fingerprint_of
from tellapart.domains.text.use import Uses
from tellapart.domains.text.wordpieces import WordPieces

__all__ = [
    "Bag",
    "Batch",
    "NgramBag",
    "Ragged",
    "Reading",
    "SentenceOptions",
    "Study",
    "Transformer",
    "Translations",
    "Uses",
    "WordPieces",
    "character_tfidf",
    "fingerprint_of",
    "found_first",
    "hashed",
    "in_pools",
    "load_sentences",
    "load_translations",
    "make_encoder",
]
