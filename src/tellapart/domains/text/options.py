"""The options of data, encoders and training. The docstrings are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tellapart.errors import exists, require_option
from tellapart.training import TrainingOptions


@dataclass(frozen=True)
class SentenceOptions(TrainingOptions):
    """Data, encoders and training."""

    data: str
    """Two aligned text files joined by a comma (and a third of groups), a .tsv of source, target, group, a .tmx or a
    .csv, .jsonl or .parquet with a column for each language."""
    languages: str = ""
    """Of more than two, as of a .tmx or of columns, which two, as de,en; of other files, what theirs are called."""
    columns: str = ""
    """Of a table with a header, what its columns are called, as source=german,target=english,group=page."""
    unaligned: str = ""
    """Text files, joined by commas, of either language or both, which the transformer learns to read, too."""
    pairs: int = 0
    """Training pairs to use with their alignment, drawn at random; 0 for all. The others are read as unaligned text."""
    held_out: float = 0.125
    """Share of the pairs that training never sees: whole groups (the pages, the books), without repeated sentences."""
    epochs: int = 4
    """How often every training pair is seen."""
    batch_size: int = 512
    """Pairs in a batch at most, on each device."""
    learning_rate: float = 1e-2
    """Step size of AdamW at its peak, for what begins at random; a pretrained transformer wants far less, as 1e-4."""
    weight_decay: float = 1e-2
    """Pull of the transformer's weights towards zero; the bag's vectors are left alone."""
    encoder: Literal["bag", "transformer"] = "bag"
    """A bag of hashed words and n-grams, fast; or a small BERT. Either reads both languages."""
    dim: int = 256
    """Length of the embeddings; that of a pretrained transformer is fixed."""
    buckets: int = 2**18
    """Vectors for the bag's hashed words and n-grams."""
    dropout: float = 0.0
    """Share of a sentence's words and n-grams that the bag leaves out at each step."""
    pretrained: str = ""
    """Of the transformer: a folder with a BERT and its tokeniser, as save_pretrained writes them; or a new one."""
    layers: int = 1
    """Layers of a new transformer."""
    vocabulary: int = 8000
    """Pieces of words that a new transformer knows, at most; made from all text that it may read."""
    longest: int = 64
    """Tokens of a sentence that the transformer reads, at most."""
    reading: int = 256
    """Sentences that the transformer reads with masked tokens at each step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least, most in (
            *(("pairs", 0, 10**9), ("dim", 1, 2**14), ("buckets", 1, 2**24), ("layers", 1, 100)),
            *(("vocabulary", 10, 2**20), ("longest", 2, 2**14), ("reading", 1, 2**16)),
        ):
            value = getattr(self, name)
            require_option(name, least <= value <= most, f"lie between {least} and {most}", value)
        must = "be 0 or at least 2: a translation is told from those of the other pairs"
        require_option("pairs", self.pairs != 1, must, self.pairs)
        require_option("dropout", 0 <= self.dropout < 1, "lie in [0, 1)", self.dropout)
        is_even = self.encoder == "bag" or self.dim < 128 or self.dim % 64 == 0
        require_option("dim", is_even, "be a multiple of 64, for the transformer's heads", self.dim)
        for name in ("unaligned", "pretrained"):
            given = getattr(self, name)
            require_option(name, self.encoder != "bag" or not given, "be left out with --encoder bag", given)
        for name in ("data", "unaligned", "pretrained"):  # so that the run can be used from any folder
            object.__setattr__(self, name, _absolute(name, getattr(self, name)))


def _absolute(name: str, source: str) -> str:
    """The same file, or files joined by commas, named from the root; what does not exist is left as it is."""
    parts = [source] if not source or exists(source) else [part.strip() for part in source.split(",")]
    parts = [str(Path(part).resolve()) if part and exists(part) else part for part in parts]
    for part in parts if len(parts) > 1 else []:
        require_option(name, "," not in part, "name several files without commas in their folders' names", part)
    return ",".join(parts)
