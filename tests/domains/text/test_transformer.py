"""A small BERT that embeds sentences and guesses what was hidden from it."""

import math

import pytest
import torch

from tellapart import InputError
from tellapart.domains.text import NgramBag, Transformer, WordPieces
from tests.domains.text.conftest import TEXTS


def transformer(definition, longest=32, guesses=True, folder=""):
    torch.manual_seed(0)
    return Transformer(WordPieces(definition, longest), folder, 64, 1, longest, guesses=guesses)


def stop():
    raise StopIteration


def test_a_sentence_of_ten_thousand_words_has_a_vector_in_either_encoder(definition):
    long = "word " * 10_000
    assert NgramBag(8, buckets=64, width=8)([long]).isfinite().all()
    model = transformer(definition).eval()
    tokens = model.read([long, "word"])
    assert tokens.lengths.tolist()[0] == 32
    assert model(tokens).isfinite().all()


def test_a_sentence_is_embedded_on_its_own_however_it_is_padded(definition):
    model = transformer(definition).eval()
    together = model(model.read(TEXTS))
    assert together.shape == (len(TEXTS), 64)
    for text, row in zip(TEXTS, together, strict=True):
        torch.testing.assert_close(model(model.read([text]))[0], row, rtol=1e-4, atol=1e-5)


def test_a_sentence_is_the_mean_of_its_pieces_and_of_a_share_of_what_the_last_layer_says(definition):
    model = transformer(definition).eval()
    tokens = model.read(["a cat and a dog"])
    vectors = model.of_pieces(tokens.columns[0].long())
    said = model.bert(inputs_embeds=vectors[None]).last_hidden_state[0]
    wanted = (vectors + 0.3 * said / 8).mean(dim=0)
    torch.testing.assert_close(model(tokens)[0], wanted, rtol=1e-4, atol=1e-5)
    (model(tokens) * torch.randn(64)).sum().backward()
    assert model.context.grad.abs() > 1e-4


def test_guessing_costs_as_much_as_guessing_among_all_tokens_at_first_and_less_when_learned(definition):
    model = transformer(definition)
    sentences = model.read(["the cat sits . the cat sits ."] * 20)
    first = model.guess(sentences).item()
    assert first == pytest.approx(math.log(len(model.pieces)), rel=0.3)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        model.guess(sentences).backward()
        optimizer.step()
    assert model.guess(sentences).item() < first / 4


def test_only_chosen_tokens_are_hidden_and_only_these_are_asked_for(definition, monkeypatch):
    model = transformer(definition).eval()
    seen = {}
    monkeypatch.setattr(model.bert, "forward", lambda **given: seen.update(given) or stop())
    sentences = model.read(["the cat sits . " * 6] * 200)
    with pytest.raises(StopIteration):
        model.guess(sentences)
    tokens = sentences.padded(model.pieces.pad)[0].long()
    vectors = model.of_pieces(torch.arange(len(model.pieces)))
    shown = torch.cdist(seen["inputs_embeds"].flatten(0, 1), vectors).argmin(dim=1).view_as(tokens)
    hidden = (shown == model.pieces.mask).float().mean().item()
    swapped = ((shown != tokens) & (shown != model.pieces.mask)).float().mean().item()
    assert hidden == pytest.approx(0.12, abs=0.015)
    assert swapped == pytest.approx(0.015, abs=0.006)


def test_a_sentence_of_one_token_can_be_guessed(definition):
    model = transformer(definition)
    assert all(model.guess(model.read(["x"])).isfinite() for _ in range(10))


def test_tokens_that_the_tokeniser_adds_are_neither_hidden_nor_guessed(definition, monkeypatch):
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing

    tokenizer = Tokenizer.from_str(definition)
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    model = transformer(tokenizer.to_str())
    targets = []
    cross_entropy = torch.nn.functional.cross_entropy
    monkeypatch.setattr(
        torch.nn.functional, "cross_entropy", lambda logits, y: targets.append(y) or cross_entropy(logits, y)
    )
    sentences = model.read(["x"])
    assert len(sentences.columns[0]) == 3
    assert all(model.guess(sentences).isfinite() for _ in range(60))
    assert set(torch.cat(targets).tolist()) == {sentences.columns[0][1].item()}
    assert model.guess(model.read([""])).isfinite()


def test_a_transformer_that_was_saved_is_taken_with_its_tokeniser(definition, tmp_path):
    from transformers import BertConfig, BertForMaskedLM

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    saved = BertForMaskedLM(BertConfig(vocab_size=len(WordPieces(definition, 8)), max_position_embeddings=16, **sizes))
    saved.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"tokenizer.json: missing"):
        WordPieces.file_of(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text(definition, encoding="utf-8")
    assert WordPieces.file_of(str(tmp_path)) == definition
    model = transformer(definition, longest=16, folder=str(tmp_path))
    assert model.dim == 32
    assert all(torch.equal(a, b) for a, b in zip(model.bert.parameters(), saved.bert.parameters(), strict=True))
    tokens, saved = model.read(["a cat and a dog"]), saved.eval()
    wanted = saved.bert(tokens.columns[0].long()[None]).last_hidden_state.mean(dim=1)
    torch.testing.assert_close(model.eval()(tokens), wanted, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match=r"sentences of 16, where there are \d+ and 32"):
        transformer(definition, longest=32, folder=str(tmp_path))


def test_a_model_that_is_no_whole_bert_is_refused(definition, tmp_path, capfd):
    from safetensors.torch import load_file, save_file
    from transformers import BertConfig, BertModel, RobertaConfig, RobertaForMaskedLM

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    sizes |= {"vocab_size": len(WordPieces(definition, 8)), "max_position_embeddings": 16}
    other, own = str(tmp_path / "other"), str(tmp_path / "own")
    RobertaForMaskedLM(RobertaConfig(**sizes)).save_pretrained(other)
    with pytest.raises(InputError, match=r"other: a model of type roberta. Take a BERT"):
        transformer(definition, longest=8, folder=other)
    saved = BertModel(BertConfig(**sizes), add_pooling_layer=False)
    saved.save_pretrained(own)
    capfd.readouterr()
    model = transformer(definition, longest=8, folder=own)  # the head alone is new
    assert capfd.readouterr() == ("", "")
    assert all(torch.equal(a, b) for a, b in zip(model.bert.parameters(), saved.parameters(), strict=True))
    weights = load_file(f"{own}/model.safetensors")
    kept = {name: value for name, value in weights.items() if "attention" not in name}
    save_file(kept, f"{own}/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"own: no whole BERT, 10 of its weights are missing, such as bert\.encoder"):
        transformer(definition, longest=8, folder=own)


def test_a_folder_without_a_model_is_refused(definition, tmp_path):
    with pytest.raises(InputError, match=r"no config.json"):
        transformer(definition, folder=str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"config.json: damaged, it names no model_type"):
        transformer(definition, folder=str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match="no BERT that can be read"):
        transformer(definition, folder=str(tmp_path))
