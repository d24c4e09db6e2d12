"""The model that is trained: log-probabilities of answers, and answers drawn from it."""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tellapart.domains.preferences.causal import load_causal, save_causal, seeded, with_lora
from tellapart.domains.preferences.likelihood import head_is_linear, keep_trained, token_losses
from tellapart.domains.preferences.tokens import Answers, Tokens
from tellapart.pretrained import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Float
    from torch import Tensor

    from tellapart.domains.preferences.batch import Batch

_TOKENS = 2**13  # at a time, where no gradient is taken
_PROMPTS = 128


class Policy(nn.Module):
    """A causal model, which is always in eval mode: dropout would change the log-probabilities that are compared.

    Only what is trained is in its `state_dict`: with LoRA its matrices, and shared weights once.

    Args:
        folder: of the model and its tokeniser, which `load_causal` reads.
        longest: tokens of a prompt and its answer, at most.
        lora: rank of LoRA's matrices, 0 to train all weights.
        seed: decides the first of LoRA's.

    Raises:
        InputError: the folder has no model that can be read, or a package is missing.
    """

    def __init__(self, folder: Path, longest: int, lora: int = 0, seed: int = 0) -> None:
        super().__init__()
        self.folder, self.lora = folder, lora
        model, tokenizer = load_causal(folder)
        self.tokens = Tokens(tokenizer, min(longest, getattr(model.config, "max_position_embeddings", longest)))
        self.model = with_lora(model, lora, seed) if lora else model
        self.eval()
        self.streams = head_is_linear(self.causal)
        keep_trained(self)

    def train(self, mode: bool = True) -> Policy:  # noqa: ARG002
        """Stay in eval mode."""
        return super().train(False)

    @property
    def causal(self) -> Any:
        """The model of transformers; LoRA's matrices are in it."""
        return self.model.base_model.model if self.lora else self.model

    def forward(self, batch: Batch) -> Float[Tensor, " r"]:
        """`log π(y|x) = Σ_t log p(y_t | x, y_<t)` of each answer y to its prompt x, in nats.

        Each term is minus the InfoNCE of a token among all tokens, as `token_losses` computes it.
        """
        losses, owners = token_losses(self.causal, batch, streams=self.streams)
        return -losses.new_zeros(len(batch.tokens)).index_add(0, owners, losses)

    @torch.no_grad()
    def log_probs(self, answers: Answers) -> Float[Tensor, " total"]:
        """Log-probabilities of all answers, on the CPU: those of similar lengths together."""
        lengths = torch.tensor([len(sequence) for sequence in answers.tokens])
        order = lengths.argsort(stable=True)
        found, start = torch.empty(len(order)), 0
        device = next(self.parameters()).device
        while start < len(order):
            ahead = lengths[order[start : start + _TOKENS]]
            size = max(1, int((ahead * torch.arange(1, len(ahead) + 1) <= _TOKENS).sum()))
            which = order[start : start + size]
            found[which] = self(answers.at(which).to(device)).float().cpu()
            start += size
        return found

    @torch.no_grad()
    def draw(self, prompts: Sequence[Sequence[int]], seed: int) -> list[list[int]]:
        """An answer to each prompt, drawn from the model's own probabilities; EOS is its last token, unless cut off.

        With its prompt it has at most `longest` tokens, or as many less a sixteenth.
        """
        from transformers import GenerationConfig

        tokens, device = self.tokens, next(self.parameters()).device
        answers: dict[int, list[int]] = {}
        fill = tokens.eos if tokens.tokenizer.pad_token_id is None else int(tokens.tokenizer.pad_token_id)
        for number, rows in enumerate(self._alike([len(prompt) for prompt in prompts])):
            part = [list(prompts[row][: tokens.longest - 1]) for row in rows]
            longest = max(map(len, part))
            given = torch.tensor([[fill] * (longest - len(p)) + p for p in part], device=device)
            real = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in part], device=device)
            how = GenerationConfig(
                do_sample=True, top_k=0, pad_token_id=fill, eos_token_id=tokens.eos, max_length=tokens.longest
            )
            with quiet():
                generate = partial(self.causal.generate, given, attention_mask=real, generation_config=how)
                whole = seeded(seed + number, generate)
            for row, drawn in zip(rows, whole[:, longest:].tolist(), strict=True):
                answers[row] = drawn[: drawn.index(tokens.eos) + 1] if tokens.eos in drawn else drawn
        return [answers[row] for row in range(len(prompts))]

    def _alike(self, lengths: list[int]) -> Iterator[list[int]]:
        """Prompts of similar lengths, some at a time: padded to one length, all have room for as long answers."""
        groups: dict[int, list[int]] = {}
        for row, length in enumerate(lengths):
            groups.setdefault(length // max(8, self.tokens.longest // 16), []).append(row)
        for _, rows in sorted(groups.items()):
            for start in range(0, len(rows), _PROMPTS):
                yield rows[start : start + _PROMPTS]

    def save(self, folder: Path) -> None:
        """Write the model as `from_pretrained` reads it, LoRA's matrices added to the weights.

        Raises:
            InputError: the folder is not empty, or cannot be written.
        """
        model = deepcopy(self.model).merge_and_unload() if self.lora else self.model
        save_causal(model, self.tokens.tokenizer, folder, like=self.folder)
