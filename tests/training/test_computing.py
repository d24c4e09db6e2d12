"""Compiled networks and deterministic operations: both last as long as the training, and change no result."""

from functools import partial

import pytest
import torch
from torch import nn

from tests.training.learning import learn


@pytest.mark.filterwarnings("ignore")  # the compiler has its own opinions
def test_compiled_networks_learn_the_same_and_are_as_before_afterwards(tmp_path, monkeypatch):
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    plain = learn(tmp_path / "plain", epochs=2, exact=True)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    model = learn(tmp_path / "compiled", epochs=2, exact=True, compile=True)
    assert graphs
    assert model.layers._compiled_call_impl is None
    assert model.state_dict().keys() == plain.state_dict().keys()
    for one, other in zip(model.state_dict().values(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)


def test_operations_are_deterministic_while_a_training_lasts(tmp_path, monkeypatch):
    seen, own = [], nn.Linear.forward

    def forward(self, x):
        seen.append(torch.are_deterministic_algorithms_enabled())
        return own(self, x)

    monkeypatch.setattr(nn.Linear, "forward", forward)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    learn(tmp_path / "plain", epochs=1)
    assert not any(seen)
    seen.clear()
    learn(tmp_path / "run", epochs=1, deterministic=True)
    assert seen
    assert all(seen)
    assert not torch.are_deterministic_algorithms_enabled()
