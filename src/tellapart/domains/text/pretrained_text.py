"""Embed texts by a model of `transformers` from a local folder."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from tellapart.domains.text.ragged import Ragged, mean_over
from tellapart.errors import InputError
from tellapart.pretrained import load_pretrained

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_LONGEST = 512
_TRIAL = "a text"


class PretrainedText(nn.Module):
    """Texts to the mean over their tokens' last states, by any model of tokens that `AutoModel` reads.

    Args:
        folder: written by `save_pretrained`, the model's weights as safetensors, and its tokeniser.

    Shapes: a list of n texts, or what `read` makes of them, to `Float[Tensor, "n dim"]`; `dim` is an attribute.

    Raises:
        InputError: `transformers` is missing; no such model or tokeniser; or a model of other things than tokens.

    Source: mean pooling: Reimers & Gurevych 2019 (Sentence-BERT), §3.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.model, self.tokenizer = load_pretrained(Path(folder), "AutoModel", "text model", "transformers")
        room = (int(getattr(self.model.config, "max_position_embeddings", _LONGEST)), self.tokenizer.model_max_length)
        self.longest = min(_LONGEST, *room)
        self.pad = int(self.tokenizer.pad_token_id or 0)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_("pooler" not in name)  # an unused pooler never gets a gradient
        try:
            with torch.no_grad():
                self.dim = int(self.eval()([_TRIAL]).shape[1])
        except Exception as error:  # there are as many ways to fail as there are models
            said = " ".join(str(error).split())[:200]
            raise InputError(f"{folder}: does not embed tokens of a text: {said}") from error
        self.train()

    def read(self, texts: Sequence[str]) -> Ragged:
        """The tokens of texts; a text without tokens gets one of padding, so that it has a mean."""
        found = self.tokenizer(list(texts), truncation=True, max_length=self.longest)["input_ids"]
        tokens, lengths = array("q"), array("q")
        for numbers in found:
            tokens.extend(numbers or [self.pad])
            lengths.append(max(1, len(numbers)))
        return Ragged((torch.from_numpy(np.array(tokens)),), torch.from_numpy(np.array(lengths)))

    def forward(self, texts: Sequence[str] | Ragged) -> Float[Tensor, "n dim"]:
        """Embed texts."""
        read = texts if isinstance(texts, Ragged) else self.read(texts)
        tokens, real = read.to(next(self.model.parameters()).device).padded(self.pad)
        return self.mean(tokens, real.long())

    def mean(self, tokens: Int[Tensor, "n longest"], mask: Int[Tensor, "n longest"]) -> Float[Tensor, "n dim"]:
        """The mean over the states of the tokens that the mask has."""
        states: Tensor = self.model(input_ids=tokens, attention_mask=mask).last_hidden_state
        return mean_over(states, mask)
