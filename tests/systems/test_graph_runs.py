"""The command line for graphs: train, evaluate, embed, search, report, and resuming after a kill."""

import numpy as np
import pytest

from tests.command_line import fails, read_log, read_results, say
from tests.killed import whole_and_killed
from tests.tiny.graphs import graph_arguments, write_graph
from tests.training.test_resume import assert_same_end


@pytest.fixture
def run(run_of):
    """A run on the tiny graph, taken in parts."""
    return run_of("graph")


def test_training_lowers_the_loss_and_says_what_it_learned(run):
    log = read_log(run)
    assert np.mean([e["loss"] for e in log[-5:]]) < np.mean([e["loss"] for e in log[:5]])
    assert {"seconds_parts", "seconds_views"} <= set(log[0])
    table = read_results(run)
    assert [row[0] for row in table["rows"]] == ["chance", "raw features", "untrained", "trained"]
    assert table["header"] == ["", "linear probe", "±", "link AUC"]
    assert table["rows"][3][1] > 0.5  # of three groups, guessing finds 0.35


def test_evaluate_takes_another_graph(capsys, run, tmp_path):
    code, out, _ = say(capsys, "evaluate", run, "--data", write_graph(tmp_path / "other", n=80, labelled=False))
    assert code == 0
    assert "80 nodes" in out
    assert "linear probe" not in out  # it has no labels
    assert "link AUC" in out


def test_embed_gives_a_unit_vector_for_every_node(capsys, run, tmp_path):
    out_file = tmp_path / "x.npz"
    code, out, _ = say(capsys, "embed", run, write_graph(tmp_path / "other", n=40), "-o", out_file)
    assert code == 0
    assert "40 embeddings of length 16" in out
    with np.load(out_file, allow_pickle=False) as file:
        assert file["name"][:2].tolist() == ["n0", "n1"]
        assert set(file["kind"]) == {"node"}
        np.testing.assert_allclose(np.linalg.norm(file["embedding"], axis=1), 1, rtol=1e-5)


def test_search_finds_a_node_by_its_name_first_itself(capsys, run):
    code, out, _ = say(capsys, "search", run, "n7", "-k", 3)
    assert code == 0
    lines = out.splitlines()
    assert "Nodes for “n7”" in lines[0]
    assert lines[2].split()[:2] == ["n7", "group"] or lines[2].split()[:2] == ["n7", "1.000"]
    assert "there is no node 'nobody'" in fails(capsys, "search", run, "nobody")


def test_a_graph_of_other_features_is_refused(capsys, run, tmp_path):
    folder = write_graph(tmp_path / "g")
    nodes = folder / "nodes.csv"
    nodes.write_text("\n".join(line.rpartition(",")[0] for line in nodes.read_text().splitlines()))
    for words in (["embed", run, folder, "-o", tmp_path / "x.npz"], ["evaluate", run, "--data", folder]):
        assert "nodes have 65 features, those of the run 66" in fails(capsys, *words)


def test_a_mistake_in_the_data_is_one_line(capsys, tmp_path):
    folder = write_graph(tmp_path / "g")
    with (folder / "edges.csv").open("a") as file:
        file.write("n1,n999\n")
    message = fails(capsys, "train", "graph", "--run", tmp_path / "run", "--data", folder, "--broken", "stop")
    assert "edges.csv line" in message


def test_a_graph_without_labels_of_which_all_are_joined_can_be_learned(tmp_path, capsys):
    names = "abcde"
    folder = tmp_path / "g"
    folder.mkdir()
    (folder / "nodes.csv").write_text("node,x\n" + "".join(f"{name},{i}\n" for i, name in enumerate(names)))
    pairs = [f"{a},{b}\n" for a in names for b in names]
    (folder / "edges.csv").write_text("source,target\n" + "".join(pairs))
    words = graph_arguments(data=folder, epochs=2, held_out=0.3)
    code, out, err = say(capsys, "train", "graph", "--run", tmp_path / "run", *words)
    assert code == 0, err
    assert "5 self-loops were left out" in out


def test_a_killed_run_that_is_resumed_ends_in_the_same_weights(tmp_path):
    data = write_graph(tmp_path / "data", labelled=False)  # no probes: they would take most of the time
    words = graph_arguments(**{"data": data, "epochs": 8, "trainer.checkpoint_every": 7, "batch_size": 24})
    whole, killed = whole_and_killed(tmp_path, "graph", words, step=10)
    assert_same_end(killed, whole)
