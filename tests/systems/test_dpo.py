"""DPO: the objective's forms, the reference, resuming in both stages, what it warns of, and mistakes."""

import dataclasses
import json
import math
import shutil
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import logsigmoid

import tellapart
from tellapart import InputError, info_nce, listed, same
from tellapart.domains.preferences import Answers, Compared, Dataset, Policy, PreferenceStep
from tellapart.runs import Run
from tellapart.systems import dpo
from tests.command_line import fails, read_log, say
from tests.killed import Killed, killed_before
from tests.tiny.preferences import PREFERENCE_OPTIONS, preference_arguments, preferences, write_preferences
from tests.training.test_resume import without_times


@pytest.fixture(scope="module")
def tuned(run_of):
    """A run of a new model."""
    return run_of("dpo")


def given_model(tuned, **changes):
    """Options of a run that begins with another run's reference."""
    return (
        PREFERENCE_OPTIONS
        | {"data": tuned.parent / "data" / "preferences.jsonl", "model": tuned / "reference"}
        | changes
    )


def compared(k=2, n=5, seed=0):
    rng = torch.Generator().manual_seed(seed)
    log_p, reference = (5 * torch.randn(n, k, generator=rng, dtype=torch.float64) for _ in range(2))
    lengths = torch.randint(1, 9, (n, k), generator=rng).double()
    return Compared(
        log_p, reference, lengths, torch.ones(n, k, dtype=torch.bool), torch.rand(n, k, generator=rng).double()
    )


def loss_of(batch, **options):
    config = dpo.Config("nowhere", **options)
    return dpo.compare(config, dpo.rewards(config, batch), batch)


def test_with_one_rejected_answer_it_is_dpo():
    x = compared()
    r = x.log_p - x.reference
    torch.testing.assert_close(loss_of(x, beta=0.3), -logsigmoid(0.3 * (r[:, 0] - r[:, 1])).mean())


def test_smoothing_is_conservative_dpo_and_margin_with_lengths_is_simpo():
    x = compared()
    gap = (x.log_p - x.reference)[:, 0] - (x.log_p - x.reference)[:, 1]
    expected = -(0.8 * logsigmoid(0.3 * gap) + 0.2 * logsigmoid(-0.3 * gap)).mean()
    torch.testing.assert_close(loss_of(x, beta=0.3, smoothing=0.2), expected)
    r = x.log_p / x.lengths
    simpo = -logsigmoid(2.0 * r[:, 0] - 2.0 * r[:, 1] - 0.5).mean()
    options = {"beta": 2.0, "against_reference": False, "per_token": True, "margin": 0.5}
    torch.testing.assert_close(loss_of(x, **options), simpo)


def test_several_rejected_answers_smoothing_ranking_and_scores():
    x = compared(k=4)
    logits = 0.3 * (x.log_p - x.reference)
    log_p = logits.log_softmax(dim=1)
    torch.testing.assert_close(loss_of(x, beta=0.3), -log_p[:, 0].mean())
    expected = -(0.8 * log_p[:, 0] + 0.2 * log_p[:, 1:].mean(dim=1)).mean()
    torch.testing.assert_close(loss_of(x, beta=0.3, smoothing=0.2), expected)
    order = sum(logits[:, r:].logsumexp(dim=1) - logits[:, r] for r in range(4)).mean()
    torch.testing.assert_close(loss_of(x, beta=0.3, target="ranking"), order)
    weights = (x.scores / 0.5).softmax(dim=1)
    options = {"beta": 0.3, "target": "scores", "score_temperature": 0.5}
    torch.testing.assert_close(loss_of(x, **options), -(weights * log_p).sum(dim=1).mean())


def test_it_is_info_nce_of_rewards_as_one_dimensional_keys():
    x = compared(k=3)
    x = dataclasses.replace(x, candidates=torch.tensor([[1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 0, 1], [1, 1, 0]]).bool())
    r = (x.log_p - x.reference)[x.candidates]
    prompt = torch.arange(5).repeat_interleave(x.candidates.sum(dim=1))
    first = torch.tensor([0, 3, 5, 8, 10])
    expected = info_nce(
        torch.ones(5, 1).double(),
        r[:, None],
        positives=listed(first),
        exclude=~same(torch.arange(5), prompt),
        score="dot",
        temperature=1 / 0.3,
    )
    torch.testing.assert_close(loss_of(x, beta=0.3), expected)


def test_before_the_first_step_the_loss_is_that_of_guessing_and_then_it_falls(tuned):
    """A reference that is computed once but not used would leave the loss at log 2 (trl#1962)."""
    log = read_log(tuned)
    guessing = [math.log(2), math.log(3)]
    assert guessing[0] <= log[0]["loss"] <= guessing[1]
    assert abs(log[0]["chosen_change"]) < 1e-4
    assert sum(entry["loss"] for entry in log[-3:]) < 0.95 * sum(entry["loss"] for entry in log[:3])
    assert log[-1]["reward_margin"] > 0.1


def test_the_log_has_kl_length_and_the_change_of_chosen_answers(tuned):
    first, *_, last = read_log(tuned)
    for entry in (first, last):
        assert {"kl", "answer_length", "length_ratio", "chosen_change", "rejected_change", "gradient_norm"} <= set(
            entry
        )
    assert abs(first["kl"]) < abs(last["kl"]) + 0.1
    page = (tuned / "report.html").read_text()
    assert "KL to the reference" in page
    assert "chosen first" in page


def test_the_kept_reference_is_what_rewards_are_compared_with(tuned, tmp_path):
    tellapart.train("dpo", run=tmp_path / "one", **given_model(tuned, epochs=1))
    kept = load_file(tmp_path / "one" / "reference.safetensors")["log_probabilities"]
    with killed_before(1), pytest.raises(Killed):
        tellapart.train("dpo", run=tmp_path / "two", trainer={"checkpoint_every": 1}, **given_model(tuned, epochs=1))
    # The checkpoint of no step is there yet, so that a resumed run would begin anew; a log makes it one that has begun.
    (tmp_path / "two" / "log.jsonl").touch()
    save_file({"log_probabilities": kept + torch.arange(len(kept))}, tmp_path / "two" / "reference.safetensors")
    tellapart.train("dpo", run=tmp_path / "two", resume=True, **given_model(tuned, epochs=1))
    first, second = (read_log(tmp_path / run)[0] for run in ("one", "two"))
    assert second["chosen_change"] < first["chosen_change"] - 1
    save_file({"log_probabilities": kept[1:]}, tmp_path / "two" / "reference.safetensors")
    (tmp_path / "two" / "weights.safetensors").unlink()
    with pytest.raises(InputError, match="Delete it"):
        tellapart.train("dpo", run=tmp_path / "two", resume=True, **given_model(tuned, epochs=1))


@pytest.mark.parametrize("options", [{"lora": 2, "learning_rate": 0.02}, {"likelihood": 0.5, "smoothing": 0.1}])
def test_killed_in_the_second_stage_and_resumed_it_has_the_same_bits(options, tuned, tmp_path):
    """The first stage is killed in the tests that all systems go through."""
    given = given_model(tuned, **options)
    tellapart.train("dpo", run=tmp_path / "whole", **given)
    with killed_before(8), pytest.raises(Killed):
        tellapart.train("dpo", run=tmp_path / "killed", trainer={"checkpoint_every": 3}, **given)
    tellapart.train("dpo", run=tmp_path / "killed", resume=True, **given)
    assert without_times(tmp_path / "killed") == without_times(tmp_path / "whole")
    for file in ("weights.safetensors", "results.json", "reference.safetensors"):
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file
    assert ("loss_likelihood" in read_log(tmp_path / "whole")[0]) == ("likelihood" in options)


def test_an_interrupted_first_stage_holds_its_options_and_its_folder(tuned, tmp_path):
    given = PREFERENCE_OPTIONS | {"data": tuned.parent / "data" / "preferences.jsonl"}
    with killed_before(3), pytest.raises(Killed):
        tellapart.train("dpo", run=tmp_path / "run", **given)
    with pytest.raises(InputError, match=r"holds a run already\. Continue it with --resume"):
        tellapart.train("dpo", run=tmp_path / "run", **given)
    with pytest.raises(InputError, match=r"cannot resume with other options \(width was 32, now 64\)"):
        tellapart.train("dpo", run=tmp_path / "run", resume=True, **given | {"width": 64})


def test_new_models_read_text_that_is_named_and_keep_to_it(tuned, tmp_path):
    (tmp_path / "text.txt").write_text("one two three\n\nfour five six\n" * 8)
    given = PREFERENCE_OPTIONS | {"data": tuned.parent / "data" / "preferences.jsonl", "epochs": 1}
    run = tellapart.train("dpo", run=tmp_path / "run", pretrain=tmp_path / "text.txt", **given)
    assert run.config.pretrain == str(tmp_path / "text.txt")
    known = json.loads((run.folder / "reference" / "tokenizer.json").read_text())["model"]["vocab"]
    assert "three" in "".join(known)
    for text, message in (("none.txt", "no such file"), (str(tmp_path / "run"), "folder|directory")):
        with pytest.raises((InputError, OSError), match=message):
            tellapart.train("dpo", run=tmp_path / "other", pretrain=text, **given)


def test_answers_rewards_and_models_come_from_the_command_line_as_from_python(capsys, tuned, tmp_path):
    run = tellapart.load(tuned)
    texts = run.sample(3, seed=2, prompt="the cat sees").texts
    assert len(set(texts)) > 1
    code, out, _ = say(capsys, "sample", tuned, "the cat sees", "-n", 3, "--seed", 2)
    assert code == 0
    assert len(out.splitlines()) == 3
    code, _, _ = say(capsys, "sample", tuned, "the cat sees", "-n", 3, "--seed", 2, "-o", tmp_path / "x.txt")
    assert (tmp_path / "x.txt").read_text().splitlines() == [" ".join(text.split()) for text in texts]
    for words in (("sample", tuned), ("sample", tuned, "x", "-n", 0)):
        assert fails(capsys, *words).startswith(("`prompt` must be a text to answer", "`n` must be at least 1"))
    code, out, _ = say(capsys, "export", tuned, tmp_path / "model")
    assert (code, out) == (0, f"{tmp_path / 'model'}: a model and its tokeniser, as transformers reads them\n")
    assert "exists and is not an empty folder" in fails(capsys, "export", tuned, tmp_path / "model")
    again = Policy(tmp_path / "model", 32)
    assert again.draw([again.tokens.prompt("a dog")], seed=3) == run.model.draw(
        [run.model.tokens.prompt("a dog")], seed=3
    )


def test_the_rewards_of_a_file_are_those_of_each_line(capsys, tuned, tmp_path):
    run = tellapart.load(tuned)
    rows = [*preferences()[:2], {"prompt": "the cat", "chosen": " sees"}]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = run.score(tmp_path / "new.jsonl")
    assert [row[0].rpartition(" ")[2] for row in table.rows] == ["1", "1", "2", "2", "2", "3"]
    assert [row[1] for row in table.rows] == ["chosen", "rejected", "chosen", "rejected", "rejected", "chosen"]
    for _, _, reward, after, before, _ in table.rows:
        assert reward == pytest.approx(0.1 * (after - before), abs=1e-5)
    code, out, _ = say(capsys, "score", tuned, tmp_path / "new.jsonl")
    assert code == 0
    assert out.count("new.jsonl line ") == 6
    assert "there is no such file" in fails(capsys, "score", tuned, "nowhere.jsonl")


def test_evaluation_of_other_data_counts_what_it_leaves_out(tuned, tmp_path):
    rows = [*preferences()[:6], {"prompt": "x", "chosen": "y", "rejected": "y"}]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = tellapart.load(tuned).evaluate(tmp_path / "new.jsonl")
    counts = [len(row["rejected"]) if type(row["rejected"]) is list else 1 for row in rows[:6]]
    assert [row[0] for row in table.rows] == ["guessing", "reference", "trained"]
    assert any("1 rows of the data are left out" in note for note in table.notes)
    assert table.rows[0][1] == pytest.approx(sum(1 / (1 + n) for n in counts) / 6)


def test_a_training_that_collapses_is_warned_of(tuned, tmp_path):
    """All weights, a far too large learning rate: pairs are in order, and the model writes something else."""
    run = tellapart.train("dpo", run=tmp_path / "run", **given_model(tuned, learning_rate=0.1, epochs=6))
    assert {"divergence", "length", "fallen"} & {warning.name for warning in run.warnings}
    assert run.warnings[0].found in (run.folder / "report.html").read_text()


def test_scores_are_soft_targets_and_must_be_there(tuned, tmp_path):
    rows = [
        row | {"scores": [1.0, *[0.0] * (len(row["rejected"]) if type(row["rejected"]) is list else 1)]}
        for row in preferences()
    ]
    (tmp_path / "scored.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = given_model(tuned, epochs=1, target="scores")
    run = tellapart.train("dpo", run=tmp_path / "run", **given | {"data": tmp_path / "scored.jsonl"})
    assert len(run.log) > 0
    with pytest.raises(InputError, match="line 1: no scores, which --target scores needs"):
        tellapart.train("dpo", run=tmp_path / "other", **given)


def test_a_model_that_changed_since_the_run_began_is_refused(tuned, tmp_path):
    shutil.copytree(tuned / "reference", tmp_path / "model")
    run = tellapart.train("dpo", run=tmp_path / "run", **given_model(tuned, model=tmp_path / "model", epochs=1))
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.1}))
    with pytest.raises(InputError, match="the model changed since the run began"):
        tellapart.load(run.folder).evaluate()
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(InputError, match="model"):
        tellapart.load(run.folder).sample(1, prompt="x")


def test_mistakes_are_one_line(capsys, tmp_path):
    data = write_preferences(tmp_path)
    (tmp_path / "broken.jsonl").write_text('{"prompt": "a", "chosen": "b"}\n')
    (tmp_path / "long.jsonl").write_text(
        "".join(json.dumps({"prompt": f"{i} " + "word " * 60, "chosen": "b", "rejected": "c"}) + "\n" for i in range(8))
    )
    small = preference_arguments()
    for words, message in (
        (["--data", tmp_path / "broken.jsonl"], "line 1: no rejected"),
        (["--data", tmp_path / "long.jsonl"], "so nothing of the answer is left of 32. Raise --longest"),
        (["--data", data, "--model", tmp_path], "it has no config.json"),
        (["--data", data, "--model", tmp_path, "--pretrain", "x"], "`pretrain` must be left out with --model"),
        (["--data", data, "--target", "ranking", "--smoothing", 0.1], "`smoothing` must be 0 with --target ranking"),
        (["--data", data, "--beta", -1], "`beta` must be positive"),
    ):
        assert message in fails(capsys, "train", "dpo", "--run", tmp_path / "run", *small, *words)


def test_before_training_the_held_out_loss_is_that_of_guessing_among_the_answers(tuned):
    """Rewards are 0 under the reference itself."""
    run = Run.open(tuned)
    config = tellapart.load(tuned).config
    data, policy = Dataset.load(config, run), Policy(tuned / "reference", config.longest).eval()
    answers = Answers.of(data.first_held_out(512), policy.tokens)
    step = PreferenceStep(policy, partial(dpo.rewards, config), partial(dpo.compare, config), config)
    held_out = step.held_out(answers, policy.log_probs(answers))
    with torch.no_grad():
        found = held_out.measure(held_out.collate(torch.arange(len(answers))))
    among = answers.counts.double()
    assert found["loss"].item() == pytest.approx(among.log().mean().item(), abs=1e-4)
    assert found["n_candidates"].item() == pytest.approx(among.mean().item())
