"""Train gensim's word2vec on a text file and write its vectors: the peer of words.py, in a process of its own.

python benchmarks/words_peer.py TEXT FOLDER --seed 0
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def make(seed: int, workers: int, epochs: int) -> Any:
    """gensim's model with the options that word2vec.md compares, all its other defaults."""
    from gensim.models import Word2Vec

    return Word2Vec(
        vector_size=100, window=5, negative=5, sg=1, sample=1e-3, min_count=5, epochs=epochs, seed=seed, workers=workers
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    sentences = [line.split() for line in given.text.open(encoding="utf-8")]
    model = make(given.seed, 1, given.epochs)
    model.build_vocab(sentences)
    model.train(sentences, total_examples=len(sentences), epochs=given.epochs)
    given.folder.mkdir(parents=True, exist_ok=True)
    model.wv.save_word2vec_format(str(given.folder / "vectors.bin"), binary=True)


if __name__ == "__main__":
    main()
