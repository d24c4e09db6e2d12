"""Small causal models with tokenisers of several kinds, in folders; none is downloaded."""

import pytest
import torch
import transformers

from tellapart.domains.preferences.causal import learn_tokenizer, save_causal

TEXTS = ["the cat sees a red house", "a dog likes the blue sea", "User: hi Assistant: yes"] * 3
CHAT = (
    "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def made(kind="llama", **changes):
    """A model and its tokeniser, with weights large enough to tell answers apart."""
    tokenizer = learn_tokenizer(TEXTS, 300)
    for name, value in changes.items():
        setattr(tokenizer, name, value)
    size = {"vocab_size": len(tokenizer), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    tie = {"tie_word_embeddings": False}
    configs = {
        "llama": lambda: transformers.LlamaConfig(**size, intermediate_size=48, **tie),
        "tied": lambda: transformers.LlamaConfig(**size, intermediate_size=48, tie_word_embeddings=True),
        "gpt2": lambda: transformers.GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=len(tokenizer)),
        "bounded": lambda: transformers.Gemma2Config(
            **size, intermediate_size=48, head_dim=16, num_key_value_heads=1, final_logit_softcapping=3.0
        ),
        "scaled": lambda: transformers.CohereConfig(**size, intermediate_size=48, logit_scale=0.25),
        "biased": lambda: transformers.PhiConfig(**size, intermediate_size=48, **tie),
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(configs[kind]())
        with torch.no_grad():
            for weights in model.parameters():
                weights += 0.2 * torch.randn_like(weights)
    return model.eval(), tokenizer


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory):
    """The folder of a model of a kind."""
    known = {}

    def folder(kind):
        if kind not in known:
            known[kind] = tmp_path_factory.mktemp(kind) / "model"
            save_causal(*made(kind), known[kind])
        return known[kind]

    return folder
