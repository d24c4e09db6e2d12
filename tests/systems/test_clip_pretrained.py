"""CLIP with encoders from folders of transformers: tuned, or locked as in LiT."""

import pytest
import torch

import tellapart
from tellapart import InputError
from tellapart.systems.clip import CLIP, Config
from tests.command_line import fails, read_log
from tests.tiny.pictures import CAPTIONS, OPTIONS, write_pairs

transformers = pytest.importorskip("transformers")

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    """A vision transformer and a BERT with its tokeniser, small and random."""
    from tellapart.domains.text.wordpieces import WordPieces

    folder = tmp_path_factory.mktemp("towers")
    torch.manual_seed(0)
    vit = transformers.ViTConfig(**SMALL, image_size=16, patch_size=4)
    transformers.AutoModel.from_config(vit).save_pretrained(folder / "vit")
    definition = WordPieces.learn(CAPTIONS * 3, 60)
    tokenizer = WordPieces(definition, 16).as_fast_tokenizer()
    bert = transformers.BertConfig(**SMALL, vocab_size=len(tokenizer), max_position_embeddings=16)
    transformers.AutoModel.from_config(bert).save_pretrained(folder / "bert")
    tokenizer.save_pretrained(folder / "bert")
    return {"picture_encoder": str(folder / "vit"), "text_encoder": str(folder / "bert")}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.mark.parametrize("locked", ["none", "picture", "text", "both"])
def test_what_is_locked_stays_as_it_is_and_the_rest_learns(towers, data, tmp_path, locked):
    run = tellapart.train("clip", data=data, run=tmp_path / "run", **OPTIONS, **towers, locked=locked)
    before = CLIP(run.config)
    for side in ("picture", "text"):
        then, now = (getattr(model, f"{side}_encoder") for model in (before, run.model))
        same = [torch.equal(a, b) for a, b in zip(then.encoder.parameters(), now.encoder.parameters(), strict=True)]
        assert all(same) == (locked in (side, "both"))
        assert not torch.equal(then.head.weight, now.head.weight)
    assert read_log(tmp_path / "run")[-1]["loss"] < read_log(tmp_path / "run")[0]["loss"]
    assert run.embed(CAPTIONS).vectors.shape == (24, 16)
    assert [row[1] for row in run.results.rows].count("trained") == 2


def test_a_locked_encoder_is_in_eval_mode_while_the_rest_is_trained(towers):
    model = CLIP(Config(**OPTIONS, **towers, locked="picture")).train()
    assert not model.picture_encoder.encoder.training
    assert model.text_encoder.encoder.training
    embedded = model.picture_encoder(torch.zeros(2, 3, 16, 16, dtype=torch.uint8))
    assert embedded.requires_grad  # by the linear layer behind it
    assert not any(weight.requires_grad for weight in model.picture_encoder.encoder.parameters())


def test_one_side_may_be_pretrained_alone_and_the_export_takes_it_along(towers, data, tmp_path):
    run = tellapart.train("clip", data=data, run=tmp_path / "run", **OPTIONS, text_encoder=towers["text_encoder"])
    run.export(tmp_path / "out")
    made = tellapart.load(tmp_path / "out")
    assert made.config.text_encoder == str((tmp_path / "out" / "text_encoder").resolve())
    torch.testing.assert_close(made.embed(CAPTIONS).vectors, run.embed(CAPTIONS).vectors, rtol=0, atol=0)
    run.export(tmp_path / "programs", format="onnx")
    assert (tmp_path / "programs" / "text.onnx").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"locked": "picture"}, "`locked` must leave the convnet to be trained: it begins at random. Got picture."),
        ({"locked": "text"}, "`locked` must leave the bag to be trained"),
        ({"picture_encoder": "nowhere"}, "nowhere: neither a model type nor a folder"),
        ({"text_encoder": "nowhere"}, "nowhere: no folder of a model, it has no config.json"),
    ],
)
def test_mistakes_are_named(data, tmp_path, options, message):
    with pytest.raises(InputError) as error:
        tellapart.train("clip", data=data, run=tmp_path / "run", **OPTIONS, **options)
    assert message in str(error.value)


def test_a_folder_without_a_tokeniser_or_of_another_kind_is_refused(capsys, towers, data, tmp_path):
    words = ["train", "clip", "--data", data, "--run", tmp_path / "run", "--picture_size=16"]
    assert "no text model with a tokeniser" in fails(capsys, *words, "--text_encoder", towers["picture_encoder"])
    assert "cannot make features of a picture" in fails(capsys, *words, "--picture_encoder", towers["text_encoder"])
