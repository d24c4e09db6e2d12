"""DPO beside trl's, as installed: `make peers`."""

import datasets
import pytest
import torch
import trl

from tellapart.domains.preferences import Answers, Compared, Policy, Preference, Preferences, load_causal, save_causal
from tellapart.systems import dpo
from tests.domains.preferences.conftest import made

# What others warn about is not ours to repair.
pytestmark = pytest.mark.filterwarnings("ignore")

ROWS = [
    {"prompt": "the cat", "chosen": " sees a red house", "rejected": " sees"},
    {"prompt": "a dog", "chosen": " likes", "rejected": " likes the blue sea and the house"},
    {"prompt": "User: hi Assistant:", "chosen": " yes", "rejected": " no"},
    {"prompt": "a", "chosen": " house", "rejected": " sea"},
]


def trainer_of(model, tokenizer, folder, rows, **options):
    how = trl.DPOConfig(
        output_dir=str(folder), per_device_train_batch_size=len(rows), precompute_ref_log_probs=True, report_to="none",
        use_cpu=True, bf16=False, gradient_checkpointing=False, beta=0.3, disable_tqdm=True, **options,
    )  # fmt: skip
    data = datasets.Dataset.from_list(rows)
    return trl.DPOTrainer(model, args=how, train_dataset=data, processing_class=tokenizer)


@pytest.fixture
def both(tmp_path):
    """A policy, and trl's trainer of the same model; both were moved away from the same reference."""
    save_causal(*made(), tmp_path / "model")
    policy = Policy(tmp_path / "model", 64)
    answers = Answers.of(
        Preferences([Preference("", r["prompt"], (r["chosen"], r["rejected"])) for r in ROWS]), policy.tokens
    )
    batch = answers.rows(torch.arange(len(ROWS)), policy.log_probs(answers))
    with_bos = [row | {"prompt": "<s>" + row["prompt"]} for row in ROWS]  # trl adds none with such a tokeniser
    trainer = trainer_of(*load_causal(tmp_path / "model"), tmp_path / "out", with_bos)
    rows = next(iter(trainer.get_train_dataloader()))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for mine, other in zip(policy.model.parameters(), trainer.model.parameters(), strict=True):
            moved = 0.02 * torch.randn(mine.shape, generator=generator)
            mine += moved
            other += moved
    return policy, batch, trainer, rows


def test_value_and_gradient_are_those_of_trls_sigmoid_loss(both):
    policy, batch, trainer, rows = both
    config, compared = dpo.Config("", beta=0.3), Compared.of(batch, policy(batch))
    ours = dpo.compare(config, dpo.rewards(config, compared), compared)
    theirs = trainer.compute_loss(trainer.model, rows)
    assert abs(ours.item() - theirs.item()) <= 1e-6
    assert abs(ours.item() - 0.6931) > 0.01
    ours.backward()
    theirs.backward()
    for mine, other in zip(policy.model.parameters(), trainer.model.parameters(), strict=True):
        assert (mine.grad - other.grad).norm() <= 1e-5 * other.grad.norm()


def test_trl_takes_no_several_rejected_answers(tmp_path):
    several = [row | {"rejected": [row["rejected"], " x"]} for row in ROWS]
    with pytest.raises(AttributeError, match="endswith"):
        trainer_of(*made(), tmp_path, several)
