"""Batches as encoders take them, chunk by chunk: the whole batch at once is the truth."""

from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pytest
import torch
from torch import nn

from tellapart.gradient_cache import chunked

X = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
LAYER = nn.Linear(3, 2).double()
Pair = namedtuple("Pair", "left right")


@dataclass
class Record:
    x: torch.Tensor
    name: str = "name"


def tokenised():
    from transformers import BatchEncoding

    return BatchEncoding({"x": X, "n": 3})


def output():
    from transformers.modeling_outputs import BaseModelOutput

    return BaseModelOutput(last_hidden_state=X)


def lengths(texts):
    return torch.tensor([[len(text)] * 3 for text in texts]).double()


CASES = {
    "tensor": (lambda: X, lambda x: x),
    "mapping": (lambda: {"x": X, "flag": True, "prompt": "query: ", "none": None}, lambda b: b["x"]),
    "nested": (lambda: {"a": {"x": X}, "b": (X, [1] * 8)}, lambda b: b["a"]["x"] + b["b"][0]),
    "tuple": (lambda: (X, {"scale": 2.0}, X), lambda b: b[1]["scale"] * b[0] + b[2]),
    "named tuple": (lambda: Pair(X, X), lambda b: b.left + b.right),
    "dataclass": (lambda: Record(X), lambda b: b.x),
    "ordered": (lambda: OrderedDict(x=X), lambda b: b["x"]),
    "default": (lambda: defaultdict(list, x=X), lambda b: b["x"]),
    "read-only": (lambda: MappingProxyType({"x": X}), lambda b: b["x"]),
    "BatchEncoding": (tokenised, lambda b: b.x * b["n"]),
    "ModelOutput": (output, lambda b: b.last_hidden_state),
    "ragged list": (lambda: [X[: i + 1] for i in range(8)], lambda b: torch.stack([x.sum(0) for x in b])),
    "texts": (lambda: [i * "a" for i in range(8)], lambda b: torch.tensor([[len(t)] * 3 for t in b]).double()),
    "tuple of texts": (
        lambda: tuple(i * "a" for i in range(8)),
        lambda b: torch.tensor([[len(t)] * 3 for t in b]).double(),
    ),
    "array": (lambda: X.numpy(), torch.as_tensor),
}


@pytest.mark.parametrize("chunk", [1, 3, 8, 100, np.int64(3), [1, 5, 2]])
@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_are_those_of_the_whole_batch(name, chunk):
    made, read = CASES[name]
    inputs, sizes = made(), []

    def encoder(batch):
        assert type(batch) is type(inputs) or name == "read-only"
        x = read(batch)
        sizes.append(len(x))
        return LAYER(x)

    found, plain = chunked(encoder, inputs, chunk=chunk), LAYER(read(made()))
    torch.testing.assert_close(found, plain)
    assert max(sizes) <= (max(chunk) if isinstance(chunk, list) else chunk)
    torch.testing.assert_close(*(torch.autograd.grad(y.square().sum(), LAYER.weight) for y in (found, plain)))
    assert len(read(inputs)) == 8  # and what came is what it was


def test_no_rows_are_no_embeddings():
    assert chunked(LAYER, X[:0], chunk=4).shape == (0, 2)


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (
            {"x": X, "y": {"z": X[:3]}},
            ValueError,
            r"as many rows in all parts. Got inputs\['x'\]: 8, inputs\['y'\]\['z'\]: 3",
        ),
        (3, TypeError, "`inputs` must be a tensor, an array or a list"),
        ({"flag": True}, TypeError, "Got dict"),
        ("text", TypeError, "Got str"),
        ([X, X], ValueError, "an item of a list is one, a part of a tuple has n"),
    ],
)
def test_what_cannot_be_split_is_refused(inputs, error, message):
    with pytest.raises(error, match=message):
        chunked(lambda _: X, inputs, chunk=4)


@pytest.mark.parametrize("chunk", [0, [4, 0, 4], [4, 2]])
def test_chunks_are_all_rows(chunk):
    with pytest.raises(ValueError, match=r"`chunk` must (be at least 1|add up to 8 rows)"):
        chunked(LAYER, X, chunk=chunk)
