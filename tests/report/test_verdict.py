"""The sentence on top: for each kind of results, better and worse than guessing and than a baseline."""

import json

import pytest

from tellapart.evaluation import Table
from tellapart.report.verdict import verdict


def table(header, *rows):
    return Table("", header, list(rows), [""] * len(header), [])


def retrieval(*trained, chance=(0.02, 0.2), untrained=(0.02, 0.2)):
    header = ["", "", "R@1", "R@10"]
    rows = ("picture → text", "chance", *chance), ("", "untrained", *untrained), ("", "trained", *trained)
    return table(header, *map(list, rows), ["text → picture", "chance", 0.5, 0.5], ["", "trained", 0.9, 0.9])


FROZEN = ["", "15-NN", "linear probe", "NMI"]


@pytest.mark.parametrize(
    ("results", "kind", "said"),
    [
        (
            retrieval(0.1, 0.32, chance=(0.002, 0.0234), untrained=(0.002, 0.03)),
            "picture",
            "It finds the right text among its ten best for 32 % of pictures, 14 times as often as guessing; the "
            "untrained network reaches 3 %.",
        ),
        (
            retrieval(0.28, 0.9, chance=(0.09, 0.63), untrained=(0.07, 0.65)),
            "picture",
            "It finds the right text first for 28 % of pictures, 3.1 times as often as guessing; the untrained network "
            "reaches 7 %.",
        ),
        (
            retrieval(0.01, 0.1),
            "picture",
            "It finds the right text among its ten best for 10 % of pictures, less often than guessing (20 %), but the "
            "untrained network reaches more: 20 %.",
        ),
        (
            table(["", "R@1", "R@10"], ["chance", 0.01, 0.1], ["raw pixels", 0.3, 0.5], ["trained", 0.4, 0.6]),
            "picture",
            "It finds a match among its ten best for 60 % of pictures, 6.0 times as often as "
            "guessing; raw pixels reach 50 %.",
        ),
        (
            table(FROZEN, ["chance", 0.35, 0.35, 0], ["raw pixels", 1, 1, 1], ["trained", 0.8, 0.95, 0.4]),
            "picture",
            "A linear probe of its embeddings tells the right label of 95 % of pictures, 2.7 times as often as "
            "guessing, but raw pixels reach more: 100 %.",
        ),
        (
            table(
                ["", "accuracy", "linear probe"],
                ["chance", 0.1, 0.1],
                ["raw pixels", "", 0.7101],
                ["trained", 0.7064, 0.7099],
            ),
            "picture",
            "It tells the right label of 70.6 % of pictures, 7.1 times as often as guessing, but raw pixels reach "
            "more: 71.0 %.",
        ),
        (
            table(
                ["", "", "15-NN", "strands"],
                ["150 bases", "chance", 0.33, ""],
                ["", "canonical 4-mers", 0.4, 0],
                ["", "trained", 0.4, 0],
                ["900 bases", "chance", 0.33, ""],
                ["", "trained", 0.9, 0],
            ),
            "read",
            "A 15-NN vote tells the right label of 40 % of reads (150 bases), where guessing reaches 33 %, which is no "
            "more than canonical 4-mers reach.",
        ),
        (
            table(
                ["", "", "15-NN", "strands"],
                ["150 bases", "chance", 0.25, ""],
                ["", "their square roots", 0.79, 0],
                ["", "trained", 0.82, 0],
            ),
            "read",
            "A 15-NN vote tells the right label of 82 % of reads (150 bases), 3.3 times as often as guessing; square "
            "roots of 4-mers reach 79 %.",
        ),
        (
            table(
                ["", "", "all 32, cosine", "all 32, margin"],
                ["source → target", "chance", 0.03, 0.03],
                ["", "TF-IDF of characters", 0.02, 0.02],
                ["", "trained", 0.93, 0.9],
            ),
            "sentence",
            "It finds the translation first among all 32 for 93 % of sentences (source → target), 31 times as often as "
            "guessing; TF-IDF of characters reaches 2 %.",
        ),
        (
            table(["", "link AUC"], ["chance", 0.5], ["raw features", 0.52], ["trained", 0.68]),
            "node",
            "It scores a held-out edge above a pair without one in 68 % of cases, where guessing reaches 50 %; raw "
            "features reach 52 %.",
        ),
        (
            table(["", "loss", "true word first"], ["guessing", 2.7, 1 / 15], ["trained", 2.3, 0.277]),
            "word",
            "It scores the true word above 14 drawn ones in 28 % of pairs, 4.2 times as often as guessing.",
        ),
        (
            table(["", "chosen first", "pairs"], ["guessing", 0.4, 0.5], ["reference", 1, 1], ["trained", 0.57, 0.7]),
            "item",
            "It gives the chosen answer the highest reward for 57 % of prompts, where guessing reaches 40 %, but the "
            "reference reaches more: 100 %.",
        ),
        (
            table(["", "modes, of 25", "within 3σ"], ["real, held out", 25, 0.99], ["trained", 18, 0.11]),
            "item",
            "Its points reach 18 of 25 modes; 11 % of them lie within 3σ of one, and of real points 99 %.",
        ),
        (
            table(["", "Fréchet distance"], ["real, of training", 0.02], ["untrained", 83.2], ["trained", 12.87]),
            "item",
            "Its pictures are at a Fréchet distance of 12.9 from held-out ones, nearer than those of the untrained "
            "network at 83.2; real pictures are at 0.02.",
        ),
        (
            table(
                ["frames apart", "points", "move", "flow in one step", "untrained", "trained"],
                ["5", 815, 7.4, 1.0, 0.5, 0.96],
                ["60", 2400, 26.3, 0.47, 0.21, 0.6],
            ),
            "place",
            "It finds 60 % of points that move, 60 frames on; flow in one step reaches 47 %.",
        ),
        (
            table(["", "words", "length"], ["x.bin", 3000000, 300]),
            "word",
            "It holds 3,000,000 vectors of length 300, as they were read: nothing was trained.",
        ),
        (table(["", "colour"], ["a", "red"]), "item", ""),
    ],
)
def test_a_verdict_says_what_is_reached_and_by_what_it_is_outdone(results, kind, said):
    assert verdict(results, kind) == said


def test_every_system_with_results_has_a_verdict(run_of):
    for name in ("clip", "simclr", "graph", "bilingual", "gan", "word2vec", "genomics"):
        results = json.loads((run_of(name) / "results.json").read_text(encoding="utf-8"))
        assert verdict(Table.from_dict(results)).endswith("."), name
