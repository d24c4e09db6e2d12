"""word2vec against gensim on the same text of 18.8 million words: quality over seeds, and speed in one run.

    python benchmarks/words.py                      quality; results/words.md and docs/words.md
    python benchmarks/words.py --speed              speed, in turns; results/words_speed.md and docs/words.md
    python benchmarks/words.py --seeds 0            a part

Text and tests are those of `words_data.py`. Vectors of length 100, windows of 5, 3 epochs. gensim has one worker, so
that its seed decides the result, and 5 negatives. Each training is a process of its own; runs/words keeps them, and
complete ones are not repeated. Analogies are answered from the 30,000 most frequent words, as word2vec's own script
does, and from all words; questions with another word are left out.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import words_data
from pages import publish
from tellapart.domains.words import Corpus, Text, WordVectors, gather, measure, read_vectors
from tellapart.domains.words.held_out import HeldOut
from tellapart.systems.word2vec import Config
from trainings import as_words, row, spread, train_all
from words_peer import make

SYSTEMS = {
    "SGNS, K = 5": {"objective": "sgns", "negatives": 5},
    "InfoNCE, K = 14": {"objective": "infonce", "negatives": 14},
}
GENSIM = "gensim, K = 5"
COMMON = {"epochs": 3, "held_out": 0.001}
TIMED = 2_000_000
FREQUENT = 30_000


def folder_of(runs: Path, name: str, seed: int) -> Path:
    """Where a training is kept."""
    return runs / f"{name.partition(',')[0].lower()}-{seed}"


def command(runs: Path, name: str, seed: int, text: Path) -> list[str]:
    """The arguments of python that train it."""
    folder = folder_of(runs, name, seed)
    if name == GENSIM:
        return [str(Path(__file__).with_name("words_peer.py")), str(text), str(folder), "--seed", str(seed)]
    options = SYSTEMS[name] | COMMON | {"data": text, "run": folder, "seed": seed, "threads": 1}
    return ["-m", "tellapart", "train", "word2vec", "--resume", *as_words(options)]


def quality(folder: Path) -> list[float]:
    """WordSim-353, synonyms, and both kinds of analogies, twice, of the vectors of a training."""
    if (folder / "vectors.bin").is_file():
        words, vectors = read_vectors(folder / "vectors.bin")
    else:
        import tellapart

        model = tellapart.load(folder).model
        words, vectors = model.vocabulary.words, model.table().numpy()
    pairs = [line.split("\t") for line in words_data.synonyms().read_text().splitlines()]
    known = set(words)
    found = [(a, b) for a, b, *_ in pairs if a in known and b in known]
    chosen = np.random.default_rng(0).permutation(len(found))[:20_000]
    similar = measure.similarity(words, vectors, measure.read_pairs(words_data.test_set("wordsim353.tsv")))
    alike = measure.synonyms(words, vectors, [found[i] for i in chosen.tolist()])
    questions = measure.read_questions(words_data.test_set("questions-words.txt"))
    questions = {k: [tuple(w.lower() for w in q) for q in asked] for k, asked in questions.items()}
    tops = (FREQUENT, len(words))
    answered = [measure.in_two(measure.analogies(words[:top], vectors[:top], questions)) for top in tops]
    return [similar.spearman, alike.auc, *(part.share for parts in answered for part in parts)]


def quality_table(runs: Path, seeds: dict[str, list[int]]) -> str:
    """The results of the trainings, as Markdown."""
    header = ["", "seeds", "WordSim-353, ρ", "synonyms, AUC", "semantic analogies", "syntactic", "semantic, all words"]
    header.append("syntactic, all words")
    lines = [row(header), "|---" * len(header) + "|"]
    for name, own in seeds.items():
        columns = zip(*(quality(folder_of(runs, name, seed)) for seed in own), strict=True)
        lines.append(row([name, ", ".join(map(str, own)), *(spread(column) for column in columns)]))
    return "\n".join(lines) + "\n"


def contenders(text: Path, folder: Path) -> dict[str, Callable[[], tuple[int, float, float]]]:
    """What is timed: each trains once on the first words of the text; words, processor and wall seconds."""
    part = folder / "part.txt"
    lines, n = [], 0
    for line in text.open(encoding="utf-8"):
        lines.append(line)
        n += line.count(" ") + 1
        if n > TIMED:
            break
    part.write_text("".join(lines), encoding="utf-8")
    sentences = [line.split() for line in lines]
    corpus = gather(part, folder / "corpus")
    found = {}
    for threads in (1, 2):
        for name, options in SYSTEMS.items():
            config = replace(Config(str(part)), **options, threads=threads, held_out=0.001)
            found[f"{name}, {_threads(threads)}"] = _ours(corpus, config)
        found[f"{GENSIM}, {_threads(threads)}"] = _gensim(sentences, n, threads)
        found[f"{GENSIM}, {_threads(threads)}, from a file"] = _gensim(part, n, threads)
    return found


def _ours(corpus: Corpus, config: Config) -> Callable[[], tuple[int, float, float]]:
    import torch

    text = Text(corpus, HeldOut(config.held_out, 0))
    kernel = WordVectors(config, corpus.vocabulary).kernel()
    kernel.train(np.zeros(2, np.int32), 0, 0, (0.0, 0.0))  # compiles

    def run() -> tuple[int, float, float]:
        clock, cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(corpus.ids), config.batch_size):
            passage = text.passage(torch.arange(start, min(start + config.batch_size, len(corpus.ids))))
            kernel.train(passage.ids, passage.place, 0, (0.025, 0.025))
        return corpus.found.tokens, time.process_time() - cpu, time.perf_counter() - clock

    return run


def _gensim(sentences: Any, n_words: int, workers: int) -> Callable[[], tuple[int, float, float]]:
    is_file = isinstance(sentences, Path)
    model = make(0, workers, 1)
    given = {"corpus_file": str(sentences)} if is_file else {"corpus_iterable": sentences}
    model.build_vocab(**given)

    def run() -> tuple[int, float, float]:
        clock, cpu = time.perf_counter(), time.process_time()
        model.train(**given, total_examples=model.corpus_count, total_words=n_words, epochs=1)
        return n_words, time.process_time() - cpu, time.perf_counter() - clock

    return run


def _threads(n: int) -> str:
    return "1 thread" if n == 1 else f"{n} threads"


def speed_table(text: Path, repeats: int) -> str:
    """All contenders in turns, as Markdown; ratios are medians over turns, to the faster gensim of as many threads."""
    rates: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        timed = contenders(text, Path(folder))
        for _ in range(repeats):
            for name, run in timed.items():
                n, cpu, wall = run()
                rates.setdefault(name, []).append((n / cpu, n / wall))
    lines = ["| | words a CPU-second | × gensim | words a second | × gensim |", "|---" * 5 + "|"]
    for name, found in rates.items():
        peers = [rates[other] for other in rates if other.startswith("gensim") and _n(other) == _n(name)]
        cells = [name]
        for which in (0, 1):
            best = [max(peer[turn][which] for peer in peers) for turn in range(repeats)]
            ratio = median(found[turn][which] / best[turn] for turn in range(repeats))
            cells += [f"{median(rate[which] for rate in found):,.0f}", f"{ratio:.2f}"]
        lines.append(row(cells))
    lines += ["", f"The first {TIMED:,} words, once; the median of {repeats} turns."]
    return "\n".join(lines) + "\n"


def _n(name: str) -> str:
    return "2 threads" if "2 threads" in name else "1 thread"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--gensim-seeds", type=int, nargs="+", help="by default the same")
    parser.add_argument("--runs", type=Path, default=Path("runs/words"))
    given = parser.parse_args()
    text = words_data.corpus()
    if given.speed:
        publish("words_speed", speed_table(text, given.repeats))
        return
    seeds = dict.fromkeys(SYSTEMS, given.seeds) | {GENSIM: given.gensim_seeds or given.seeds}
    jobs = {folder_of(given.runs, n, s): command(given.runs, n, s, text) for n, own in seeds.items() for s in own}
    train_all(jobs, at_once=1)
    publish("words", quality_table(given.runs, seeds))


if __name__ == "__main__":
    main()
