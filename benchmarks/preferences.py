"""DPO on real sentences: does a model that misspells learn to spell, and what does a step cost beside trl's?

    python benchmarks/preferences.py                    everything
    python benchmarks/preferences.py --only quality     the trainings, `--seeds` and `--runs` as for the others
    python benchmarks/preferences.py --only step        a step of both libraries, interleaved; needs pip's `trl`

One small Llama learns to write from sentences of which many words are misspelt (`preferences_data.py`). Every run
begins with it, and differs from the others in its seed, which decides what is held out and the order of the prompts.
What a model writes is drawn from it, an answer to each of 400 prompts that no run has seen.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import preferences_data as data
from pages import publish
from trainings import as_words, row, spread, train_all

BASE: dict[str, Any] = {"vocabulary": 4096, "layers": 1, "pretrain_batch": 32, "longest": 64, "watched": 0, "epochs": 1}
COMMON: dict[str, Any] = {"longest": 64, "epochs": 4, "batch_size": 32, "learning_rate": 1e-3, "beta": 0.5}


@dataclass(frozen=True)
class Kind:
    """A way of training, by its file of preferences and its options."""

    name: str
    file: str
    options: dict[str, Any]
    one_seed: bool = False


KINDS = (
    Kind("K = 1", "train-1.jsonl", {"likelihood": 0.5}),
    Kind("K = 4", "train-4.jsonl", {"likelihood": 0.5}),
    Kind("K = 4, β = 0.1, without likelihood", "train-4.jsonl", {"beta": 0.1}, one_seed=True),
)


@dataclass(frozen=True)
class Written:
    """What a model writes, and how it tells test answers apart."""

    misspelt: float
    unknown: float
    kl: float
    words: float
    top: float
    pairs: float


def command(folder: Path, file: str, options: dict[str, Any]) -> list[str]:
    """The arguments of python that train a run."""
    where = {"data": data.preferences() / file, "run": folder}
    return ["-m", "tellapart", "train", "dpo", "--resume", *as_words(where | options)]


def trainings(runs: Path, seeds: list[int]) -> dict[Path, list[str]]:
    """The runs that begin with the base's reference."""
    model = {"model": (runs / "base" / "reference").resolve()}
    return {
        folder_of(runs, kind, seed): command(
            folder_of(runs, kind, seed), kind.file, COMMON | model | {"seed": seed} | kind.options
        )
        for kind in KINDS
        for seed in (seeds[:1] if kind.one_seed else seeds)
    }


def folder_of(runs: Path, kind: Kind, seed: int) -> Path:
    """The run's folder."""
    name = "-".join(word for word in kind.name.replace(",", "").split() if word != "=")
    return runs / f"{name}-{seed}"


def written(policy: Any, reference: Any, top: float, pairs: float) -> Written:
    """Answers to the test prompts, drawn from a model and counted."""
    from tellapart.domains.preferences import Answered, load_preferences

    asked = load_preferences(str(data.preferences() / "test.jsonl"))
    drawn = Answered.by(policy, asked, seed=0)
    words = [word for answer in drawn.answers for word in data.words_of(policy.tokens.text(answer))]
    wrong, known = data.misspelt(), data.known_words()
    bad = sum(word in wrong and word not in known for word in words)
    unknown = sum(word not in wrong and word not in known for word in words)
    kl = drawn.divergence(policy, reference)
    return Written(bad / len(words), unknown / len(words), kl, len(words) / len(asked), top, pairs)


def read(folder: Path) -> tuple[Written, Written]:
    """What the reference of a run and the run's model write."""
    import tellapart

    run = tellapart.load(folder)
    reference = run._finished.untrained
    rows = {cells[0]: cells for cells in run.evaluate(data.preferences() / "test.jsonl").rows}
    before, after = ([float(rows[name][i]) for i in (1, 2)] for name in ("reference", "trained"))
    return written(reference, reference, *before), written(run.model, reference, *after)


def quality_table(runs: Path, seeds: list[int]) -> str:
    """Misspelt words, KL, length and accuracies, mean and spread over the seeds."""
    header = ["", "misspelt", "unknown", "KL, nats", "words", "of the reference's", "chosen first of 5", "pairs"]
    lines = [row(header), "|---" * len(header) + "|"]
    found = {
        kind.name: [read(folder_of(runs, kind, seed)) for seed in (seeds[:1] if kind.one_seed else seeds)]
        for kind in KINDS
    }
    reference = next(iter(found.values()))[0][0]
    for name, all_of in {"reference": [(reference, reference)], **found}.items():
        after = [pair[1] for pair in all_of]
        cells = [
            spread([x.misspelt for x in after]),
            spread([x.unknown for x in after]),
            spread([x.kl for x in after], ".1f"),
            spread([x.words for x in after], ".1f"),
            spread([100 * x.words / reference.words for x in after], ".0f") + " %",
            spread([x.top for x in after]),
            spread([x.pairs for x in after]),
        ]
        lines.append(row([name, *cells]))
    options = ", ".join(f"{name} {value}" for name, value in COMMON.items())
    lines.append(f"\n1,600 prompts; {options}; likelihood 0.5 unless said; all else by default.")
    lines[-1] += f" Seeds {', '.join(map(str, seeds))}; a row without"
    lines[-1] += " a spread has the first alone. misspelt: share of words in codespell's list; unknown: of words that"
    lines[-1] += " are neither there nor in the sentences."
    return "\n".join(lines) + "\n"


def step_table(runs: Path, rounds: int) -> str:
    """Seconds of a step of DPO, K = 1, 32 prompts, the reference computed before; both on one thread, in turn."""
    torch.set_num_threads(1)
    model = runs / "base" / "reference"
    contenders = {"tellapart": ours(model), "trl": theirs(model)}
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 2):
        for name in list(contenders)[:: -1 if number % 2 else 1]:
            start = time.process_time()
            contenders[name]()
            if number >= 2:
                taken[name].append(time.process_time() - start)
    ratio = statistics.median(b / a for a, b in zip(taken["tellapart"], taken["trl"], strict=True))
    lines = [row(["a step", "milliseconds (median)", "fastest"]), "|---|---|---|"]
    for name, seconds in taken.items():
        lines.append(row([name, f"{1000 * statistics.median(seconds):.0f}", f"{1000 * min(seconds):.0f}"]))
    import trl

    lines.append(f"\ntrl {trl.__version__} takes {ratio:.1f} times as long (median of {rounds} rounds, in turn).")
    lines[-1] += " 32 prompts with two answers each, a Llama of 0.7 M parameters, one thread, processor time:"
    lines[-1] += " log-probabilities, loss, gradient and AdamW. The reference's log-probabilities are computed before."
    return "\n".join(lines) + "\n"


def _rows() -> list[dict[str, Any]]:
    lines = (data.preferences() / "train-1.jsonl").read_text().splitlines()[:32]
    return [json.loads(line) for line in lines]


def ours(model: Path) -> Callable[[], None]:
    """A step as `tellapart train dpo` does it, without Lightning and without the panel."""
    from tellapart.domains.preferences import Answers, Compared, Policy, Preference, Preferences
    from tellapart.systems import dpo

    policy = Policy(model, 64)
    rows = [Preference("", x["prompt"], (x["chosen"], *x["rejected"])) for x in _rows()]
    answers = Answers.of(Preferences(rows), policy.tokens)
    batch = answers.rows(torch.arange(len(rows)), policy.log_probs(answers))
    optimizer, config = torch.optim.AdamW(policy.parameters(), lr=1e-5), dpo.Config("")

    def step() -> None:
        compared = Compared.of(batch, policy(batch))
        loss = dpo.compare(config, dpo.rewards(config, compared), compared)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def theirs(model: Path) -> Callable[[], None]:
    """A step as trl's trainer does it, with the same batch."""
    import tempfile

    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    from tellapart.domains.preferences import load_causal

    policy, tokenizer = load_causal(model)
    rows = [{"prompt": "<s>" + x["prompt"], "chosen": x["chosen"], "rejected": x["rejected"][0]} for x in _rows()]
    how = DPOConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=len(rows),
        precompute_ref_log_probs=True,
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
    )
    trainer = DPOTrainer(policy, args=how, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    batch = next(iter(trainer.get_train_dataloader()))
    optimizer = torch.optim.AdamW(trainer.model.parameters(), lr=1e-5)

    def step() -> None:
        loss = trainer.compute_loss(trainer.model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("quality", "step"), nargs="+", default=["quality", "step"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/preferences"))
    parser.add_argument("--at-once", type=int, default=1, help="runs at a time")
    parser.add_argument("--rounds", type=int, default=40, help="of steps")
    given = parser.parse_args()
    base = given.runs / "base"
    text = {"pretrain": data.preferences() / "sentences.txt"}
    train_all({base: command(base, "train-1.jsonl", BASE | text)}, 1)
    if "quality" in given.only:
        train_all(trainings(given.runs, given.seeds), given.at_once)
        publish("preferences", quality_table(given.runs, given.seeds))
    if "step" in given.only:
        publish("preferences_step", step_table(given.runs, given.rounds))


if __name__ == "__main__":
    main()
