"""Causal models of several kinds: log-probabilities, what is kept of them, answers drawn, and broken folders."""

import json
import shutil

import pytest
import torch
import transformers

from tellapart import InputError
from tellapart.domains.preferences import Answers, Policy, Preference, Preferences
from tests.domains.preferences.conftest import made

ROWS = Preferences(
    [
        Preference("1", "the cat", (" sees a house", " sees", " a")),
        Preference("2", "", ("a dog likes the blue sea", "x")),
        Preference("3", "User: hi Assistant:", (" yes", " no and no")),
    ]
)


def by_loops(folder, answers):
    """Each answer alone, from whole tables of logits."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found = []
    with torch.no_grad():
        for tokens, begin in zip(answers.tokens, answers.begins.tolist(), strict=True):
            log_p = model(tokens[None]).logits[0].double().log_softmax(dim=-1)
            found.append(sum(float(log_p[t - 1, tokens[t]]) for t in range(begin, len(tokens))))
    return torch.tensor(found)


KINDS = {"llama": True, "tied": True, "gpt2": True, "biased": True, "bounded": False, "scaled": False}


@pytest.mark.parametrize(("kind", "streams"), KINDS.items())
def test_log_probabilities_are_those_of_each_answer_alone(kind, streams, folder_of):
    """Whatever the model makes of its last states: a bias, shared vectors, a scale or a bound of the logits."""
    policy = Policy(folder_of(kind), 64)
    answers = Answers.of(ROWS, policy.tokens)
    assert policy.streams == streams
    torch.testing.assert_close(
        policy.log_probs(answers), by_loops(folder_of(kind), answers).float(), rtol=1e-4, atol=1e-4
    )
    whole = policy(answers.rows(torch.arange(3)))
    torch.testing.assert_close(whole.detach(), policy.log_probs(answers), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "tied", "biased"])
def test_gradients_are_those_of_the_table_of_logits(kind, folder_of):
    policy = Policy(folder_of(kind), 64)
    batch = Answers.of(ROWS, policy.tokens).rows(torch.arange(3))
    weights = torch.linspace(-1, 1, len(batch.tokens))
    gradients = []
    for policy.streams in (True, False):
        policy.zero_grad()
        (policy(batch) * weights).sum().backward()
        gradients.append([p.grad.clone() for p in policy.parameters()])
    for streamed, whole in zip(*gradients, strict=True):
        torch.testing.assert_close(streamed, whole, rtol=1e-3, atol=1e-4)


def test_dropout_never_acts(folder_of):
    policy = Policy(folder_of("gpt2"), 64).train()
    batch = Answers.of(ROWS, policy.tokens).rows(torch.arange(3))
    assert policy.model.config.resid_pdrop > 0
    assert torch.equal(policy(batch), policy(batch))


@pytest.mark.parametrize(("kind", "lora"), [("llama", 0), ("tied", 0), ("tied", 2), ("gpt2", 2)])
def test_only_what_is_trained_is_kept_and_it_is_read_again(kind, lora, folder_of):
    policy = Policy(folder_of(kind), 64, lora, seed=1)
    trained = {name for name, p in policy.named_parameters() if p.requires_grad}
    assert set(policy.state_dict()) == trained
    assert all("lora" in name for name in trained) == bool(lora)
    with torch.no_grad():
        for p in policy.parameters():
            p += p.requires_grad * 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1))
    again, answers = Policy(folder_of(kind), 64, lora, seed=2), Answers.of(ROWS, policy.tokens)
    assert not torch.allclose(again.log_probs(answers), policy.log_probs(answers))
    again.load_state_dict({name: value.clone() for name, value in policy.state_dict().items()})
    assert torch.equal(again.log_probs(answers), policy.log_probs(answers))
    with pytest.raises(RuntimeError, match="Missing key"):
        again.load_state_dict({})


@pytest.mark.parametrize("lora", [0, 2])
def test_what_is_saved_is_read_by_transformers_and_says_the_same(lora, folder_of, tmp_path):
    policy = Policy(folder_of("tied"), 64, lora)
    with torch.no_grad():
        for p in policy.parameters():
            p += p.requires_grad * 0.1
    policy.save(tmp_path / "new")
    answers = Answers.of(ROWS, policy.tokens)
    found = by_loops(tmp_path / "new", answers).float()
    torch.testing.assert_close(found, policy.log_probs(answers), rtol=1e-3, atol=1e-3)
    assert Policy(tmp_path / "new", 64).tokens.prompt("a dog") == policy.tokens.prompt("a dog")
    with pytest.raises(InputError, match="exists and is not an empty folder"):
        policy.save(tmp_path / "new")
    assert {path.name for path in tmp_path.iterdir()} == {"new"}


def test_answers_are_drawn_from_the_models_own_probabilities_whatever_its_makers_advise(folder_of, tmp_path):
    folder = tmp_path / "advised"
    shutil.copytree(folder_of("llama"), folder)
    (folder / "generation_config.json").write_text(json.dumps({"top_k": 1, "max_new_tokens": 2, "do_sample": False}))
    policy = Policy(folder, 12)
    prompt = policy.tokens.prompt("the")
    drawn = policy.draw([prompt] * 300, seed=1)
    assert drawn == policy.draw([prompt] * 300, seed=1) != policy.draw([prompt] * 300, seed=2)
    assert all(a[-1] == policy.tokens.eos or len(a) == 12 - len(prompt) for a in drawn)
    assert all(policy.tokens.eos not in a[:-1] for a in drawn)
    first = torch.bincount(torch.tensor([a[0] for a in drawn]), minlength=300).double() / 300
    chance = policy.causal(torch.tensor([prompt])).logits[0, -1].double().softmax(dim=0)
    assert (first - chance[: len(first)]).abs().max() < 0.12
    policy.save(tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "generation_config.json").read_text())["top_k"] == 1


def test_what_is_drawn_beside_longer_prompts_is_drawn_after_its_own_prompt(folder_of):
    """Padding on the left changes nothing: after a prompt alone and beside a longer one the same tokens are likely."""
    policy = Policy(folder_of("llama"), 40)
    short, long = policy.tokens.prompt("the"), policy.tokens.prompt("User: hi Assistant: yes")
    beside = [a[0] for a in policy.draw([short, long] * 150, seed=1)[::2]]
    chance = policy.causal(torch.tensor([short])).logits[0, -1].double().softmax(dim=0)
    first = torch.bincount(torch.tensor(beside), minlength=len(chance)).double() / len(beside)
    assert (first - chance[: len(first)]).abs().max() < 0.15


def test_a_folder_without_a_whole_model_is_refused(folder_of, tmp_path):
    with pytest.raises(InputError, match=r"it has no config\.json"):
        Policy(tmp_path, 64)

    def broken(name):
        shutil.copytree(folder_of("llama"), tmp_path / name)
        return tmp_path / name

    (broken("weights") / "model.safetensors").write_bytes(b"no")
    (broken("config") / "config.json").write_text("{")
    (broken("tokens") / "tokenizer.json").unlink()
    for name in ("weights", "config", "tokens"):
        with pytest.raises(InputError, match="no causal model with a tokeniser that can be read"):
            Policy(tmp_path / name, 64)
    model, _ = made()
    del model.model.layers[1]
    model.save_pretrained(broken("missing"))
    config = json.loads((tmp_path / "missing" / "config.json").read_text()) | {"num_hidden_layers": 2}
    config.pop("layer_types", None)
    (tmp_path / "missing" / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"\d+ weights of the model are missing, such as model\.layers\.1"):
        Policy(tmp_path / "missing", 64)


def test_weights_that_would_be_unpickled_are_refused(folder_of, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(folder_of("llama"), folder)
    (folder / "model.safetensors").unlink()
    torch.save(made()[0].state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="no causal model"):
        Policy(folder, 64)
