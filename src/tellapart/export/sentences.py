"""A folder that `SentenceTransformer` of sentence-transformers loads, for a run that embeds texts.

A text tower that is a model of `transformers` with the mean over its tokens is written in that library's own modules,
and needs tellapart no more. Any other text encoder is loaded by `tellapart.sentence_module`, which
sentence-transformers imports with `trust_remote_code=True` alone.
"""

from __future__ import annotations

import json
from pathlib import Path

from torch import nn

from tellapart.errors import InputError
from tellapart.export.hub import fill
from tellapart.files import new_folder
from tellapart.pretrained import library, quiet
from tellapart.runs import FinishedRun, Pooled, TensorEncoder

_MODULE = "tellapart.sentence_module.TextEncoder"
_NAMES = ("text", "sentence")
_USE = """```python
from sentence_transformers import SentenceTransformer

SentenceTransformer("THIS FOLDER", trust_remote_code=True).encode(["a sentence"])
```

`trust_remote_code=True` lets sentence-transformers import the class `{}` of the installed tellapart; the
folder holds no code. `tellapart.load("THIS FOLDER")` reads it, too."""


def write_sentences(finished: FinishedRun, encoders: dict[str, TensorEncoder], folder: Path) -> str:
    """Write the folder; says how it is loaded.

    Raises:
        InputError: the run embeds no texts, sentence-transformers is missing where it writes, or the folder holds
            something.
    """
    named = [name for name in _NAMES if name in encoders]
    if not named:
        raise InputError(f"{finished.run.folder}: {finished.run.system} embeds {', '.join(encoders)}s, and no texts.")
    pooled = encoders[named[0]].pooled
    with new_folder(folder) as partial:
        if pooled is not None:
            _write_own_modules(pooled, partial)
            return f"for SentenceTransformer({str(folder)!r})"
        fill(finished, partial, how_to_use=_USE.format(_MODULE))
        _write(partial / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": _MODULE}])
        _write(partial / "config_sentence_transformers.json", {"similarity_fn_name": "cosine"})
    return f"for SentenceTransformer({str(folder)!r}, trust_remote_code=True), where tellapart is installed"


def _write_own_modules(pooled: Pooled, folder: Path) -> None:
    """A transformer, the mean over tokens, perhaps a linear layer, and length 1, by the library itself."""
    peer = library("sentence_transformers", "sentences")
    parts = library("sentence_transformers.sentence_transformer.modules", "sentences")
    model = folder / "model"
    with quiet():
        pooled.model.save_pretrained(model)
        pooled.tokenizer.save_pretrained(model)
        transformer = parts.Transformer(str(model), max_seq_length=pooled.longest)
        modules: list[nn.Module] = [transformer, parts.Pooling(pooled.model.config.hidden_size, "mean")]
        if pooled.head is not None:
            d_in, d_out = pooled.head.in_features, pooled.head.out_features
            dense = parts.Dense(d_in, d_out, activation_function=nn.Identity())
            dense.linear.load_state_dict(pooled.head.state_dict())
            modules.append(dense)
        peer.SentenceTransformer(modules=[*modules, parts.Normalize()], device="cpu").save(str(folder))
    for file in model.iterdir():
        file.unlink()
    model.rmdir()


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
