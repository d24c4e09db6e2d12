"""The table of frozen embeddings: its figures are those of its parts, and its notes say what to doubt."""

import subprocess
import sys
import weakref
from collections.abc import Mapping

import numpy as np
import pytest
import torch

from tellapart.evaluation import Table, clustering, frozen, linear_probe, nearest_neighbours

MODULE = sys.modules[frozen.__module__]
TRAIN_LABELS, TEST_LABELS = torch.arange(90) % 3, torch.arange(60) % 3


def embeddings(spread, seed=0):
    """Training and test set around one axis per label."""
    rng = np.random.default_rng(seed)
    return tuple(
        (torch.eye(3, 6)[labels] + spread * torch.tensor(rng.normal(size=(len(labels), 6)))).float()
        for labels in (TRAIN_LABELS, TEST_LABELS)
    )


def test_the_figures_are_those_of_the_parts():
    good, vague = embeddings(0.01), embeddings(0.7)
    table = frozen({"good": good, "vague": vague}, TRAIN_LABELS, TEST_LABELS, "title")
    assert table.header == ["", "15-NN", "linear probe", "NMI", "ARI"]
    assert table.title == "title"
    assert table.cells()[0] == ["chance", "0.333", "0.333", "0.000", "0.000"]
    assert table.cells()[1] == ["good", "1.000", "1.000", "1.000", "1.000"]
    train, test = vague
    groups = clustering(test, TEST_LABELS)
    assert table.rows[2] == [
        "vague",
        (nearest_neighbours(train, TRAIN_LABELS, test) == TEST_LABELS).double().mean().item(),
        (linear_probe(train, TRAIN_LABELS, test).labels == TEST_LABELS).double().mean().item(),
        groups.nmi,
        groups.ari,
    ]
    assert 1 / 3 < table.rows[2][1] < 1
    assert Table(**table.as_dict()) == table


def test_chance_guesses_the_label_most_frequent_in_training_and_the_smallest_of_several():
    vectors = torch.eye(4)
    models = {"any": (vectors, vectors)}
    assert frozen(models, [5, 5, -1, 2], [5, -1, -1, -1], "").rows[0] == ["chance", 0.25, 0.25, 0.0, 0.0]
    assert frozen(models, [5, 5, -1, -1], [5, -1, -1, -1], "").rows[0] == ["chance", 0.75, 0.75, 0.0, 0.0]


def test_a_small_training_set_votes_as_a_whole():
    vectors = torch.eye(4)
    table = frozen({"any": (vectors, vectors)}, [0, 0, 1, 1], [0, 0, 1, 1], "")
    assert table.header[1] == "4-NN"
    assert any(note.startswith("4-NN: ") for note in table.notes)


def test_every_column_is_explained():
    table = frozen({"good": embeddings(0.01)}, TRAIN_LABELS, TEST_LABELS, "")
    explained = " ".join(table.notes)
    for column in ("15-NN", "Linear probe", "NMI", "ARI", "Chance"):
        assert column in explained
    assert not any(note.startswith("good: ") for note in table.notes)


def test_a_probe_that_did_not_converge_is_noted_by_its_model(monkeypatch):
    monkeypatch.setattr(MODULE, "probe_steps", lambda *_: 1)
    table = frozen({"vague": embeddings(0.7)}, TRAIN_LABELS, TEST_LABELS, "")
    assert "vague: the linear probe had not converged after 1 steps; more could change it." in table.notes


def test_embeddings_that_coincide_are_noted_by_their_model():
    point = torch.ones(90, 6), torch.ones(60, 6)
    table = frozen({"good": embeddings(0.01), "collapsed": point}, TRAIN_LABELS, TEST_LABELS, "")
    assert table.cells()[2] == ["collapsed", "0.333", "0.333", "0.000", "0.000"]
    assert table.notes[-1] == "collapsed: embeddings coincide; only 1 of 3 groups could be formed."


class Asked(Mapping):
    """Embeddings of two models, made when they are asked for, which notes whether the other's are still there."""

    def __init__(self):
        self.made, self.left = [], []

    def __getitem__(self, name):
        self.left.append(sum(ref() is not None for ref in self.made))
        pair = torch.eye(2).repeat(4, 1), torch.eye(2).repeat(4, 1)
        self.made += map(weakref.ref, pair)
        return pair

    def __iter__(self):
        return iter(["first", "second"])

    def __len__(self):
        return 2


def test_one_models_embeddings_are_gone_before_the_next_ones_are_made():
    models = Asked()
    frozen(models, [0, 1] * 4, [0, 1] * 4, "")
    assert models.left == [0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": {}}, r"`models` must name at least one model\. Got none\."),
        (
            {"models": {"a": (torch.eye(3), torch.eye(4, 3))}},
            r"`models\['a'\]` must have one test embedding per label, 3\. Got 4\.",
        ),
        (
            {"models": {"a": (torch.eye(2, 3), torch.eye(3))}},
            r"`models\['a'\]` must have one training embedding per label, 3\. Got 2\.",
        ),
        ({"models": {"a": (torch.ones(0, 3), torch.eye(3))}}, r"`models\['a'\]` must not be empty\. Got shape .*"),
        (
            {"models": {"a": (torch.eye(3), torch.eye(3, 4))}},
            r"`queries` must have 3 columns, as `train` has\. Got 4\.",
        ),
        ({"train_labels": [1, 1, 1]}, r"`train_labels` must hold at least 2 different labels\. Got 1\."),
        ({"test_labels": [1, 1, 1]}, r"`test_labels` must hold at least 2 different labels\. Got 1\."),
    ],
)
def test_mistakes_are_named(change, message):
    good = {"models": {"a": (torch.eye(3), torch.eye(3))}, "train_labels": [1, 2, 3], "test_labels": [1, 2, 3]}
    with pytest.raises(ValueError, match=f"^{message}$"):
        frozen(**(good | change), title="")


def test_importing_the_measures_does_not_import_scikit_learn():
    code = (
        "import sys, tellapart.evaluation; print({'sklearn', 'scipy'} & {name.split('.')[0] for name in sys.modules})"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
