"""A run's text encoder as a module of sentence-transformers, for folders that `tellapart export` wrote.

`SentenceTransformer(folder, trust_remote_code=True)` imports it by the name in the folder's modules.json.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sentence_transformers.base.modules import InputModule
from torch import Tensor

from tellapart import api


class TextEncoder(InputModule):
    """Texts to unit embeddings, by the text encoder of an exported run."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        encoders = api.load(folder).encoders()
        self.texts = encoders["text"] if "text" in encoders else encoders["sentence"]
        self.module = self.texts.module.requires_grad_(False)
        self.folder = folder

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **_: Any) -> TextEncoder:
        """The encoder of a folder."""
        return cls(str(Path(model_name_or_path) / subfolder))

    def preprocess(self, inputs: Sequence[str], prompt: str | None = None, **_: Any) -> dict[str, Tensor]:
        """Texts as the encoder's tensors."""
        texts = [f"{prompt or ''}{text}" for text in inputs]
        return dict(zip(self.texts.inputs, self.texts.read(texts), strict=True))

    def forward(self, features: dict[str, Tensor], **_: Any) -> dict[str, Tensor]:
        """The same with `sentence_embedding`."""
        return features | {"sentence_embedding": self.module(*(features[name] for name in self.texts.inputs))}

    def save(self, output_path: str, *_: Any, **__: Any) -> None:
        """Write the same again; the weights are those that were loaded, for this module does not learn."""
        shutil.copytree(self.folder, output_path, dirs_exist_ok=True)

    def get_embedding_dimension(self) -> int:
        """The length of the embeddings."""
        return int(self.module(*self.texts.read(self.texts.example)).shape[1])
