"""The panel's readings are those of slow float64 sums over the same batch, and change nothing of the training."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from tellapart import InputError, LearnedTemperature, info_nce_terms
from tellapart.diagnostics import effective_margin, training_warnings
from tellapart.relations import listed, other_views, paired, same
from tellapart.runs import Run
from tellapart.training import AuxiliaryLoss, Batches, TermsStep, TrainerOptions, TrainingOptions, fit, panel
from tests._engine.one_positive import Calls
from tests.command_line import read_log

COSTLY = {"effective_negatives", "alignment", "uniformity", "effective_rank", "rank_limit", "gradient_norm"}
CHEAP = {"n_candidates", "mi_bound", "mi_ceiling", "accuracy", "temperature", "effective_margin", "hardest_share"}


def made(seed, n, d=6):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


TEXTS = [0, 1, 2, 0, 4, 5, 6, 7]  # two with the same text
NEW, OLD = [0, 1, 2, 3, 0, 1, 2, 3], [9, 1, 8]  # two views of four pictures, and a queue that knows one of them
CASES = {
    "clip": {"keys": made(2, 8), "positives": same(TEXTS), "symmetric": True},
    "simclr": {"keys": None, "positives": other_views(4), "exclude": paired()},
    "four views": {"keys": None, "positives": same(torch.arange(8) % 2) & ~paired(), "exclude": paired()},
    "moco": {
        "keys": made(3, 11),
        "positives": same(NEW, NEW + [-1] * 3) & ~paired(),
        "exclude": same(NEW, [-1] * 8 + OLD) | paired(),
    },
    "negatives": {"keys": made(2, 8), "negatives": made(4, 5)},
}


def matrix(relation, n, m):
    return np.zeros((n, m), bool) if relation is None else relation.tile(slice(0, n), slice(0, m)).numpy()


def directions(vectors):
    return (vectors / vectors.norm(dim=1, keepdim=True)).numpy()


def of_one_side(cosines, positives, excluded, tau):
    """Margin, hardest share and effective negatives of each query that has one positive."""
    margins, hardest, crowd, best, top = [], [], [], [], []
    for s, p, e in zip(cosines, positives, excluded, strict=True):
        others = np.array([value for value, own, out in zip(s, p, e, strict=True) if not own and not out])
        shares = np.exp(others / tau) / np.exp(others / tau).sum()
        crowd.append(math.exp(-sum(x * math.log(x) for x in shares)))
        best.append(max(s[p]))
        top.append(others.max())
        alone = (p & ~e).sum() == 1
        margins.append(tau * math.log(sum(math.exp(x / tau) for x in others)) if alone else math.nan)
        hardest.append(shares.max() if alone else math.nan)
    usual = sorted(best)[(len(best) - 1) // 2]
    stand_out = usual >= np.quantile(top, 0.25)
    told = [(share, score) for share, score in zip(hardest, top, strict=True) if not math.isnan(share)]
    suspects = [stand_out and share > 0.5 and score >= usual for share, score in told] or [math.nan]
    return {
        "effective_margin": np.nanmean(margins) if not np.isnan(margins).all() else math.nan,
        "hardest_share": np.nanmean(hardest) if not np.isnan(hardest).all() else math.nan,
        "suspects": np.mean(suspects),
        "effective_negatives": np.mean(crowd),
    }


def slowly(queries, keys, tau, positives=None, exclude=None, negatives=None, symmetric=False):
    n, m = len(queries), len(keys)
    x, y = directions(queries), directions(keys if negatives is None else torch.cat([keys, negatives]))
    more = len(y) - m
    related = np.pad(matrix(positives or paired(), n, m), ((0, 0), (0, more)))
    excluded = np.pad(matrix(exclude, n, m), ((0, 0), (0, more)))
    found = of_one_side(x @ y.T, related, excluded, tau)
    if symmetric:
        other = of_one_side(y @ x.T, related.T, excluded.T, tau)
        both = ("effective_margin", "hardest_share", "suspects")
        found |= {name: (found[name] + other[name]) / 2 for name in both}
    pairs = [((x[i] - y[j]) ** 2).sum() for i in range(n) for j in range(m) if related[i, j]]
    kept = np.array([x[i] for i in range(n) if not any(related[i, j] for j in range(i))])
    apart = [math.exp(-2 * ((a - b) ** 2).sum()) for i, a in enumerate(kept) for j, b in enumerate(kept) if i != j]
    sigma = np.linalg.svd(kept, compute_uv=False)
    p = sigma / sigma.sum()
    return found | {
        "alignment": np.mean(pairs),
        "uniformity": math.log(np.mean(apart)),
        "effective_rank": math.exp(-sum(v * math.log(v) for v in p)),
        "rank_limit": min(kept.shape),
    }


@pytest.mark.parametrize("tau", [0.03, 0.2, 1.0])
@pytest.mark.parametrize("case", CASES)
def test_its_readings_are_those_of_slow_sums(case, tau):
    options = dict(CASES[case])
    queries = made(1, 8)
    keys = options.pop("keys")
    keys = queries if keys is None else keys
    terms = info_nce_terms(queries, keys, temperature=tau, **options)
    found = panel.readings(nn.Identity(), terms, costly=True)
    expected = slowly(queries, keys, tau, **options)
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, rel=1e-5, nan_ok=True), name
    assert found["temperature"].item() == pytest.approx(tau)
    several = case == "four views"
    assert math.isnan(found["mi_bound"]) == several
    if not several:
        asked = (terms.n_positives == 1) & (terms.n_positive_candidates == 1)
        assert found["mi_ceiling"].item() == pytest.approx(terms.n_candidates[asked].double().log().mean().item())


def test_both_directions_take_few_more_calls_than_one():
    def calls(symmetric):
        terms = info_nce_terms(made(1, 8), made(2, 8), symmetric=symmetric)
        terms.loss()
        with Calls() as counted:
            panel.readings(nn.Identity(), terms, costly=False)
        return counted.number

    assert calls(True) < 1.5 * calls(False)


def test_a_line_up_without_negatives_has_no_number_of_them_and_stops_nothing():
    terms = info_nce_terms(made(1, 3), made(2, 3), positives=same([0, 0, 0]), symmetric=True)
    found = panel.readings(nn.Identity(), terms, costly=True)
    assert found["effective_negatives"].isnan()
    assert found["uniformity"].isnan()  # of one text there is one
    assert found["effective_rank"].item() == pytest.approx(1)


def test_it_leaves_the_graph_and_the_random_numbers_alone():
    queries, keys = made(1, 8).requires_grad_(), made(2, 8).requires_grad_()
    terms = info_nce_terms(queries, keys, symmetric=True)
    state = torch.get_rng_state()
    panel.readings(nn.Identity(), terms, costly=True)
    assert torch.equal(torch.get_rng_state(), state)
    assert queries.grad is None
    terms.loss().backward()
    assert queries.grad is not None
    assert not terms.given.queries.requires_grad


def test_what_a_line_up_was_made_of_keeps_queries_that_are_keys_one_tensor():
    x = made(1, 4).requires_grad_()
    given = info_nce_terms(x, x, exclude=paired(), positives=other_views(2), temperature=torch.tensor(0.1)).given
    assert given.keys is given.queries
    assert given.queries.data_ptr() == x.data_ptr()


@dataclass
class Rows:
    values: torch.Tensor

    def to(self, device):
        return Rows(self.values.to(device))


class Model(nn.Module):
    """A linear map of random rows, whose embeddings all lie on one line if `collapsed`."""

    def __init__(self, collapsed):
        super().__init__()
        torch.manual_seed(0)
        self.map = nn.Linear(5, 1 if collapsed else 4, bias=False)
        self.temperature = LearnedTemperature(0.5)
        self.register_buffer("spread", torch.ones(1, 4) if collapsed else torch.eye(4))
        self.seen = []

    def forward(self, rows):
        embeddings = self.map(rows) @ self.spread
        self.seen.append(embeddings.detach().double())
        return embeddings


def objective(model, batch):
    noisy = batch.values + 0.1 * torch.randn_like(batch.values)
    return info_nce_terms(model(batch.values), model(noisy), temperature=model.temperature(), symmetric=True)


def train(folder, collapsed=False, epochs=30, auxiliary=None):
    """A model trained on 40 rows in batches of 20, two steps an epoch; its log and itself."""
    data, model = torch.randn(40, 5, generator=torch.Generator().manual_seed(1)), Model(collapsed)
    run = Run(folder)
    run.begin("clip", {})
    batches = Batches(40, 20, epochs, seed=0)
    step = TermsStep(model, objective, TrainingOptions("", learning_rate=0.01, weight_decay=0.0), auxiliary=auxiliary)
    fit(step, batches, lambda rows: Rows(data[rows]), run, TrainerOptions(accelerator="cpu"))
    return run.log(), model


def test_the_log_of_a_run_holds_every_reading_of_the_very_batch_at_the_steps_that_are_due(tmp_path):
    log, model = train(tmp_path / "run", epochs=52)
    assert [entry["step"] for entry in log if set(entry) >= COSTLY] == [1, 50, 100, 104]
    assert not any(COSTLY & set(entry) for entry in log if not set(entry) >= COSTLY)
    for entry in (log[0], log[49], log[-1]):
        queries, keys = model.seen[2 * int(entry["step"]) - 2 :][:2]
        expected = slowly(queries, keys, entry["temperature"], symmetric=True)
        for name, value in expected.items():
            assert entry[name] == pytest.approx(value, rel=1e-3), name
        terms = info_nce_terms(queries, keys, temperature=entry["temperature"], symmetric=True)
        assert entry["loss"] == pytest.approx(terms.loss().item(), rel=1e-4)
        assert entry["mi_bound"] == pytest.approx(math.log(20) - entry["loss"], rel=1e-3)
        assert entry["mi_ceiling"] == pytest.approx(math.log(20))
    for entry in log:
        assert set(entry) >= CHEAP | {"loss", "temperature_at_bound", "suspects", "seconds_panel"}
        assert entry["seconds_panel"] <= entry["seconds"]


def test_the_gradients_length_is_that_of_the_very_step(tmp_path):
    log, _ = train(tmp_path / "run", epochs=1)
    torch.manual_seed(int(np.random.SeedSequence([0, 0, 0]).generate_state(1, np.uint64)[0]))
    model = Model(collapsed=False)
    torch.manual_seed(int(np.random.SeedSequence([0, 0, 0]).generate_state(1, np.uint64)[0]))
    data = torch.randn(40, 5, generator=torch.Generator().manual_seed(1))
    objective(model, Rows(data[Batches(40, 20, 1, 0).rows(0, 0, 1)])).loss().backward()
    squares = [p.grad.double().square().sum() for p in model.parameters()]
    assert log[0]["gradient_norm"] == pytest.approx(math.sqrt(sum(squares)), rel=1e-5)


def test_a_collapsed_models_run_warns_of_it_and_a_sound_ones_does_not(tmp_path):
    healthy, _ = train(tmp_path / "sound")
    assert not [warning for warning in training_warnings(healthy) if warning.name == "collapse"]
    log, _ = train(tmp_path / "collapsed", collapsed=True)
    assert log[-1]["effective_rank"] == pytest.approx(1, abs=0.01)
    assert "collapse" in [warning.name for warning in training_warnings(log)]


def test_it_changes_no_weight(tmp_path, monkeypatch):
    _, watched = train(tmp_path / "watched")
    monkeypatch.setattr("tellapart.training.loop.is_due", lambda *_: False)
    _, alone = train(tmp_path / "alone")
    assert all(torch.equal(a, b) for a, b in zip(watched.parameters(), alone.parameters(), strict=True))


def test_the_end_of_a_training_says_its_warnings_a_line_each(capsys, tmp_path, trained):
    from tellapart.cli import main

    config = trained / "config.yaml"
    assert main(["train", "clip", "--config", str(config), "--run", str(tmp_path / "run"), "--epochs=2"]) == 0
    log = read_log(tmp_path / "run")
    expected = [f"Warning: {warning.found} {warning.remedy}" for warning in training_warnings(log)]
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Warning: ")]
    assert printed == expected


def test_what_the_terms_cannot_tell_is_not_a_number_and_a_temperature_per_query_is_no_keys():
    torch.manual_seed(0)
    queries, keys = torch.randn(12, 4), torch.randn(12, 4)
    several = info_nce_terms(queries, keys, positives=same([0, 1, 2] * 4))
    assert panel.readings(nn.Identity(), several, costly=True)["suspects"].isnan()
    tau = torch.linspace(0.1, 0.4, 12)
    each = info_nce_terms(queries, keys[:9], positives=listed(torch.arange(12) % 9), temperature=tau, symmetric=True)
    margin = panel.readings(nn.Identity(), each, costly=False)["effective_margin"]
    torch.testing.assert_close(margin, effective_margin(each, tau).nanmean())


def test_an_auxiliary_loss_that_is_not_finite_at_the_last_step_ends_the_run_unsaved(tmp_path):
    steps = iter([1.0, math.nan])

    def loss(model, batch):
        return next(steps) * model(batch.values).square().mean()

    with pytest.raises(InputError, match="step 2: the loss_other became nan"):
        train(tmp_path / "run", epochs=1, auxiliary=AuxiliaryLoss("other", 1.0, loss))
    assert not Run(tmp_path / "run").checkpoint.is_file()
