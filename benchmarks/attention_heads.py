"""Two heads of a small transformer are told by InfoNCE what to look for, beside the model's own loss.

    python benchmarks/attention_heads.py            results/attention_heads.md, and the page's table

A causal transformer of two layers learns to predict the next token of a manual (anarchism, in Debian). With weight .3
beside its own loss, head 0 of layer 0 is to find the token before, and head 0 of layer 1 the token after an earlier
place of the same token. Both trainings see the same batches. Measured on text that training never saw.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from fetch import fetch
from pages import publish
from tellapart import before
from tellapart.diagnostics import attention, energies, token_targets
from trainings import row, spread

LAYERS, HEADS, WIDTH, LENGTH, VOCABULARY, BATCH = 2, 4, 96, 96, 1000, 16
WEIGHT, TOLD = 0.3, {0: "previous", 1: "induction"}


class Block(nn.Module):
    """Attention and two linear layers; `queries` and `keys` are those of the last call."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.body = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))
        self.queries, self.keys = torch.empty(0), torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norms[0](x)).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        self.queries, self.keys = q, k
        x = x + self.out(scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        result: Tensor = x + self.body(self.norms[1](x))
        return result


class Transformer(nn.Module):
    """A causal model of tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY)

    def forward(self, input_ids: Tensor) -> Tensor:
        x = self.tokens(input_ids) + self.places.weight[: input_ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits

    def told(self, input_ids: Tensor) -> Tensor:
        """The sum of the InfoNCE of the told heads, from the queries and keys of the last call."""
        targets = token_targets(input_ids)
        later = before(torch.arange(input_ids.shape[1])).transposed()
        losses = []
        for layer, name in TOLD.items():
            q, k = (side[:, 0] for side in (self.blocks[layer].queries, self.blocks[layer].keys))
            found = energies(q, k, temperature=math.sqrt(q.shape[-1]), exclude=later).loss(targets[name])
            losses.append(found.nanmean())
        return torch.stack(losses).sum()


def text_ids() -> Tensor:
    """The manual's text as tokens of a vocabulary that is learned from it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    files = sorted(Path(fetch("anarchism")).rglob("*.html"))
    texts = [" ".join(_plain(file.read_text(encoding="utf-8", errors="replace")).split()) for file in files]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    kept = texts[:40]
    tokenizer.train_from_iterator(kept, trainer)
    return torch.tensor([number for encoding in tokenizer.encode_batch(kept) for number in encoding.ids])


def _plain(html: str) -> str:
    import re

    return re.sub(r"<[^>]*>|&\w+;", " ", html)


def trained(ids: Tensor, weight: float, seed: int, steps: int) -> Transformer:
    """A model after so many steps of AdamW."""
    torch.manual_seed(seed)
    model, generator = Transformer(), torch.Generator().manual_seed(seed)
    adam = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, 2e-3, total_steps=steps)
    for _ in range(steps):
        starts = torch.randint(len(ids) - LENGTH - 1, (BATCH,), generator=generator)
        rows = torch.stack([ids[start : start + LENGTH + 1] for start in starts])
        loss = cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        if weight:
            loss = loss + weight * model.told(rows[:, :-1])
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
    return model


@torch.no_grad()
def measured(model: Transformer, ids: Tensor) -> list[float]:
    """The mass on the token before, the loss of induction, its loss of equal shares, and the model's own loss."""
    rows = ids[: len(ids) // (LENGTH + 1) * (LENGTH + 1)].view(-1, LENGTH + 1)[:200]
    with attention(model) as heard:
        logits = model(rows[:, :-1])
    first, second = heard.heads()[0], heard.heads()[HEADS]
    own = cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()).item()
    return [first.masses["previous"], second.losses["induction"], second.blind["induction"], own]


def table(seeds: list[int], steps: int) -> str:
    """Both models, told and not."""
    ids = text_ids()
    n = len(ids) * 9 // 10
    header = ["", "mass on the token before", "induction, L", "L of equal shares", "the model's own loss"]
    lines = [row(header), row(["---"] * len(header))]
    for name, weight in (("not told", 0.0), ("told", WEIGHT)):
        found = [measured(trained(ids[:n], weight, seed, steps), ids[n:]) for seed in seeds]
        lines.append(
            row([name, *(spread(column, ".2f" if i else ".3f") for i, column in enumerate(zip(*found, strict=True)))])
        )
        print(lines[-1], flush=True)
    note = f"Losses in nats. {steps} steps of {BATCH} × {LENGTH} tokens. Seeds: {', '.join(map(str, seeds))}."
    return "\n".join([*lines, "", note])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--steps", type=int, default=1500)
    given = parser.parse_args()
    torch.set_num_threads(1)
    publish("attention_heads", table(given.seeds, given.steps))
