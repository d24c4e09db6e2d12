"""The options of text, windows and training. The docstrings are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tellapart.domains.words.phrases import Phrases
from tellapart.domains.words.tokens import Tokens
from tellapart.errors import require_option
from tellapart.training import TrainingOptions

SHORTEST_NGRAM = 3


@dataclass(frozen=True)
class WordOptions(TrainingOptions):
    """Text, windows and training."""

    data: str
    """A text file, gzipped or not, or a folder of such; or vectors to use as they are, a .bin or .vec of word2vec."""
    held_out: float = 0.01
    """Share of the text that training never sees: passages of 100 words, evenly spread."""
    epochs: int = 5
    """How often the text is read."""
    batch_size: int = 2**18
    """Words of the text in a batch, of which the log has an entry; what is learned does not depend on it."""
    learning_rate: float = 0.025
    """Step size of SGD at first; it falls linearly to a ten-thousandth."""
    weight_decay: float = 0.0
    """Always 0: the kernel has none."""
    objective: Literal["sgns", "infonce"] = "sgns"
    """Judge each pair of words by itself, or let the true word compete with the negatives."""
    negatives: int = 5
    """Words drawn for each window, K. InfoNCE wants more: with 14 it was good."""
    dim: int = 100
    """Length of the vectors."""
    window: int = 5
    """Words on either side at most; the reach of each window is drawn from 1 to this."""
    min_count: int = 5
    """Rarer words are left out."""
    sample: float = 1e-3
    """Frequent words are left out at random, if they have a larger share of the text than this; 0 for none."""
    lower: bool = False
    """Change capitals to small letters."""
    letters: bool = False
    """Let all but letters and their accents separate words."""
    phrases: int = 0
    """How often words that stand together are joined to phrases, such as new_york; p times make up to 2^p words."""
    phrase_threshold: float = 100.0
    """The least score of a phrase; a higher one gives fewer phrases."""
    subwords: int = 0
    """Length of the longest character n-grams, from 3, that a word's vector is made of, too; 0 for none."""
    buckets: int = 2**20
    """Vectors for hashed n-grams."""
    threads: int = 1
    """Threads that compute, two at most unless --hogwild. The result does not depend on it, save with --hogwild."""
    hogwild: bool = False
    """Let threads write without waiting for each other. Then no two trainings end alike."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_option("weight_decay", self.weight_decay == 0, "be 0: the kernel has none", self.weight_decay)
        for name, least, most in (
            *(("negatives", 1, 100), ("dim", 1, 2**12), ("window", 1, 100), ("min_count", 1, 2**31)),
            *(("phrases", 0, 4), ("buckets", 1, 2**24), ("threads", 1, 1024), ("batch_size", 2, 2**24)),
        ):
            value = getattr(self, name)
            require_option(name, least <= value <= most, f"lie between {least} and {most}", value)
        require_option("learning_rate", self.learning_rate <= 1, "be at most 1", self.learning_rate)
        require_option("sample", 0 <= self.sample <= 1, "lie in [0, 1]", self.sample)
        is_length = self.subwords == 0 or SHORTEST_NGRAM <= self.subwords <= 20
        require_option("subwords", is_length, f"be 0 or lie between {SHORTEST_NGRAM} and 20", self.subwords)
        if self.phrases:
            self.joining().check()
        else:
            require_option("phrase_threshold", self.phrase_threshold > 0, "be positive", self.phrase_threshold)

    def tokens(self) -> Tokens:
        """How text becomes words."""
        return Tokens(self.lower, self.letters)

    def joining(self) -> Phrases:
        """Which words are joined to phrases."""
        return Phrases(self.phrases, self.phrase_threshold)
