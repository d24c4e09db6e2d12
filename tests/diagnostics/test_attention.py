"""The attention of models, listened to: against plain softmax and against what transformers returns."""

import math
import warnings

import pytest
import torch
import transformers
from torch import nn
from torch.nn.functional import scaled_dot_product_attention as sdpa

from tellapart.diagnostics import Attention, attention

SIZE = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
CONFIGS = {
    "gpt2": lambda: transformers.GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=4),
    "llama": lambda: transformers.LlamaConfig(**SIZE),
    "grouped": lambda: transformers.LlamaConfig(**SIZE, num_key_value_heads=2),
    "bert": lambda: transformers.BertConfig(**SIZE),
}
TOKENS = torch.tensor([[3, 7, 9, 3, 7, 9, 4]])


def model_of(kind, implementation="sdpa"):
    torch.manual_seed(0)
    return transformers.AutoModel.from_config(CONFIGS[kind](), attn_implementation=implementation).eval()


@pytest.mark.parametrize("kind", CONFIGS)
def test_each_heads_shares_are_those_that_transformers_returns(kind):
    """Against the eager attention, of each head by itself; the model's output stays what it was."""
    model = model_of(kind)
    silent = model(TOKENS).last_hidden_state
    with attention(model) as heard:
        spoken = model(TOKENS).last_hidden_state
    assert torch.equal(silent, spoken)
    weights = model_of(kind, "eager")(TOKENS, output_attentions=True).attentions
    assert len(heard.calls) == len(weights) == 2
    for call, expected in zip(heard.calls, weights, strict=True):
        torch.testing.assert_close(call.energies.shares, expected, rtol=1e-4, atol=1e-5)
    entropy = torch.special.entr(weights[1][0, 3]).sum(1)
    head = heard.heads()[4 + 3]
    assert head.entropy == pytest.approx(entropy.mean().item(), rel=1e-4)
    assert head.free_energy == pytest.approx(head.energy - head.entropy, rel=1e-4)
    assert head.effective_keys == pytest.approx(entropy[0 if kind == "bert" else 1 :].exp().mean().item(), rel=1e-4)


def test_the_names_are_those_of_the_modules_and_nothing_stays_behind():
    model = model_of("llama")
    with attention(model) as heard:
        model(input_ids=TOKENS)
    assert [call.layer for call in heard.calls] == ["layers.0.self_attn", "layers.1.self_attn"]
    model(TOKENS)
    assert len(heard.calls) == 2
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_the_losses_are_minus_log_of_the_targets_shares(kind):
    model = model_of(kind)
    with attention(model) as heard:
        model(TOKENS)
    shares = model_of(kind, "eager")(TOKENS, output_attentions=True).attentions[0][0, 1]
    tokens = TOKENS[0].tolist()
    pairs = {"previous": [], "same": [], "induction": []}
    for i, a in enumerate(tokens):
        for j, b in enumerate(tokens):
            if kind == "llama" and j > i:
                continue
            if j == i - 1:
                pairs["previous"].append((i, j))
            if a == b and i != j:
                pairs["same"].append((i, j))
            if 0 < j <= i and tokens[j - 1] == a:
                pairs["induction"].append((i, j))
    head = heard.heads()[1]
    for name, found in pairs.items():
        queries = sorted({i for i, _ in found})
        masses = [sum(shares[i, j].item() for q, j in found if q == i) for i in queries]
        candidates = [len(tokens) if kind == "bert" else i + 1 for i in queries]
        n_targets = [sum(q == i for q, _ in found) for i in queries]
        assert head.losses[name] == pytest.approx(sum(-math.log(p) for p in masses) / len(queries), rel=1e-3)
        assert head.masses[name] == pytest.approx(sum(masses) / len(queries), rel=1e-3)
        blind = sum(math.log(c / t) for c, t in zip(candidates, n_targets, strict=True)) / len(queries)
        assert head.blind[name] == pytest.approx(blind, rel=1e-4)


class Planted(nn.Module):
    """Two heads in one layer: the first looks at the token before, the second at all alike."""

    def forward(self, input_ids):
        n = input_ids.shape[1]
        place = torch.eye(n + 1)
        queries = torch.stack([40 * place[:n], 0 * place[:n]])[None]
        keys = torch.stack([place[1:], place[1:]])[None]
        return sdpa(queries, keys, keys, is_causal=True)


def test_planted_heads_are_told_apart_and_warned_of():
    model = Planted()
    with attention(model) as heard:
        model(torch.arange(12)[None])
    before, alike = heard.heads()
    assert before.masses["previous"] > 0.99
    assert before.losses["previous"] < 0.01
    assert alike.losses["previous"] == pytest.approx(alike.blind["previous"], rel=1e-4)
    assert alike.warning == "uniform"
    assert alike.evenness == pytest.approx(1)
    assert before.warning == "saturated"
    assert math.isnan(before.losses["induction"])  # no token comes twice


def test_padding_does_not_count():
    model = model_of("bert")
    padded = torch.cat([TOKENS, torch.zeros(1, 3, dtype=torch.long)], dim=1)
    with attention(model) as heard:
        model(padded, attention_mask=(torch.arange(10) < 7).long()[None])
    with attention(model) as alone:
        model(TOKENS)
    for a, b in zip(heard.heads(), alone.heads(), strict=True):
        assert a.entropy == pytest.approx(b.entropy, rel=1e-4)
        assert a.losses["previous"] == pytest.approx(b.losses["previous"], rel=1e-4)


@pytest.mark.parametrize("kind", ["boolean", "added", "causal", "scaled", "grouped"])
def test_every_argument_of_the_function_is_heard(kind):
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 4, 5, 8), torch.randn(2, 2 if kind == "grouped" else 4, 6, 8), torch.randn(2, 4, 6, 8)
    mask = torch.rand(5, 6) < 0.6
    mask[:, 0] = True
    options = {
        "boolean": {"attn_mask": mask},
        "added": {"attn_mask": torch.zeros(5, 6).masked_fill(~mask, torch.finfo(torch.float32).min)},
        "causal": {"is_causal": True},
        "scaled": {"scale": 0.7},
        "grouped": {"enable_gqa": True},
    }[kind]
    v = v[:, : k.shape[1]]
    heard = Attention()
    heard.hear("", q, k, v, **options)
    values = v.repeat_interleave(4 // v.shape[1], 1)
    torch.testing.assert_close(heard.calls[0].energies.shares @ values, sdpa(q, k, v, **options), rtol=1e-4, atol=1e-5)
    assert [head.number for head in heard.heads()] == [0, 1, 2, 3]


def test_what_is_not_heard_is_named():
    with (
        pytest.warns(UserWarning, match=r"layers.0.self_attn \(LlamaAttention\), layers.1.*attn_implementation='sdpa'"),
        attention(model := model_of("llama", "eager")) as heard,
    ):
        model(TOKENS)
    assert heard.heads() == []
    fused = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, batch_first=True), 1).eval()
    with pytest.warns(UserWarning, match=r"layers.0.self_attn \(MultiheadAttention\)"), attention(fused) as heard:
        fused(torch.randn(1, 3, 8))
    with pytest.warns(UserWarning, match="the model: computes attention without"), attention(nn.Linear(2, 2)):
        pass


def test_a_model_that_fails_fails_as_before_and_leaves_no_hooks():
    model = model_of("gpt2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(IndexError), attention(model):
            model(torch.tensor([[99]]))
    assert not any(module._forward_pre_hooks for module in model.modules())
