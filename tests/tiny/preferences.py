"""Preferences to test with, small and made up, and options of training that are as small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

# Small and quick options of DPO, for `write_preferences`: a new model learns to write in a second.
PREFERENCE_OPTIONS = {
    "vocabulary": 300,
    "width": 32,
    "layers": 1,
    "longest": 32,
    "pretrain_epochs": 4,
    "pretrain_batch": 8,
    "epochs": 3,
    "batch_size": 8,
    "held_out": 0.25,
    "learning_rate": 0.003,
    "watched": 4,
}

PREFERENCE_WRONG = (
    ("beta", 0.0),
    ("beta", float("nan")),
    ("score_temperature", 0.0),
    ("smoothing", 0.5),
    ("margin", -1.0),
    ("likelihood", float("inf")),
    ("longest", 3),
    ("lora", -1),
    ("watched", 1),
    ("pretrain_epochs", 0),
    ("pretrain_batch", 1),
    ("pretrain_rate", 0.0),
    ("vocabulary", 100),
    ("width", 33),
    ("layers", 0),
)


def preferences(n: int = 48, seed: int = 0) -> list[dict[str, object]]:
    """Prompts of a few words with an answer as it is spelt, and one or two with letters replaced by figures."""
    random = np.random.default_rng(seed)
    subjects, verbs = ("the cat", "a dog", "my bird", "her child", "one bee"), ("sees", "likes", "finds", "wants")
    objects, things = ("a red", "the blue", "some green", "that small"), ("house", "sea", "grass", "moon", "fire")
    rows: list[dict[str, object]] = []
    for i in range(n):
        subject, verb, article, thing = (str(random.choice(x)) for x in (subjects, verbs, objects, things))
        chosen = f" {article} {thing}"
        rejected = [chosen.replace("e", "3"), chosen.replace("s", "5").replace("r", "7")]
        prompt, others = f"{subject} {verb} {i}:", rejected if i % 2 else rejected[0]
        rows.append({"prompt": prompt, "chosen": chosen, "rejected": others})
    return [row for row in rows if row["chosen"] not in row["rejected"]]


def write_preferences(folder: Path) -> Path:
    """A file of `preferences`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in preferences())
    (folder / "preferences.jsonl").write_text(text, encoding="utf-8")
    return folder / "preferences.jsonl"


def preference_arguments(**options: object) -> list[str]:
    """DPO's tiny options as words of a command line."""
    return [f"--{name}={value}" for name, value in (PREFERENCE_OPTIONS | options).items()]
