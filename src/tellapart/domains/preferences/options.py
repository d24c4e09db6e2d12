"""The options of data, models and training. The docstrings are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tellapart.errors import exists, require_option
from tellapart.training import TrainingOptions, name_from_root


@dataclass(frozen=True)
class PreferenceOptions(TrainingOptions):
    """Data, models and training."""

    data: str
    """A .jsonl or .parquet with prompt, chosen and rejected: strings or lists of messages, one or several rejected."""
    held_out: float = 0.1
    """Share of the prompts that training never sees; equal prompts are on one side."""
    epochs: int = 4
    """How often every training prompt is seen."""
    batch_size: int = 32
    """Prompts in a batch at most, on each device, each with all of its answers."""
    learning_rate: float = 3e-4
    """Step size of AdamW at its peak, for a small model or for LoRA; all weights of a large model want 1e-6 or less."""
    weight_decay: float = 0.0
    """Pull of the weights towards zero."""
    model: str = ""
    """A folder with a causal model of transformers and its tokeniser, as save_pretrained writes them; or a new one."""
    longest: int = 512
    """Tokens of a prompt and its answer, at most; the end of a longer answer is cut off."""
    lora: int = 0
    """Rank of the matrices that LoRA trains beside each linear layer; 0 to train all weights."""
    watched: int = 64
    """Held-out prompts answered now and then to watch KL and length; 0 for none, and no second model in memory."""
    pretrain: str = ""
    """Of a new model: text files, joined by commas, from which it learns to write; else prompts and chosen answers."""
    pretrain_epochs: int = 1
    """How often a new model sees each line of that text."""
    pretrain_batch: int = 64
    """Lines in a batch of it, at most."""
    pretrain_rate: float = 3e-3
    """Step size of AdamW at its peak, for a new model that learns to write."""
    vocabulary: int = 2048
    """Pieces of words that a new model knows, at most."""
    width: int = 128
    """Length of a new model's vectors, a multiple of 32."""
    layers: int = 2
    """Layers of a new model."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least, most in (
            *(("longest", 4, 2**20), ("lora", 0, 2**12), ("watched", 0, 2**16), ("pretrain_epochs", 1, 10**6)),
            *(("pretrain_batch", 2, 2**20), ("vocabulary", 260, 2**20), ("width", 32, 2**14), ("layers", 1, 200)),
        ):
            value = getattr(self, name)
            require_option(name, least <= value <= most, f"lie between {least} and {most}", value)
        require_option("watched", self.watched != 1, "be 0 or at least 2", self.watched)
        require_option("width", self.width % 32 == 0, "be a multiple of 32, for the heads", self.width)
        require_option("pretrain_rate", self.pretrain_rate > 0, "be positive", self.pretrain_rate)
        must = "be left out with --model: that model can write already"
        require_option("pretrain", not (self.model and self.pretrain), must, self.pretrain)
        name_from_root(self, "model")
        files = [str(Path(part).resolve()) if exists(part) else part for part in text_files(self.pretrain)]
        object.__setattr__(self, "pretrain", ",".join(files))  # the options' class is frozen


def text_files(named: str) -> list[str]:
    """The files that are named, joined by commas.

    >>> text_files("a.txt, b.txt"), text_files("")
    (['a.txt', 'b.txt'], [])
    """
    return [part.strip() for part in ([named] if not named or exists(named) else named.split(",")) if part.strip()]
