"""Tokenise sentences into pieces of words, with a vocabulary learned from the data."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tellapart.domains.text.ragged import Ragged
from tellapart.errors import InputError

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_MISSING = "the package {} is missing. pip install 'tellapart[transformers]'."


class WordPieces:
    """A tokeniser of the library `tokenizers`, which truncates sentences.

    Args:
        definition: the tokeniser, as the library's JSON.
        longest: the largest number of tokens of a sentence; the rest is not read.

    Raises:
        InputError: `tokenizers` is missing, or the definition is invalid, or lacks [PAD], [UNK] or [MASK].
    """

    def __init__(self, definition: str, longest: int) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise InputError(_MISSING.format(error.name)) from error
        try:
            self._tokenizer: Any = Tokenizer.from_str(definition)
        except Exception as error:  # the library raises nothing more precise
            raise InputError(f"tokenizer.json: no tokeniser, {error}. Make it anew.") from error
        self.longest = longest
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(longest)
        found: dict[str, int | None] = {name: self._tokenizer.token_to_id(name) for name in _SPECIAL}
        ids = {name: number for name, number in found.items() if number is not None}
        for name in ("[PAD]", "[UNK]", "[MASK]"):
            if name not in ids:
                raise InputError(f"tokenizer.json: has no token {name}. Take one of BERT's kind.")
        self.pad, self.unknown, self.mask = ids["[PAD]"], ids["[UNK]"], ids["[MASK]"]
        self.special = sorted(ids.values())
        self.added = [number for number in self.special if number != self.unknown]

    def __len__(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def read(self, texts: Sequence[str]) -> Ragged:
        """The tokens of texts; a text without tokens gets a single unknown token."""
        tokens, lengths = array("i"), array("q")
        for encoding in self._tokenizer.encode_batch(list(texts)):
            found = encoding.ids or [self.unknown]
            tokens.extend(found)
            lengths.append(len(found))
        return Ragged((torch.from_numpy(np.array(tokens)),), torch.from_numpy(np.array(lengths)))

    def as_fast_tokenizer(self) -> Any:
        """The same as a tokeniser of `transformers`."""
        from transformers import PreTrainedTokenizerFast

        special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
        return PreTrainedTokenizerFast(tokenizer_object=self._tokenizer, model_max_length=self.longest, **special)

    def strings(self) -> list[str]:
        """All pieces, by their numbers."""
        return [str(self._tokenizer.id_to_token(number)) for number in range(len(self))]

    @staticmethod
    def file_of(folder: str) -> str:
        """The tokeniser of a folder written by `save_pretrained`, as JSON.

        Raises:
            InputError: there is none.
        """
        path = Path(folder) / "tokenizer.json"
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: missing or damaged. Save the model's fast tokeniser beside it.") from error

    @staticmethod
    def learn(texts: Iterable[str], size: int) -> str:
        """Learn a tokeniser with about `size` pieces of words from texts, without case; returns its JSON.

        It is byte-pair encoding, because the library's WordPiece does not give the same vocabulary each time.

        Raises:
            InputError: `tokenizers` is missing.

        Source: Sennrich et al. 2016, §3.2.

        >>> pieces = WordPieces(WordPieces.learn(["a cat and a dog"] * 5, 60), longest=4)
        >>> pieces.read(["A cat", "", "a dog and a cat"]).lengths.tolist()
        [2, 1, 4]
        """
        try:
            from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
        except ImportError as error:
            raise InputError(_MISSING.format(error.name)) from error
        tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
        parts = [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
        trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(_SPECIAL), show_progress=False)
        tokenizer.train_from_iterator(texts, trainer)
        return str(tokenizer.to_str())
