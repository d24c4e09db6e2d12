"""Exported text encoders in sentence-transformers: the same vectors as the run's."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import BertConfig, BertForMaskedLM

import tellapart
from tellapart.domains.text.wordpieces import WordPieces
from tests.command_line import train
from tests.harness import SYSTEMS
from tests.tiny.pictures import CAPTIONS, OPTIONS, write_pairs
from tests.tiny.sentences import TRANSFORMER_OPTIONS, translations, write_translations

SENTENCES = [side for row in translations(6) for side in row[:2]] + ["a", "unheard of"]


@pytest.mark.parametrize("name", ["clip", "bilingual", "bilingual, transformer"])
def test_bags_and_small_transformers_are_loaded_by_a_class_of_ours(name, tmp_path):
    entry, system = SYSTEMS[name], name.partition(",")[0]
    words = [f"--{option}={value}" for option, value in entry.options.items()]
    train(tmp_path / "run", system, ["--data", str(entry.write(tmp_path / "data")), *words])
    run = tellapart.load(tmp_path / "run")
    assert "trust_remote_code=True" in run.export(tmp_path / "out", format="sentence-transformers")
    expected = np.asarray(run.embed(SENTENCES))
    with pytest.raises(ValueError, match="trust_remote_code"):
        SentenceTransformer(str(tmp_path / "out"), device="cpu")
    model = SentenceTransformer(str(tmp_path / "out"), device="cpu", trust_remote_code=True)
    np.testing.assert_allclose(model.encode(SENTENCES), expected, atol=1e-5)
    assert model.get_embedding_dimension() == expected.shape[1]
    model.save(str(tmp_path / "again"))
    again = SentenceTransformer(str(tmp_path / "again"), device="cpu", trust_remote_code=True)
    np.testing.assert_allclose(again.encode(SENTENCES), expected, atol=1e-5)
    torch.testing.assert_close(tellapart.load(tmp_path / "out").embed(SENTENCES).vectors.numpy(), expected)


@pytest.fixture
def bert(tmp_path):
    definition = WordPieces.learn([*SENTENCES, *CAPTIONS] * 3, 90)
    tokenizer = WordPieces(definition, 16).as_fast_tokenizer()
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(**sizes, vocab_size=len(tokenizer), max_position_embeddings=16)
    BertForMaskedLM(config).save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    return str(tmp_path / "bert")


def test_a_pretrained_transformer_is_written_in_their_own_modules(bert, tmp_path):
    run = tellapart.train(
        "bilingual",
        data=write_translations(tmp_path / "data"),
        run=tmp_path / "run",
        **TRANSFORMER_OPTIONS | {"pretrained": bert},
    )
    run.export(tmp_path / "out", format="sentence-transformers")
    model = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    assert {type(module).__module__.partition(".")[0] for module in model} == {"sentence_transformers"}
    np.testing.assert_allclose(model.encode(SENTENCES), np.asarray(run.embed(SENTENCES)), atol=1e-5)


def test_clips_pretrained_tower_has_its_linear_layer_with_it(bert, tmp_path):
    run = tellapart.train(
        "clip", data=write_pairs(tmp_path / "pairs"), run=tmp_path / "run", **OPTIONS, text_encoder=bert
    )
    run.export(tmp_path / "out", format="sentence-transformers")
    model = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    np.testing.assert_allclose(model.encode(CAPTIONS), np.asarray(run.embed(CAPTIONS)), atol=1e-5)
