"""Sentences and their translations, from two aligned text files, a table or a translation memory."""

from tellapart.data.translations.load import load_sentences, load_translations
from tellapart.data.translations.translations import Translations, fingerprint_of

__all__ = ["Translations", "fingerprint_of", "load_sentences", "load_translations"]
