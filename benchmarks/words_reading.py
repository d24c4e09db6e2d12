"""Reading a corpus: words counted and turned into ids, against gensim, in CPU-seconds; each in its own process.

    python benchmarks/words_reading.py [FILE]        writes benchmarks/results/words_reading.md

gensim counts, and reads the text again in every epoch; `gather` counts and leaves ids on the disk. FILE has a sentence
a line; by default it is the corpus of `words_data.py`. Needs gensim. All take turns, three times. The table has the
least time of each, and the most.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import words_data

RESULTS = Path(__file__).parent / "results" / "words_reading.md"
RUNS = 3
WAYS = {
    "gensim, `build_vocab` of `LineSentence`": "gensim",
    "gensim, words of one epoch as ids": "gensim_ids",
    "tellapart, `gather`: vocabulary and ids": "tellapart",
    "tellapart, the same with one pass of phrases": "tellapart_phrases",
}


def gensim(path: str) -> None:
    from gensim.models import Word2Vec
    from gensim.models.word2vec import LineSentence

    model = Word2Vec(min_count=5, vector_size=1)
    timed(lambda: model.build_vocab(LineSentence(path)))


def gensim_ids(path: str) -> None:
    """What every epoch of gensim does again: read, cut, look up."""
    from gensim.models import Word2Vec
    from gensim.models.word2vec import LineSentence

    model = Word2Vec(min_count=5, vector_size=1)
    model.build_vocab(LineSentence(path))
    known = model.wv.key_to_index
    timed(lambda: [[known[word] for word in sentence if word in known] for sentence in LineSentence(path)])


def tellapart(path: str, passes: int = 0) -> None:
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401 - importing is not reading

    from tellapart.domains.words import Phrases, gather

    with tempfile.TemporaryDirectory() as folder:
        timed(lambda: gather(path, Path(folder) / "corpus", phrases=Phrases(passes) if passes else None))


def tellapart_phrases(path: str) -> None:
    tellapart(path, 1)


def timed(work) -> None:
    start, wall = time.process_time(), time.perf_counter()
    work()
    print(time.process_time() - start, time.perf_counter() - wall)


def main(path: str) -> None:
    times: dict[str, list[tuple[float, ...]]] = {way: [] for way in WAYS}
    for _ in range(RUNS):
        for way, name in WAYS.items():
            out = subprocess.run([sys.executable, __file__, path, name], capture_output=True, text=True, check=True)
            times[way].append(tuple(map(float, out.stdout.split())))
    rows = ["| | CPU s, least (most) | s, least |", "|---|---|---|"]
    for way, found in times.items():
        cpu, wall = zip(*found, strict=True)
        rows.append(f"| {way} | {min(cpu):.2f} ({max(cpu):.2f}) | {min(wall):.2f} |")
    said = f"{RUNS} runs each in turn, one thread, on a machine with a load of {os.getloadavg()[0]:.0f}"
    command = f"`python benchmarks/words_reading.py`, {Path(path).stat().st_size / 1e6:.0f} MB of text, {said}"
    RESULTS.write_text("\n".join([command, "", *rows, ""]), encoding="utf-8")
    print("\n".join(rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?")
    parser.add_argument("way", nargs="?", choices=list(WAYS.values()), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    path = arguments.file or str(words_data.corpus())
    globals()[arguments.way](path) if arguments.way else main(path)
