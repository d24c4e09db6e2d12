"""The systems of pictures without texts, by the command line: what they learn, find and refuse."""

import numpy as np
import pytest
import torch
from PIL import Image

from tellapart import InputError
from tellapart.cli import main
from tellapart.domains.pictures import ImageShape, Network, PictureOptions
from tellapart.runs import Gallery
from tests.command_line import fails, read_log, read_results, say
from tests.tiny.pictures import OPTIONS_OF, draw, patterns, picture_arguments, write_patterns

SYSTEMS = sorted(OPTIONS_OF)
VIT = '{"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8, "image_size": 16'


def save_picture(path, number):
    Image.fromarray(patterns()[0][number]).save(path)
    return path


@pytest.mark.parametrize("system", SYSTEMS)
def test_training_reduces_the_loss_and_beats_chance_raw_pixels_and_an_untrained_network(capsys, tmp_path, system):
    """Without labels: does a random view of a picture that training never saw find it among the others?"""
    words = picture_arguments(system, data=write_patterns(tmp_path, labelled=False), epochs=30)
    code, out, err = say(capsys, "train", system, "--run", tmp_path / "run", *words)
    assert code == 0, err
    assert "Retrieval of 40 held-out pictures by a random view of each" in out
    log = read_log(tmp_path / "run")
    full = [entry["loss"] for entry in log[5:]]  # MoCo's queue is full, so that all line-ups are of one size
    assert np.mean(full[-10:]) < np.mean(full[:10]) - 0.5
    rows = read_results(tmp_path / "run")["rows"]
    found = {name: recall_at_5 for name, _, recall_at_5, *_ in rows}
    assert list(found) == ["chance", "raw pixels", "untrained", "trained"]
    assert found["trained"] > max(found["chance"], found["raw pixels"], found["untrained"]) + 0.1


def test_with_labels_the_table_has_chance_raw_pixels_untrained_and_trained(capsys, learned):
    code, out, _ = say(capsys, "evaluate", learned)
    assert code == 0
    rows = read_results(learned)["rows"]
    assert [row[0] for row in rows] == ["chance", "raw pixels", "untrained", "trained"]
    assert rows[3][1] > rows[0][1]
    assert "Labels of 40 held-out pictures" in out
    assert "The labels of 120 of the 120 pictures to train on are shown to each." in out


def test_a_test_set_of_the_data_is_what_is_held_out(capsys, tmp_path):
    (train, y), (test, y_test) = patterns(48), patterns(10, seed=1)
    np.savez(tmp_path / "data.npz", x_train=train, y_train=y, x_test=test, y_test=y_test)
    words = picture_arguments("simclr", data=tmp_path / "data.npz", epochs=1)
    code, out, _ = say(capsys, "train", "simclr", "--run", tmp_path / "run", *words)
    assert code == 0
    assert "Labels of 10 held-out pictures" in out
    gallery = Gallery.load(tmp_path / "run" / "gallery.parquet")
    held_out = [name for name, out in zip(gallery.names, gallery.held_out.tolist(), strict=True) if out]
    assert held_out == [f"test/{i}" for i in range(10)]


def test_evaluate_on_other_data_brings_them_to_the_form_of_the_runs(capsys, learned, tmp_path):
    folder = tmp_path / "shapes"
    for colour in ("red", "green", "blue", "orange"):
        for shape in ("circle", "bar", "dot"):
            (folder / shape).mkdir(parents=True, exist_ok=True)
            draw(colour, shape).save(folder / shape / f"{colour}.png")
    before = (learned / "results.json").read_bytes()
    code, out, _ = say(capsys, "evaluate", learned, "--data", folder)
    assert code == 0
    assert "3 held-out pictures" in out
    assert (learned / "results.json").read_bytes() == before


def test_embed_gives_the_gallerys_vectors_of_unit_length(capsys, learned, tmp_path):
    data = learned.parent / "data" / "patterns.npz"
    code, out, _ = say(capsys, "embed", learned, data, "-o", tmp_path / "out.npz")
    assert code == 0
    assert "160 embeddings of length 64" in out
    gallery = Gallery.load(learned / "gallery.parquet")
    with np.load(tmp_path / "out.npz", allow_pickle=False) as file:
        order = [gallery.names.index(name) for name in file["name"]]
        np.testing.assert_allclose(file["embedding"], gallery.vectors[order], atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(file["embedding"], axis=1), 1, rtol=1e-5)
        assert set(file["kind"]) == {"picture"}


def test_search_by_a_picture_file_or_a_name_finds_the_pictures_most_like_it(capsys, learned, tmp_path):
    for query in (save_picture(tmp_path / "query.png", 7), "7"):
        code, out, _ = say(capsys, "search", learned, query, "-k", "4")
        assert code == 0
        header, first, *others = out.splitlines()[1:]
        assert header.split() == ["picture", "score", "label"]
        assert first.split()[:3] == ["7", "1.000", str(patterns()[1][7])]
        scores = [float(line.split()[1]) for line in others]
        assert len(scores) == 3
        assert scores == sorted(scores, reverse=True)


def test_grey_pictures_without_labels_have_no_column_for_them(capsys, tmp_path):
    data = write_patterns(tmp_path, n=40, labelled=False, channels=1)
    words = picture_arguments("simclr", data=data, epochs=1, views=3, blur=0.5)
    assert say(capsys, "train", "simclr", "--run", tmp_path / "run", *words)[0] == 0
    code, out, _ = say(capsys, "search", tmp_path / "run", "3", "-k", "2")
    assert code == 0
    assert out.splitlines()[1].split() == ["picture", "score"]


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed", "bf16-true"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_precision_trains_and_is_measured_the_same_afterwards(capsys, tmp_path, system, precision):
    words = picture_arguments(system, data=write_patterns(tmp_path, n=40), epochs=2, **{"trainer.precision": precision})
    code, trained_out, err = say(capsys, "train", system, "--run", tmp_path / "run", *words)
    assert code == 0, err
    code, out, _ = say(capsys, "evaluate", tmp_path / "run")
    assert code == 0
    assert trained_out.startswith(out)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_backbone_and_chunks_train_too(capsys, tmp_path, system):
    options = {"encoder": "vit", "encoder_options": VIT + ', "patch_size": 8}', "chunk": 16}
    words = picture_arguments(system, data=write_patterns(tmp_path, n=40), epochs=1, **options)
    code, _, err = say(capsys, "train", system, "--run", tmp_path / "run", *words)
    assert code == 0, err
    assert say(capsys, "embed", tmp_path / "run", tmp_path / "patterns.npz", "-o", tmp_path / "x.npz")[0] == 0


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        ({}, ["Linear", "SharedBatchNorm", "ReLU", "Linear", "SharedBatchNorm"]),
        ({"hidden": 0}, ["Linear", "SharedBatchNorm"]),
        ({"dim": 0}, []),
        ({"dim": 0, "hidden": 0}, []),
    ],
)
def test_a_head_has_two_layers_or_one_or_none_and_the_encoder_begins_alike(options, layers):
    made, usual = (Network(PictureOptions(width=2, **given), ImageShape(16, 3)) for given in (options, {}))
    assert [type(layer).__name__ for layer in made.head] == layers
    for name, value in made.encoder.state_dict().items():
        assert value.equal(usual.encoder.state_dict()[name])
    views = torch.rand(4, 3, 16, 16)
    assert made(views).shape == (4, made.dim) == (4, 128 if layers else 16)
    assert layers or made(views).equal(made.encoder(views))


@pytest.mark.parametrize("options", [{"hidden": 0}, {"dim": 0}, {"dim": 0, "chunk": 16}])
@pytest.mark.parametrize("system", SYSTEMS)
def test_with_a_linear_head_or_none_it_trains_and_is_exported(capsys, tmp_path, system, options):
    words = picture_arguments(system, data=write_patterns(tmp_path, n=40), epochs=2, **options)
    code, _, err = say(capsys, "train", system, "--run", tmp_path / "run", *words)
    assert code == 0, err
    assert say(capsys, "embed", tmp_path / "run", tmp_path / "patterns.npz", "-o", tmp_path / "x.npz")[0] == 0
    with np.load(tmp_path / "x.npz", allow_pickle=False) as file:
        assert file["embedding"].shape == (40, 64)
    code, _, err = say(capsys, "export", tmp_path / "run", tmp_path / "encoder.pt2")
    assert code == 0, err


def test_an_encoder_that_fails_with_pictures_of_that_size_is_named(monkeypatch):
    from tellapart.domains.pictures import Backbone

    def forward(_, pictures):
        if pictures.shape[-1] < 32:
            raise RuntimeError("Kernel size can't be greater than actual input size")
        return torch.zeros(1, 4)

    monkeypatch.setattr(Backbone, "forward", forward)
    options = '{"embedding_size": 4, "hidden_sizes": [4], "depths": [1]}'
    with pytest.raises(InputError, match=r"resnet: does not take pictures of 16×16, Kernel size can't"):
        Network(PictureOptions(encoder="resnet", encoder_options=options), ImageShape(16, 3))


@pytest.mark.parametrize("system", SYSTEMS)
def test_mistakes_end_with_code_2_and_one_line(capsys, tmp_path, system):
    data, one = write_patterns(tmp_path / "patterns", n=40), tmp_path / "one"
    (tmp_path / "empty").mkdir()
    one.mkdir()
    draw("red", "dot").save(one / "a.png")
    for number in range(9):
        (tmp_path / "same").mkdir(exist_ok=True)
        draw("red", "dot").save(tmp_path / "same" / f"{number}.png")
    draw("red", "dot").save(tmp_path / "a.png")
    draw("red", "dot").resize((9, 9)).save(one.parent / "b.png")
    expected = {
        ("data", tmp_path / "nowhere"): "there is no such file or folder",
        ("data", tmp_path / "empty"): "the folder holds no pictures and no idx files",
        ("data", one): "too few pictures, 1, and different ones, 1. At least 4 are needed",
        ("data", tmp_path / "same"): "too few pictures, 9, and different ones, 1. At least 4 are needed",
        ("encoder", "vitt"): "vitt: neither a model type nor a folder",
        ("encoder_options", "{}"): "`encoder_options` must be left out with the convnet",
        ("picture_size", 7): "`picture_size` must be 0 or lie between 8 and 1024. Got 7.",
        ("dim", -1): "`dim` must lie between 0 and 16384. Got -1.",
        ("hidden", -1): "`hidden` must lie between 0 and 65536. Got -1.",
    }
    for (option, value), message in expected.items():
        words = picture_arguments(system, **{"data": data, "queue": 99, option: value})
        words = [word for word in words if system == "moco" or not word.startswith("--queue")]
        said = fails(capsys, "train", system, "--run", tmp_path / "run", *words)
        assert message in said, (option, said)
    options = {"encoder": "vit", "encoder_options": VIT + ', "patch_size": 32}'}
    said = fails(capsys, "train", system, "--run", tmp_path / "run", *picture_arguments(system, data=data, **options))
    assert said.startswith("vit: cannot")


def test_mistakes_of_one_system(capsys, tmp_path):
    data = write_patterns(tmp_path, n=40)
    for system, options, message in [
        ("simclr", {"views": 1}, "`views` must lie between 2 and 64: a view finds others. Got 1."),
        ("moco", {"queue": 47}, "`queue` must lie between 48, the keys of one batch, and 1048576. Got 47."),
        (
            "moco",
            {"batch_size": 13, "trainer.devices": 2},
            "`queue` must be at least 52, the keys of one step. Got 48.",
        ),
    ]:
        words = picture_arguments(system, data=data, **options)
        assert message in fails(capsys, "train", system, "--run", tmp_path / "run", *words)


def test_a_query_that_is_no_picture_or_many_is_refused(capsys, learned, tmp_path):
    (tmp_path / "words.png").write_text("cat")
    (tmp_path / "crow.txt").write_text("a black crow\n")
    (tmp_path / "all.txt").write_text("a black crow\na frog\n")
    for query, message in [
        ("a cat", "a cat: neither a picture file nor the name of a picture of the run. This run finds pictures by"),
        (learned.parent / "data" / "patterns.npz", "holds 160 pictures. Name a single one"),
        (tmp_path / "words.png", "not a picture that can be read"),
        (
            tmp_path / "crow.txt",
            "crow.txt: none of its 1 lines, the first being 'a black crow', is a picture file or the name",
        ),
        (
            tmp_path / "all.txt",
            "all.txt: none of its 2 lines, the first being 'a black crow', is a picture file or the name",
        ),
    ]:
        assert message in fails(capsys, "search", learned, query)


def test_data_that_changed_are_refused(capsys, tmp_path):
    data = write_patterns(tmp_path, n=40)
    words = picture_arguments("simclr", data=data, epochs=1)
    assert main(["train", "simclr", "--run", str(tmp_path / "run"), *words]) == 0
    write_patterns(tmp_path, n=40, seed=5)
    capsys.readouterr()
    assert "the data changed since the run began" in fails(capsys, "evaluate", tmp_path / "run")
