"""Small models with tokenisers in folders; none is downloaded."""

import pytest
import torch
import transformers

from tellapart.cli import main

TEXT = "the cat sees <script>alert(1)</script> the cat"


def write_model(folder, kind):
    """A model with random weights, and a tokeniser that knows single letters."""
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    made.train_from_iterator([TEXT] * 3, trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, clean_up_tokenization_spaces=False)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    config = {
        "llama": lambda: transformers.LlamaConfig(vocab_size=300, **size, num_key_value_heads=2),
        "gpt2": lambda: transformers.GPT2Config(
            vocab_size=300, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0
        ),
        "t5": lambda: transformers.T5Config(vocab_size=300, d_model=32, num_layers=1, num_heads=2, d_ff=16, d_kv=16),
    }[kind]()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.AutoModel.from_config(config)
        with torch.no_grad():
            for weights in model.parameters():
                weights += 0.2 * torch.randn_like(weights)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory):
    """Its first head of the second layer has no queries: all keys alike."""
    folder = write_model(tmp_path_factory.mktemp("gpt2"), "gpt2")
    model = transformers.AutoModel.from_pretrained(folder)
    with torch.no_grad():
        model.h[1].attn.c_attn.weight[:, :8] = 0
        model.h[1].attn.c_attn.bias[:8] = 0
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def written(gpt2, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "attention.html"
    assert main(["attention", str(gpt2), TEXT, "--output", str(path)]) == 0
    return path
