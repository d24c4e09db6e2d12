"""Prompts and answers as tokens: one BOS first, where there is such a token, and one EOS last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tellapart.domains.preferences.batch import Batch
from tellapart.domains.preferences.preferences import Preference, Preferences, Said
from tellapart.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


class Tokens:
    """How a model's tokeniser makes tokens of prompts and answers.

        BOS? prompt answer EOS

    There is one BOS if the tokeniser has one, and one EOS, whether or not the tokeniser, a chat template or the text
    adds them. What follows an EOS in an answer is dropped. Beyond `longest` tokens the end is cut off, EOS included.

    Args:
        tokenizer: of transformers.
        longest: tokens of a prompt and its answer, at most.

    Raises:
        InputError: the tokeniser has no EOS, so that no answer would end.
    """

    def __init__(self, tokenizer: Any, longest: int) -> None:
        self.tokenizer, self.longest = tokenizer, longest
        self.bos: int | None = tokenizer.bos_token_id
        if tokenizer.eos_token_id is None:
            raise InputError("model: its tokeniser has no EOS, the token that ends an answer. Give it one.")
        self.eos = int(tokenizer.eos_token_id)

    def prompt(self, prompt: Said, place: str = "prompt") -> list[int]:
        """The tokens of a prompt.

        Raises:
            InputError: messages without a chat template; no token at all, from which the answer would follow.
        """
        return self._begun(self._encode(self._as_text(place, prompt)), place)

    def answer(self, prompt: Said, answer: Said, place: str) -> tuple[list[int], list[int]]:
        """The tokens of a prompt and those of an answer to it; the end of the answer may be cut off.

        Raises:
            InputError: nothing of the answer would be left.
        """
        before = self._as_text(place, prompt)
        if isinstance(answer, str):
            text = answer
        else:
            assert isinstance(prompt, list)
            whole = self._as_text(place, [*prompt, *answer], answered=True)
            if not whole.startswith(before):
                raise InputError(f"{place}: the chat template changes the prompt when an answer follows.")
            text = whole[len(before) :]
        first, both = self._encode(before), self._encode(before + text)
        # Tokens may run across the place where the answer begins; then both parts are made apart.
        rest = both[len(first) :] if both[: len(first)] == first else self._encode(text)
        ended = [*rest[: rest.index(self.eos) if self.eos in rest else len(rest)], self.eos]
        begun = self._begun(first, place)
        cut = ended[: max(0, self.longest - len(begun))]
        if not cut:
            what = f"the prompt has {len(begun)} tokens, so nothing of the answer is left of {self.longest}"
            raise InputError(f"{place}: {what}. Raise --longest, or shorten or remove the row.")
        return begun, cut

    def text(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without special ones."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def sequence(self, text: str) -> list[int]:
        """A line of text with BOS and EOS, to learn to write from."""
        return [*self._begun(self._encode(text), text[:40]), self.eos][: self.longest]

    def _begun(self, tokens: list[int], place: str) -> list[int]:
        if self.bos is None:
            if not tokens:
                raise InputError(f"{place}: the prompt is empty, and the tokeniser has no BOS to begin with.")
            return tokens
        start = next((i for i, token in enumerate(tokens) if token != self.bos), len(tokens))
        return [self.bos, *tokens[start:]]

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _as_text(self, place: str, said: Said, *, answered: bool = False) -> str:
        if isinstance(said, str):
            return said
        if self.tokenizer.chat_template is None:
            raise InputError(f"{place}: messages, but the tokeniser has no chat template. Give strings.")
        try:
            return str(self.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=not answered))
        except Exception as error:  # templates are programs, and refuse what they do not expect in their own ways
            raise InputError(f"{place}: the chat template refuses the messages, {error}.") from error


@dataclass(frozen=True, eq=False)
class Answers:
    """All answers to a list of prompts as tokens, row by row, the chosen one of each row first."""

    tokens: list[Int[Tensor, " length"]]
    """Prompt and answer."""
    begins: Int[Tensor, " total"]
    """Where the answer begins."""
    counts: Int[Tensor, " n"]
    """The answers to each prompt."""
    places: list[str]
    scores: list[tuple[float, ...]] | None
    n_cut: int
    """The number of answers with their ends cut off."""

    @classmethod
    def of(cls, preferences: Preferences, tokens: Tokens) -> Answers:
        """All answers, as a model reads them.

        Raises:
            InputError: nothing of an answer would be left.
        """
        sequences, begins, n_cut = [], [], 0
        for row in preferences.rows:
            for answer in row.answers:
                before, after = tokens.answer(row.prompt, answer, row.place)
                sequences.append(torch.tensor([*before, *after]))
                begins.append(len(before))
                n_cut += after[-1] != tokens.eos
        counts = torch.tensor([len(row.answers) for row in preferences.rows])
        places = [row.place for row in preferences.rows]
        return cls(sequences, torch.tensor(begins), counts, places, _scores_of(preferences.rows), n_cut)

    def __len__(self) -> int:
        return len(self.counts)

    def lengths(self) -> Int[np.ndarray, " n"]:
        """Tokens of each prompt and all its answers."""
        each = torch.tensor([len(sequence) for sequence in self.tokens])
        return torch.zeros_like(self.counts).index_add(0, self._owners(), each).numpy()

    def rows(self, index: Int[Tensor, " k"], reference: Float[Tensor, " total"] | None = None) -> Batch:
        """The answers to the prompts at these rows, with their log-probabilities under the reference."""
        starts = (self.counts.cumsum(0) - self.counts)[index]
        counts = self.counts[index]
        which = torch.cat([torch.arange(s, s + c) for s, c in zip(starts.tolist(), counts.tolist(), strict=True)])
        batch = self.at(which, counts)
        batch.reference = None if reference is None else reference[which]
        if self.scores is not None:
            batch.scores = torch.tensor([score for row in index.tolist() for score in self.scores[row]])
        return batch

    def at(self, which: Int[Tensor, " r"], counts: Int[Tensor, " k"] | None = None) -> Batch:
        """Single answers."""
        chosen = [self.tokens[i] for i in which.tolist()]
        return Batch.of(chosen, self.begins[which], torch.ones_like(which) if counts is None else counts)

    def _owners(self) -> Int[Tensor, " total"]:
        return torch.arange(len(self)).repeat_interleave(self.counts)


def _scores_of(rows: list[Preference]) -> list[tuple[float, ...]] | None:
    found = [row.scores for row in rows if row.scores is not None]
    return found if len(found) == len(rows) else None
