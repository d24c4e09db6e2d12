"""Read text once, count its words, and leave it as ids on the disk."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tellapart import reading
from tellapart.domains.sniff import kind_of
from tellapart.domains.words.corpus import FILES, Corpus, Found, finish
from tellapart.domains.words.ids import CHUNK, RARE, Ids, keep, writing
from tellapart.domains.words.lexicon import MOST_WORDS, Lexicon
from tellapart.domains.words.phrases import Phrases, find, join
from tellapart.domains.words.reading import BLOCK, find_files, read_blocks
from tellapart.domains.words.tokens import Tokens
from tellapart.domains.words.vocabulary import Vocabulary, frequent
from tellapart.errors import InputError, cannot_write, require_option


def gather(
    source: str | Path,
    folder: Path,
    *,
    tokens: Tokens | None = None,
    min_count: int = 5,
    phrases: Phrases | None = None,
    block: int = BLOCK,
    chunk: int = CHUNK,
) -> Corpus:
    """Read text, and leave its words as ids in `folder`: in full, or not at all.

    Memory holds a block of the text, its distinct words with their counts, and a chunk of ids.

    Args:
        source: a text file, gzipped or not, or a folder of such at any depth. A line is a sentence, however long.
        folder: where the corpus is kept, with 4 bytes for each word and 8 for each sentence. What `gather` left there
            before is replaced.
        tokens: how text becomes words; by default white space separates them.
        min_count: rarer words are left out.
        phrases: which pairs of words are joined; by default none.
        block: bytes of text in memory at once.
        chunk: ids in memory at once.

    Raises:
        InputError: no such source; a file that is broken, not UTF-8 or without white space, with its name and line;
            no word that occurs `min_count` times; a folder that holds something else; a full disk.
    """
    require_option("min_count", min_count >= 1, "be at least 1", min_count)
    if phrases:
        phrases.check()
    with _scratch(folder) as scratch:
        coded, lexicon, found, fingerprint = _read(find_files(source), tokens or Tokens(), scratch / "read", block)
        if not found.tokens:
            raise InputError(f"{source}: holds no words.")
        most = int(lexicon.counts.max())
        must = f"be at most {most}, as often as the most frequent word occurs in {source}"
        require_option("min_count", min_count <= most, must, min_count)
        vocabulary, new_ids = frequent(lexicon.ids, lexicon.counts, min_count)
        if len(vocabulary) < 2:
            what = f"{vocabulary.words[0]!r} alone occurs {min_count} times (`min_count`)"
            raise InputError(f"{source}: {what}. At least 2 words are needed.")
        rare_tokens = found.tokens - int(vocabulary.counts.sum())
        found = replace(found, rare_words=found.distinct - len(vocabulary), rare_tokens=rare_tokens)
        coded = keep(coded, new_ids, scratch / "ids", rare=bool(phrases), size=chunk)
        shutil.rmtree(scratch / "read")
        if phrases:
            coded, vocabulary, found = _join(coded, vocabulary, phrases, min_count, found, scratch, chunk)
        finish(scratch / "ids", coded, vocabulary, found, fingerprint)
        shutil.rmtree(folder, ignore_errors=True)
        (scratch / "ids").rename(folder)
    return Corpus.open(folder)


def _read(files: list[Path], tokens: Tokens, folder: Path, size: int) -> tuple[Ids, Lexicon, Found, str]:
    """All words as ids in the order of their first occurrence, and a hash of the text."""
    lexicon, digest, n_lines = Lexicon(MOST_WORDS), hashlib.sha256(), 0
    with writing(folder) as writer:
        for path in files:
            if len(files) > 1 and _is_no_text(path):
                continue
            for block in read_blocks(path, size):
                spaced, ends = tokens.cut(block)
                writer.add(lexicon.encode(spaced), ends)
                n_lines += len(ends)
                digest.update(block.content)
            digest.update(b"\0")  # no text holds it
        n_tokens, n_empty = writer.n_ids, n_lines - writer.n_sentences
    reading.judge(n_lines - n_empty)
    found = Found(len(files), n_lines, n_empty, n_tokens, lexicon.n_words, unsure_words=lexicon.floor)
    return Ids.open(folder), lexicon, found, digest.hexdigest()


def _is_no_text(path: Path) -> bool:
    """Whether a file among others is of another kind by its first bytes; then it is a broken item."""
    kind = kind_of(path)
    if kind is None or kind.name == "gzip":
        return False
    reading.leave_out("file that is no text", str(path), InputError(f"{path}: {kind.told}, not a text. Move it away."))
    return True


def _join(
    coded: Ids, vocabulary: Vocabulary, phrases: Phrases, min_count: int, found: Found, scratch: Path, size: int
) -> tuple[Ids, Vocabulary, Found]:
    """The same with phrases joined, without the words that are rare then."""
    n_words = len(vocabulary)
    for _ in range(phrases.passes):
        joins = find(coded, vocabulary, phrases, min_count, size)
        found = replace(found, unsure_pairs=max(found.unsure_pairs, joins.unsure))
        coded, vocabulary = join(coded, vocabulary, joins, scratch / "joined", size)
        shutil.rmtree(scratch / "ids")
        (scratch / "joined").rename(scratch / "ids")
    whole, n_tokens = vocabulary, int(vocabulary.counts.sum())
    vocabulary, new_ids = frequent({word: i for i, word in enumerate(whole.words)}, whole.counts, min_count)
    coded = keep(coded, new_ids, scratch / "joined", rare=False, size=size)
    shutil.rmtree(scratch / "ids")
    (scratch / "joined").rename(scratch / "ids")
    n_kept = int((new_ids[:n_words] != RARE).sum())
    return (
        coded,
        vocabulary,
        replace(
            found,
            phrases=len(vocabulary) - n_kept,
            rare_words=found.rare_words + n_words - n_kept,
            rare_tokens=found.rare_tokens + n_tokens - int(vocabulary.counts.sum()),
        ),
    )


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder`, removed at the end.

    Raises:
        InputError: `folder` holds what `gather` did not write, or the disk fails.
    """
    if folder.exists() and (not folder.is_dir() or {file.name for file in folder.iterdir()} - FILES):
        raise InputError(f"{folder}: exists, and is not a corpus that was read before. Choose another folder.")
    scratch = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(scratch, ignore_errors=True)  # of a process that was killed
    try:
        scratch.mkdir(parents=True)
        yield scratch
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
