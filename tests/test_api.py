"""Training and using runs from Python: as the command line does it, for whatever a program holds."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import tellapart
from tellapart import InputError
from tellapart.cli import main
from tellapart.evaluation import Table
from tellapart.runs import Gallery, Run
from tests.tiny.graphs import GRAPH_OPTIONS, write_graph
from tests.tiny.pictures import OPTIONS, OPTIONS_OF, draw, patterns, write_pairs, write_patterns
from tests.tiny.sentences import SENTENCE_OPTIONS, translations, write_translations


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A run of SimCLR, trained from Python."""
    folder = tmp_path_factory.mktemp("pictures")
    return tellapart.train("simclr", data=write_patterns(folder), run=folder / "run", **OPTIONS_OF["simclr"])


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sentences")
    return tellapart.train("bilingual", data=write_translations(folder), run=folder / "run", **SENTENCE_OPTIONS)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nodes")
    return tellapart.train("graph", data=write_graph(folder / "g"), run=str(folder / "run"), **GRAPH_OPTIONS)


def test_training_from_python_is_that_of_the_command_line(pictures, tmp_path):
    words = [f"--{name}={value}" for name, value in OPTIONS_OF["simclr"].items()]
    data = pictures.folder.parent / "patterns.npz"
    assert main(["train", "simclr", "--run", str(tmp_path / "run"), "--data", str(data), *words]) == 0
    for name in ("weights.safetensors", "results.json", "gallery.parquet"):
        assert (pictures.folder / name).read_bytes() == (tmp_path / "run" / name).read_bytes(), name
    assert (pictures.folder / "report.html").is_file()
    assert Run(pictures.folder).options() == Run(tmp_path / "run").options()


def test_a_run_is_loaded_with_its_options_results_log_and_model(pictures):
    loaded = tellapart.load(pictures.folder)
    assert (loaded.system, loaded.folder) == ("simclr", pictures.folder)
    assert loaded.config == pictures.config
    assert loaded.config.epochs == 6
    assert loaded.abilities == ("evaluate", "embed", "search", "cluster", "export")
    assert isinstance(loaded.results, Table)
    assert loaded.results.as_dict() == json.loads((pictures.folder / "results.json").read_text())
    assert isinstance(loaded.model, torch.nn.Module)
    assert not loaded.model.training
    assert loaded.model is loaded.model
    weights = loaded.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in pictures.model.state_dict().items())


def test_the_log_is_a_list_without_pandas_and_a_data_frame_with_it(pictures, monkeypatch):
    class DataFrame:
        def __init__(self, entries):
            self.entries = entries

    monkeypatch.setitem(sys.modules, "pandas", None)
    entries = pictures.log
    assert [entry["step"] for entry in entries] == list(range(1, len(entries) + 1))
    stand_in = type(sys)("pandas")
    stand_in.DataFrame = DataFrame
    monkeypatch.setitem(sys.modules, "pandas", stand_in)
    assert pictures.log.entries == entries


def test_evaluate_repeats_what_training_found_and_takes_other_data(pictures, tmp_path):
    before = (pictures.folder / "results.json").read_bytes()
    assert pictures.evaluate() == pictures.results
    table = pictures.evaluate(write_patterns(tmp_path, n=60, seed=4))
    assert "15 held-out pictures" in table.title
    assert (pictures.folder / "results.json").read_bytes() == before


def test_the_report_goes_where_it_is_wanted(pictures, tmp_path):
    assert pictures.report() == pictures.folder / "report.html"
    assert pictures.report(tmp_path / "x.html").read_text().startswith("<!doctype html>")


def test_pictures_are_embedded_the_same_from_whatever_holds_them(pictures, tmp_path):
    made, _ = patterns(5)
    for i, picture in enumerate(made):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    np.savez(tmp_path / "pictures.npz", images=made)
    files = [tmp_path / f"{i}.png" for i in range(5)]
    expected = pictures.embed(tmp_path / "pictures.npz").vectors
    assert expected.shape == (5, 64)
    torch.testing.assert_close(expected.norm(dim=1), torch.ones(5))
    tensor = torch.from_numpy(made.copy())
    holds = {
        "array": made,
        "floats in [0, 1]": made.astype(np.float64) / 255,
        "tensor": tensor,
        "channels first": tensor.permute(0, 3, 1, 2),
        "float tensor": tensor.permute(0, 3, 1, 2).float() / 255,
        "list of arrays": list(made),
        "list of tensors": list(tensor),
        "Pillow pictures": [Image.open(file) for file in files],
        "paths": files,
        "names of files": [str(file) for file in files],
        "tuple of both": (*files[:3], Image.open(files[3]), made[4]),
        "column": column([str(file) for file in files]),
        "array of names": np.array([str(file) for file in files]),
    }
    for name, held in holds.items():
        found = pictures.embed(held)
        torch.testing.assert_close(found.vectors, expected, rtol=1e-4, atol=1e-4, msg=name)
        assert set(found.kinds) == {"picture"}
    alone = {"file": files[2], "Pillow picture": Image.open(files[2]), "array": made[2], "its name": str(files[2])}
    for name, held in alone.items():
        torch.testing.assert_close(pictures.embed(held).vectors, expected[2:3], rtol=1e-4, atol=1e-4, msg=name)
    assert pictures.embed(made).names == ["0", "1", "2", "3", "4"]
    assert pictures.embed([str(file) for file in files]).names[3] == str(files[3])
    np.testing.assert_array_equal(np.asarray(pictures.embed(made)), pictures.embed(made).vectors)
    assert len(pictures.embed(made)) == 5


def column(items):
    """What stands in for a column of pandas: a list with an index."""

    class Column:
        index = range(len(items))

        def to_list(self):
            return items

        def __iter__(self):
            return iter(items)

    return Column()


def test_other_sizes_and_channels_are_brought_to_those_of_the_run(pictures):
    grey = torch.randint(0, 256, (3, 20, 20), dtype=torch.uint8)
    with pytest.raises(InputError, match=r"shape \(3, 20, 20\) may be one picture or 3 grey ones"):
        pictures.embed(grey)
    assert pictures.embed(grey[:, None]).vectors.shape == (3, 64)
    assert pictures.embed(torch.rand(2, 20, 24)).vectors.shape == (2, 64)
    assert pictures.embed(np.random.default_rng(0).random((20, 24))).vectors.shape == (1, 64)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "`x` must be a file, a folder, a Pillow picture, an array"),
        ({"a": 1}, "Got dict"),
        ([], "is empty. Give at least one"),
        (np.zeros((2, 8, 8, 3), np.int64), "numbers of type int64"),
        (np.full((2, 8, 8, 3), 7.0), "values from 7 to 7. Floating-point pictures must lie in"),
        (torch.zeros(2, 3, 4, 5, 6), "shape (2, 3, 4, 5, 6)"),
        ([np.zeros((2, 8, 8, 3), np.uint8)], "row 0: holds 2 pictures. Give one in each row"),
        (["nowhere.png"], "row 0: nowhere.png: cannot read the picture"),
        ("nowhere", "nowhere: there is no such file or folder"),
        ([None], "Got NoneType"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(pictures, given, message):
    with pytest.raises(InputError) as error:
        pictures.embed(given)
    assert message in str(error.value)


def test_search_takes_what_embed_takes_and_the_names_of_the_runs_own(pictures, tmp_path):
    made, _ = patterns()
    Image.fromarray(made[7]).save(tmp_path / "x.png")
    for query in (made[7], Image.open(tmp_path / "x.png"), tmp_path / "x.png", str(tmp_path / "x.png"), "7"):
        hits = pictures.search(query, k=3)
        assert (hits[0].name, len(hits)) == ("7", 3)
        assert hits[0].score == pytest.approx(1, abs=1e-3)
    assert len(pictures.search("7")) == 5
    for query, k, message in ((made[:2], 3, "query: holds 2 pictures"), ("7", 0, "`k` must be"), (" ", 1, "`query`")):
        with pytest.raises(InputError, match=message):
            pictures.search(query, k)


def test_clip_embeds_texts_and_pictures_and_finds_by_either(trained, tmp_path):
    run = tellapart.load(trained)
    gallery = Gallery.load(trained / "gallery.parquet")
    row = gallery.names.index("blue-bar.png")
    draw("blue", "bar").save(tmp_path / "x.png")
    for texts in (["blue bar", "red dot"], column(["blue bar", "red dot"])):
        found = run.embed(texts)
        assert (found.names, found.kinds) == (["blue bar", "red dot"], ["text", "text"])
        torch.testing.assert_close(found.vectors[0], gallery.captions[row], rtol=1e-4, atol=1e-4)
    for picture in (tmp_path / "x.png", [str(tmp_path / "x.png")], Image.open(tmp_path / "x.png"), draw("blue", "bar")):
        found = run.embed(picture)
        assert found.kinds == ["picture"]
        torch.testing.assert_close(found.vectors[0], gallery.vectors[row], rtol=1e-4, atol=1e-4)
    assert len(run.search("green square", k=2)) == 2
    assert run.search(draw("blue", "bar"), k=1)[0].name == "blue-bar.png"
    assert len(run.embed(write_pairs(tmp_path / "pairs"))) == 48
    for wrong, message in (
        (["a", ""], "Row 1: `text` must be a text"),
        (["a", 3], "Row 1: `text` must be a text that is not blank. Got 3"),
        ([tmp_path / "x.png", 3], "Got int"),
        ("a green square", r"there is no such file\. Put texts into a \.txt"),
        ("a folder/x.csv", r"there is no such file or folder"),
    ):
        with pytest.raises(InputError, match=message):
            run.embed(wrong)


def test_sentences_are_embedded_from_lists_columns_and_files(sentences, tmp_path):
    texts = [row[0] for row in translations(3)]
    (tmp_path / "x.txt").write_text("\n".join(texts))
    expected = sentences.embed(tmp_path / "x.txt")
    for held in (texts, tuple(texts), column(texts), np.array(texts)):
        found = sentences.embed(held)
        assert found.names == texts
        torch.testing.assert_close(found.vectors, expected.vectors)
    assert sentences.search(translations(3)[0][1], k=1)[0].name == translations(3)[0][1]
    for wrong, message in (
        (
            "one sentence",
            r"one sentence: there is no such file\. Put texts into a \.txt, a line each; in Python in a list",
        ),
        ("no-such.txt", "no-such.txt: there is no such file or folder"),
        (["one", float("nan")], "Row 1: `sentence` must be a text that is not blank. Got nan."),
        (7, "`x` must be a file, or a list or column of sentences. Got int."),
    ):
        with pytest.raises(InputError, match=message):
            sentences.embed(wrong)
    with pytest.raises(InputError, match=r"query: must be a sentence\. Got int"):
        sentences.search(7)


def test_sequences_are_embedded_from_letters_lists_and_files(sequenced, tmp_path):
    run = tellapart.load(sequenced)
    letters = ["ACGTACGTTTACG" * 5, "GGGTTTACACANN" * 5]
    (tmp_path / "x.fa").write_text("".join(f">{i}\n{each}\n" for i, each in enumerate(letters)))
    expected = run.embed(tmp_path / "x.fa").vectors
    for held in (letters, column(letters), str(tmp_path / "x.fa"), [tmp_path / "x.fa"]):
        torch.testing.assert_close(run.embed(held).vectors, expected)
    torch.testing.assert_close(run.embed(letters[0]).vectors, expected[:1])
    assert run.embed(letters).names == ["0", "1"]
    assert len(run.search(letters[0], k=2)) == 2
    for wrong, message in (
        (["ACGT", "EFFE"], "neither a file nor a sequence"),
        (3.0, "`x` must be a file, a folder, the letters"),
        ("nowhere.fa", "nowhere.fa: there is no such file"),
    ):
        with pytest.raises(InputError, match=message):
            run.embed(wrong)


def test_graphs_are_embedded_from_files_and_from_data_of_torch_geometric(nodes, tmp_path):
    from torch_geometric.data import Data

    from tellapart.domains.graphs import load_graph

    folder = write_graph(tmp_path / "g", n=40)
    graph = load_graph(str(folder), 64)
    expected = nodes.embed(folder).vectors
    data = Data(x=graph.features.to_dense(), edge_index=graph.edge_index)
    torch.testing.assert_close(nodes.embed(data).vectors, expected, rtol=1e-4, atol=1e-5)
    as_dict = {"x": data.x, "edge_index": data.edge_index, "names": graph.names}
    assert nodes.embed(as_dict).names == graph.names
    assert nodes.search("n7", k=3)[0].name == "n7"
    for wrong, message in (
        (3, "`x` must be a file or folder of a graph"),
        (Data(x=torch.ones(3, 2), edge_index=torch.tensor([[0], [1]])), "nodes have 2 features, those of the run 66"),
        ({"x": torch.ones(3, 2)}, "x: holds no tensor edge_index"),
    ):
        with pytest.raises(InputError, match=message):
            nodes.embed(wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epoch": 3}, "`epoch` is no option of simclr. Did you mean `epochs`?"),
        ({"learning_rates": 3}, "Did you mean `learning_rate`?"),
        ({"zzz": 3}, "`zzz` is no option of simclr. There are: data, held_out"),
        ({"trainer": {"device": 2}}, "`trainer.device` is no option of simclr. Did you mean `trainer.devices`?"),
        ({"trainer": 4}, "`trainer` must be a dictionary of options. Got 4."),
        ({"epochs": "many"}, "`epochs` must be a whole number. Got 'many'"),
        ({"epochs": 0}, "`epochs` must lie between 1 and 1000000. Got 0."),
        ({"trainer": {"precision": "8"}}, "`trainer.precision` must be one of '32-true'"),
        ({"trainer": {"devices": 0}}, "`trainer.devices` must be at least 1"),
    ],
)
def test_wrong_options_are_refused_in_words_and_nothing_has_begun(tmp_path, options, message):
    with pytest.raises(InputError) as error:
        tellapart.train("simclr", run=tmp_path / "run", **options)
    assert message in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_system_that_is_not_there_and_data_that_are_missing_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"there is no 'simcr'\. There are: clip, simclr"):
        tellapart.train("simcr")
    with pytest.raises(InputError, match=r"genomics: .*data"):
        tellapart.train("genomics", run=tmp_path / "run")
    with pytest.raises(InputError, match="there is no such run folder"):
        tellapart.load(tmp_path / "run")
    with pytest.raises(InputError, match="nowhere: there is no such file or folder"):
        tellapart.train("simclr", data=tmp_path / "nowhere", run=tmp_path / "run")


def test_a_run_is_not_begun_twice_and_is_resumed_with_its_own_options(pictures):
    data = pictures.folder.parent / "patterns.npz"
    options = {"run": pictures.folder, "data": data, **OPTIONS_OF["simclr"]}
    before = (pictures.folder / "weights.safetensors").stat().st_mtime_ns
    with pytest.raises(InputError, match="holds a run already"):
        tellapart.train("simclr", **options)
    with pytest.raises(InputError, match=r"cannot resume with other options \(seed was 0, now 7\)"):
        tellapart.train("simclr", **options | {"seed": 7}, resume=True)
    with pytest.raises(InputError, match=r"`epochs` must be more than 6, the epochs that .* is trained for already"):
        tellapart.train("simclr", **options | {"epochs": 5}, resume=True)
    with pytest.raises(InputError, match="a run of simclr, not of moco"):
        tellapart.train("moco", run=pictures.folder, resume=True)
    with pytest.raises(InputError, match=r"trainer was .*'devices': 1.*, now .*'devices': 2"):
        tellapart.train("simclr", run=pictures.folder, resume=True, trainer={"devices": 2})
    assert tellapart.train("simclr", **options, resume=True).results == pictures.results
    assert tellapart.train("simclr", run=pictures.folder, resume=True).config == pictures.config
    assert (pictures.folder / "weights.safetensors").stat().st_mtime_ns == before


def test_a_run_that_is_not_trained_can_be_looked_at_and_says_what_is_missing(tmp_path):
    run = Run(tmp_path / "run")
    run.begin("clip", {"data": str(write_pairs(tmp_path / "pairs")), **OPTIONS})
    run.log_file.write_text('{"step": 1, "loss": 2.0}\n')
    loaded = tellapart.load(run.folder)
    assert loaded.config.epochs == 4
    for use in (lambda: loaded.model, lambda: loaded.embed(["a"]), lambda: loaded.search("a"), loaded.report):
        with pytest.raises(InputError, match=r"not trained to its end\. Continue it with: tellapart train clip"):
            use()


PROGRAM = """
import sys, tellapart
run = tellapart.train("clip", data=sys.argv[1], run=sys.argv[2], trainer={"devices": 2}, **%r)
print("after the training:", run.results.rows[-1][1], len(run.embed(["red dot"])))
"""


def test_a_program_that_trains_on_two_devices_goes_on_in_the_first_process_alone(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM % {**OPTIONS, "epochs": 1, "batch_size": 4})
    command = [sys.executable, str(script), str(write_pairs(tmp_path / "pairs")), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("after the training: trained 1") == 1


def test_what_the_package_does_not_have_is_named():
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        _ = tellapart.trian


@pytest.mark.parametrize("data", [np.zeros((4, 8, 8)), ["a.png"], {"x": 1}])
def test_data_to_train_on_are_named_by_their_path(data, tmp_path):
    with pytest.raises(InputError, match=rf"`data` must be the path .* numpy\.save\. Got {type(data).__name__}\."):
        tellapart.train("simclr", data=data, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("k", [2.5, "3"])
def test_counts_are_whole_numbers(pictures, k):
    with pytest.raises(InputError, match="`k` must be a whole number"):
        pictures.search(np.zeros((8, 8)), k=k)
