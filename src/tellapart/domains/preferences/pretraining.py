"""A new small model that learns to write, before it learns what is preferred."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tellapart.domains.preferences.batch import Batch
from tellapart.domains.preferences.causal import learn_tokenizer, new_causal, save_causal
from tellapart.domains.preferences.dataset import Dataset
from tellapart.domains.preferences.likelihood import keep_trained, token_losses
from tellapart.domains.preferences.preferences import Preferences, fingerprint_of
from tellapart.domains.preferences.read import load_lines
from tellapart.domains.preferences.tokens import Answers, Tokens
from tellapart.errors import InputError, require_option
from tellapart.runs import Run
from tellapart.training import Batches, Loop, TrainerOptions, TrainingOptions, fit, usual_optimizer

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from tellapart.domains.preferences.options import PreferenceOptions


def reference_of(options: PreferenceOptions, run: Run) -> Path:
    """The folder of the model that training begins with, and that answers are compared with."""
    return Path(options.model) if options.model else run.reference


def pretrain(options: PreferenceOptions, run: Run, trainer: TrainerOptions, data: Dataset) -> None:
    """Teach a new model to write; it becomes the run's reference, in a folder of its own. With a given model, nothing.

    The next token is to be found among all tokens: the loss is InfoNCE, too. An interrupted one is continued.

    Args:
        options: sizes of the model, and how long it learns.
        run: the run that needs it.
        trainer: device and precision.
        data: the preferences; where the options name no text, prompts and chosen answers to train on are read.

    Raises:
        InputError: the text is missing or broken, or changed since the run began; or as `fit`.
        Interrupted: Ctrl-C or SIGTERM came; the state is saved.
    """
    if options.model or (run.reference / "config.json").is_file():
        if not options.model and options.init:
            _check_sizes(options, run.reference)
        return
    require_option("trainer.devices", trainer.devices == 1, "be 1 while a new model is made", trainer.devices)
    lines = load_lines(options.pretrain) if options.pretrain else _written(data.training)
    run.check_data(fingerprint_of(lines), "text to pretrain on")
    tokenizer = learn_tokenizer(lines, options.vocabulary)
    tokens = Tokens(tokenizer, options.longest)
    for part in (data.training, data.held_out):
        Answers.of(part, tokens)  # what is wrong with them is said before training
    sequences = [torch.tensor(tokens.sequence(line)) for line in lines]
    how = TrainingOptions(
        data="",
        seed=options.seed,
        epochs=options.pretrain_epochs,
        batch_size=options.pretrain_batch,
        learning_rate=options.pretrain_rate,
    )
    lengths = torch.tensor([len(sequence) for sequence in sequences]).numpy()
    batches = Batches(len(lines), how.batch_size, how.epochs, how.seed, lengths)
    step, before = _Writing(Writer(new_causal(options, tokenizer)), how), Run(run.pretraining)
    before.folder.mkdir(exist_ok=True)

    def rows(index: Int[Tensor, " k"]) -> Batch:
        ones = torch.ones_like(index)  # all but the first token are to be written
        return Batch.of([sequences[i] for i in index.tolist()], ones, ones)

    # All lines are trained on: only the preferences are measured on rows held out.
    fit(step, batches, rows, before, replace(trainer, validate_every=0, patience=0))
    before.load_weights(step.model)
    save_causal(step.model.model, tokenizer, run.reference)


def _check_sizes(options: PreferenceOptions, reference: Path) -> None:
    """Raise `InputError` unless a reference that comes from another run has the sizes of the options."""
    sizes = json.loads((reference / "config.json").read_text(encoding="utf-8"))
    for name, kept in (("width", sizes["hidden_size"]), ("layers", sizes["num_hidden_layers"])):
        value = getattr(options, name)
        require_option(name, value == kept, f"be {kept}, as of the model that --init brings along", value)


class Writer(nn.Module):
    """A causal model; shared weights are kept once."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        keep_trained(self)


@dataclass(frozen=True)
class _Writing:
    """A step: AdamW on the mean loss of all tokens."""

    model: Writer
    options: TrainingOptions

    def optimizers(self, n_steps: int) -> Sequence[tuple[Optimizer, LRScheduler | None]]:
        return [usual_optimizer(self.model, self.options, n_steps)]

    def __call__(self, batch: Batch, loop: Loop) -> Mapping[str, Tensor | float]:
        losses, _ = token_losses(self.model.model, batch, streams=True)
        loop.minimise(loss := losses.mean())
        return {"loss": loss.detach()}


def _written(training: Preferences) -> list[str]:
    """Prompts with their chosen answers, as lines to learn to write from."""
    lines = [
        row.prompt + row.answers[0]
        for row in training.rows
        if isinstance(row.prompt, str) and isinstance(row.answers[0], str)
    ]
    if len(lines) < len(training):
        raise InputError("data: a new model cannot read messages. Name one that can with --model.")
    return lines
