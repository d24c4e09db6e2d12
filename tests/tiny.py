"""Tiny data sets that can be learned: coloured shapes and what a person would call them, patterns, genomes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

COLOURS = ("red", "green", "blue", "orange", "purple", "black")
SHAPES = ("circle", "square", "bar", "dot")
# Small and quick options of the CLIP system for these pictures.
OPTIONS = {
    "picture_size": 16,
    "picture_width": 4,
    "dim": 16,
    "text_buckets": 256,
    "text_width": 16,
    "batch_size": 8,
    "epochs": 4,
    "learning_rate": 0.01,
}

# Half of the pairs are held out, and all steps together show what is learned.
CLIP_OPTIONS = OPTIONS | {"epochs": 12, "held_out": 0.5}
# Options of its own, each with a value out of its range; so for the other systems below.
CLIP_WRONG = (
    ("picture_size", 4),
    ("temperature", 0.0),
    ("text_dropout", 1.0),
    ("picture_jitter", -0.1),
    ("dim", 0),
)


def draw(colour: str, shape: str) -> Image.Image:
    """One picture, 24×24."""
    image = Image.new("RGB", (24, 24), "white")
    pen = ImageDraw.Draw(image)
    if shape == "circle":
        pen.ellipse((3, 3, 20, 20), fill=colour)
    elif shape == "square":
        pen.rectangle((4, 4, 19, 19), fill=colour)
    elif shape == "bar":
        pen.rectangle((2, 10, 21, 13), fill=colour)
    else:
        pen.ellipse((9, 9, 14, 14), fill=colour)
    return image


def write_pairs(folder: Path, texts: dict[str, str] | None = None) -> Path:
    """24 pictures and a table of them; `texts` replaces the texts of the files it names."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "text"])
        for colour in COLOURS:
            for shape in SHAPES:
                name = f"{colour}-{shape}.png"
                draw(colour, shape).save(folder / name)
                table.writerow([name, (texts or {}).get(name, f"{colour} {shape}")])
    return folder


SCRIPT = "<script>alert(1)</script>"


def write_scripted(folder: Path) -> Path:
    """The pictures and the table, in which texts of one colour carry a script: at least one of them is shown."""
    return write_pairs(folder, {f"red-{shape}.png": f"{SCRIPT} {shape}" for shape in SHAPES})


def arguments(**options: object) -> list[str]:
    """The tiny options as words of a command line."""
    return [f"--{name}={value}" for name, value in (OPTIONS | options).items()]


# Small and quick options of the systems of pictures without texts, for `write_patterns`.
PICTURE_OPTIONS = {
    "width": 8,
    "hidden": 32,
    "dim": 16,
    "batch_size": 24,
    "epochs": 6,
    "learning_rate": 0.01,
    "held_out": 0.25,
    "crop": 0.4,
    "jitter": 0.2,
    "grey": 0.0,
}
MOCO_OPTIONS = PICTURE_OPTIONS | {"queue": 48, "momentum": 0.9}
PICTURE_WRONG = (
    ("views", 1),
    ("picture_size", 4),
    ("temperature", 0.0),
    ("dim", 0),
    ("hidden", 0),
    ("width", 0),
    ("crop", 0.0),
    ("flip", 1.5),
    ("jitter", 2.0),
    ("grey", -0.1),
    ("blur", float("nan")),
    ("chunk", 1),
    ("encoder_options", "{}"),
)
MOCO_WRONG = (
    ("momentum", 1.1),
    ("momentum", float("nan")),
    ("queue", 47),
    ("queue", 2**21),
)
OPTIONS_OF = {"simclr": PICTURE_OPTIONS, "moco": MOCO_OPTIONS}
HARMONY_OPTIONS = PICTURE_OPTIONS | {"labels_per_class": 8, "labelled_batch": 16, "weight": 0.5, "rule": "pcgrad"}
HARMONY_WRONG = (
    ("weight", -0.1),
    ("weight", float("nan")),
    ("labels_per_class", 0),
    ("labelled_batch", 0),
    ("contrastive_first", 1.0),
    ("contrastive_first", -0.1),
    ("turn", 1.5),
)


def patterns(n: int = 160, channels: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of 4×4 patches, 16×16, and their labels: half of each is its label's pattern, half its own."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, n)
    shared = np.random.default_rng(99).random((3, 4, 4, channels))
    patches = (shared[labels] + random.random((n, 4, 4, channels))) / 2
    return (255 * patches.repeat(4, axis=1).repeat(4, axis=2)).astype(np.uint8), labels


def write_patterns(folder: Path, n: int = 160, labelled: bool = True, channels: int = 3, seed: int = 0) -> Path:
    """A file of `patterns`."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures, labels = patterns(n, channels, seed)
    np.savez(folder / "patterns.npz", images=pictures, **({"labels": labels} if labelled else {}))
    return folder / "patterns.npz"


def picture_arguments(system: str, **options: object) -> list[str]:
    """A system's tiny options as words of a command line."""
    return [f"--{name}={value}" for name, value in (OPTIONS_OF[system] | options).items()]


def harmony_arguments(**options: object) -> list[str]:
    """The tiny options of harmony as words of a command line."""
    return [f"--{name}={value}" for name, value in (HARMONY_OPTIONS | options).items()]


# Small and quick options of the graph system, for `write_graph`.
GRAPH_OPTIONS = {"width": 16, "dim": 16, "words": 64, "epochs": 12, "batch_size": 64, "held_out": 0.1}

GRAPH_WRONG = (
    ("company", -1),
    ("fan_out", 0),
    ("temperature", 0.0),
    ("drop_edges", 1.0),
    ("drop_features", -0.1),
    ("layers", 0),
    ("width", 2),
    ("dim", 2**20),
    ("words", 0),
)


def graph_tables(n: int = 60, seed: int = 0) -> tuple[list[list[object]], list[tuple[str, str]]]:
    """Rows of nodes (name, label, text, two numbers) and edges: three groups, most edges within them."""
    random = np.random.default_rng(seed)
    group = random.integers(0, 3, n)
    words = ("red warm fire", "green leaf tree", "blue cold sea")
    nodes: list[list[object]] = [
        [f"n{i}", f"group {g}", f"{random.choice(words[g].split())} thing {i}", *random.normal(g, 1, 2).round(3)]
        for i, g in enumerate(group)
    ]
    pairs = {(i, int(random.choice(np.flatnonzero(group == group[i])))) for i in range(n) for _ in range(3)}
    pairs |= {(int(i), int(j)) for i, j in random.integers(0, n, (n // 6, 2))}
    return nodes, [(f"n{i}", f"n{j}") for i, j in sorted(pairs) if i < j]


def write_graph(folder: Path, n: int = 60, labelled: bool = True) -> Path:
    """A folder with the tables of `graph_tables`; the text of a node and its numbers are its features."""
    folder.mkdir(parents=True, exist_ok=True)
    nodes, pairs = graph_tables(n)
    header = ["node", *(["label"] if labelled else []), "text", "first", "second"]
    rows = [row if labelled else [row[0], *row[2:]] for row in nodes]
    for name, content in (("nodes", [header, *rows]), ("edges", [["source", "target"], *pairs])):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(content)
    return folder


def graph_arguments(**options: object) -> list[str]:
    """The graph system's tiny options as words of a command line."""
    return [f"--{name}={value}" for name, value in (GRAPH_OPTIONS | options).items()]


# Small and quick options of the system of genomes, for `write_genomes`.
GENOME_OPTIONS = {
    "read_length": 50,
    "window": 150,
    "width": 8,
    "dim": 8,
    "layers": 2,
    "batch_size": 32,
    "epochs": 6,
    "learning_rate": 0.01,
    "held_out": 0.25,
}

GENOME_WRONG = (
    ("read_length", 0),
    ("window", -1),
    ("error_rate", 1.5),
    ("indels", float("nan")),
    ("temperature", 0.0),
    ("dim", 0),
    ("width", 0),
    ("layers", 13),
)


def write_genomes(folder: Path, n_bases: int = 6000, labels: int = 3) -> Path:
    """A FASTA file per label, of a composition of its own: bases that follow one another as in no other."""
    folder.mkdir(parents=True, exist_ok=True)
    for label in range(labels):
        random = np.random.default_rng(label)
        following = random.dirichlet([0.6] * 4, size=4)
        place, letters = 0, []
        for _ in range(n_bases):
            place = random.choice(4, p=following[place])
            letters.append("ACGT"[place])
        (folder / f"species {label}.fa").write_text(f">genome{label}\n{''.join(letters)}\n")
    return folder


@contextmanager
def few_reads() -> Iterator[None]:
    """Inside, few reads are measured and shown: their clusters would take most of the time."""
    from tellapart.domains.genomes import dataset, measure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "_OF_A_LABEL", 60)
        patch.setattr(dataset, "MAX_SHOWN", 60)
        yield


def genome_arguments(**options: object) -> list[str]:
    """The system of genomes' tiny options as words of a command line."""
    return [f"--{name}={value}" for name, value in (GENOME_OPTIONS | options).items()]


# Small and quick options of the bilingual system, for `write_translations`.
SENTENCE_OPTIONS = {"dim": 16, "buckets": 512, "epochs": 6, "batch_size": 24, "held_out": 0.25, "learning_rate": 0.03}
TRANSFORMER_OPTIONS = SENTENCE_OPTIONS | {
    "encoder": "transformer",
    "layers": 1,
    "vocabulary": 120,
    "longest": 12,
    "reading": 16,
    "epochs": 3,
    "learning_rate": 0.003,
}

SENTENCE_WRONG = (
    ("pairs", 1),
    ("pairs", -1),
    ("dropout", 1.0),
    ("temperature", 0.001),
    ("margin", -0.1),
    ("masked_weight", -1.0),
    ("buckets", 0),
    ("vocabulary", 1),
    ("longest", 1),
    ("reading", 0),
    ("layers", 0),
)


def translations(n: int = 120, seed: int = 0) -> list[tuple[str, str, str]]:
    """Sentences of 5 made-up words, word by word in another made-up language, and pages of 4 pairs each."""
    random = np.random.default_rng(seed)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    words = [["".join(random.choice(syllables, 2)) for _ in range(40)] for _ in range(2)]
    chosen = random.integers(0, 40, (n, 5))
    sides = ([" ".join(words[side][i] for i in row) for row in chosen] for side in range(2))
    return [(*pair, f"page {i // 4}") for i, pair in enumerate(zip(*sides, strict=True))]


def write_translations(folder: Path, n: int = 120, seed: int = 0) -> Path:
    """A table of `translations`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join("\t".join(row) + "\n" for row in translations(n, seed))
    (folder / "pairs.tsv").write_text(text, encoding="utf-8")
    return folder / "pairs.tsv"


def sentence_arguments(encoder: str = "bag", **options: object) -> list[str]:
    """The bilingual system's tiny options as words of a command line."""
    chosen = SENTENCE_OPTIONS if encoder == "bag" else TRANSFORMER_OPTIONS
    return [f"--{name}={value}" for name, value in (chosen | options).items()]


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


WORD_OPTIONS = {
    "dim": 20,
    "epochs": 5,
    "batch_size": 500,
    "negatives": 4,
    "window": 3,
    "min_count": 3,
    "sample": 0.0,
    "held_out": 0.1,
    "learning_rate": 0.1,
    "threads": 2,
}
SUBWORD_OPTIONS = WORD_OPTIONS | {"objective": "infonce", "subwords": 4, "buckets": 500, "learning_rate": 0.03}
WORD_WRONG = (
    ("negatives", 0),
    ("negatives", 101),
    ("dim", 0),
    ("window", 0),
    ("min_count", 0),
    ("sample", 1.5),
    ("learning_rate", 2.0),
    ("weight_decay", 0.1),
    ("phrases", -1),
    ("phrase_threshold", 0.0),
    ("subwords", 2),
    ("buckets", 0),
    ("threads", 0),
)


def write_words(folder: Path, n: int = 600, seed: int = 0) -> Path:
    """Sentences about cats and about taxes, of words that do not meet."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    topics = [[f"{topic}{i}" for i in range(12)] for topic in ("cat", "tax")]
    lines = [" ".join(random.choice(topics[random.integers(2)], 6)) for _ in range(n)]
    (folder / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "text.txt"


# Small and quick options of the audiovisual system, for `write_moments`.
SOUND_OPTIONS = {
    "picture_size": 16,
    "picture_width": 4,
    "sound_width": 4,
    "dim": 8,
    "seconds": 0.4,
    "batch_size": 40,
    "epochs": 6,
    "learning_rate": 0.01,
    "sigma": 0.5,
    "clock": "learned",
}
SOUND_WRONG = (
    ("picture_size", 4),
    ("seconds", 0.0),
    ("every", 0.1),
    ("every", -1.0),
    ("offset", float("nan")),
    ("sigma", 0.0),
    ("sigma", float("inf")),
    ("margin", 0.5),
    ("temperature", 0.0),
    ("dim", 0),
    ("sound_width", 0),
    ("picture_width", 0),
    ("picture_jitter", -0.1),
    ("noise", 1.5),
)


def tone(frequency: float, seconds: float = 0.4, rate: int = 8000) -> np.ndarray:
    """A sine with two overtones, half as loud as can be."""
    phase = 2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate
    return (0.3 * np.sin(phase) + 0.15 * np.sin(2 * phase) + 0.05 * np.sin(3 * phase)).astype(np.float32)


def write_moments(
    folder: Path, n: int = 160, sigma: float = 0.2, offset: float = 0.3, labelled: bool = True, missing: float = 0.1
) -> Path:
    """Tones and coloured shapes of the same events, one in a second, each of six kinds; some are not recorded."""
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    for kind, colour in enumerate(COLOURS):
        soundfile.write(folder / f"{colour}.wav", tone(200 * 1.4**kind), 8000)
        draw(colour, SHAPES[kind % len(SHAPES)]).save(folder / f"{colour}.png")
    random = np.random.default_rng(0)
    times, kinds = np.cumsum(random.exponential(size=n)), random.integers(len(COLOURS), size=n)
    clocks = {"sounds": ("wav", times + offset + sigma * random.normal(size=n)), "pictures": ("png", times)}
    for name, (suffix, clock) in clocks.items():
        kept = np.flatnonzero(random.random(n) >= missing)
        rows = [[f"{COLOURS[kinds[i]]}.{suffix}", repr(float(clock[i])), COLOURS[kinds[i]]] for i in kept]
        header = ["file", "time", "label"]
        write_table(folder / f"{name}.csv", [row[: 2 + labelled] for row in [header, *rows]])
    return folder


def write_table(path: Path, rows: list[list[object]]) -> None:
    """A CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
