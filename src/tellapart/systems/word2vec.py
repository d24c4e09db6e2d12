"""Word2vec: words by the company they keep, each telling the words beside it from words drawn at random.

A word is to find its counterpart, the word in the middle of its window, in a line-up with K words that are drawn from
the noise q, the words' frequencies to the power 3/4. For a word w with input vector u, the middle word c and drawn
words c_1 … c_K with output vectors v:

    L = −log σ(u_w·v_c) − Σ_k log σ(−u_w·v_{c_k})                        SGNS
    L = −u_w·v_c + log( exp(u_w·v_c) + Σ_k exp(u_w·v_{c_k}) )            InfoNCE, at τ = 1

summed over the words of a window. SGNS judges each pair by itself, so its best score is the pointwise mutual
information less log K, of q's frequencies; with InfoNCE the true word competes with the drawn ones, and the best score
is log p(c|w)/q(c), up to a constant for each w. The input vectors are what is kept.

Departs from the papers (Mikolov et al. 2013, https://arxiv.org/abs/1310.4546, eq. 4; InfoNCE: van den Oord et al. 2018,
https://arxiv.org/abs/1807.03748; subwords: Bojanowski et al. 2017, https://arxiv.org/abs/1607.04606):
 1. One set of drawn words serves a whole window (Ji et al. 2016, https://arxiv.org/abs/1604.04661).
 2. Windows are computed in blocks, each from one state of the vectors, so that any number of threads ends with the same
    bits. A block ends before a word is in the middle for the fourth time.
 3. A drawn word that is the middle word is no negative; others may repeat.
 4. A word's subwords are summed and divided by the root of their number, not by it or by 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from tellapart.domains import words
from tellapart.domains.words import Dataset, KernelStep, Text, Unseen, WordOptions, check_trainer
from tellapart.runs import Run
from tellapart.systems.contract import System
from tellapart.training import Batches, HeldOut, TrainerOptions, begin, fit


@dataclass(frozen=True)
class Config(WordOptions):
    """Learn vectors of words from text."""


def train(config: Config, run: Run, trainer: TrainerOptions) -> None:
    """Train into a run folder, from its checkpoint if it has one; then evaluate and fill the gallery."""
    on_processor = check_trainer(trainer)
    begin(run, "word2vec", config, trainer, final=words.final(config))
    data = Dataset.load(config, run)
    if isinstance(data, Dataset) and not run.is_trained():
        batches = Batches(len(data.corpus.ids), config.batch_size, config.epochs, config.seed, in_order=True)
        step = KernelStep(words.make_model(config, run), batches)
        text, unseen = Text(data.corpus, data.held_out), Unseen(data.corpus, data.held_out)
        held_out = HeldOut(len(unseen), unseen.passages, step.measure, at_once=unseen.at_once)
        fit(step, batches, text.passage, run, on_processor, held_out)
    commands.finish(config, run, data)


commands = words.commands
system = System(
    Config,
    train,
    words.make_model,
    own_data="text, in a file or a folder",
    evaluate=commands.evaluate,
    embed=commands.embed,
    search=words.search,
    ask=commands.ask,
    cluster=commands.cluster,
    own_formats={"word2vec": words.export},
    query='"king - man + woman"',
)
