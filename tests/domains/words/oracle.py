"""What `gather` must find, worked out word by word."""

import unicodedata
from collections import Counter
from itertools import pairwise


def cut(text, lower=False, letters=False):
    """The lines of a text, as lists of words."""
    lines = text.removeprefix("\ufeff").removesuffix("\n").split("\n") if text.removeprefix("\ufeff") else []
    return [words_of(line, lower, letters) for line in lines]


def words_of(line, lower, letters):
    line = line.lower() if lower else line
    if letters:
        line = "".join(c if unicodedata.category(c)[0] in "LM" else " " for c in line)
    return line.split()


def in_order(counts, min_count):
    """Words with their counts, the most frequent first."""
    kept = {word: n for word, n in counts.items() if n >= min_count}
    return sorted(kept.items(), key=lambda item: (-item[1], item[0]))


def without_rare(lines, min_count):
    """Sentences without rare words, and the vocabulary."""
    vocabulary = in_order(Counter(word for line in lines for word in line), min_count)
    known = {word for word, _ in vocabulary}
    kept = [[word for word in line if word in known] for line in lines]
    return [line for line in kept if line], vocabulary


def joined(lines, min_count, passes, threshold, discount):
    """Sentences with their phrases, of words that may be rare."""
    known = {word for word, n in Counter(word for line in lines for word in line).items() if n >= min_count}
    n = sum(map(len, lines))
    for _ in range(passes):
        counts = Counter(word for line in lines for word in line)
        pairs = Counter(pair for line in lines for pair in pairwise(line))
        n = sum(map(len, lines))
        phrases = {
            (a, b)
            for (a, b), count in pairs.items()
            if count >= min_count and (count - discount) * n / (counts[a] * counts[b]) > threshold
        }
        lines = [join(line, phrases) for line in lines]
    return lines, known


def join(line, phrases):
    out, i = [], 0
    while i < len(line):
        if tuple(line[i : i + 2]) in phrases:
            out.append("_".join(line[i : i + 2]))
            i += 2
        else:
            out.append(line[i])
            i += 1
    return out
