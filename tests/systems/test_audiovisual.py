"""Audiovisual's own decisions: its objective, its baselines, clocks that are learned, and what the commands do."""

import numpy as np
import pytest
import torch

import tellapart
from tellapart import InputError
from tellapart.domains.sound import Dataset, Moments, Recorders
from tellapart.runs import Run
from tellapart.systems.audiovisual import FILES, AudioVisual, Config, belonging, compare, observe, terms
from tellapart.variants import mil_nce
from tests import oracle
from tests.command_line import fails, read_log, read_results, say
from tests.tiny.sound import SOUND_OPTIONS, write_moments

RECORDERS = Recorders(["a", "b"], 40, 0, 40)


def config(**options):
    return Config(**SOUND_OPTIONS | {"data": "nowhere"} | options)


def moments(n=9, m=11):
    random = np.random.default_rng(0)
    return Moments(
        torch.from_numpy(random.normal(size=(n, 40, 20))).float(),
        torch.from_numpy(np.sort(random.uniform(0, 9, n))),
        torch.from_numpy(random.integers(0, 2, n)),
        torch.from_numpy(random.integers(0, 256, (m, 3, 16, 16))).to(torch.uint8),
        torch.from_numpy(np.sort(random.uniform(-1, 10, m))),
    )


def test_its_objective_is_the_formula():
    batch, model = moments(), AudioVisual(config(offset=0.5, picture_jitter=0.0), RECORDERS).eval()
    with torch.no_grad():
        u, v = (
            model.sound_encoder(batch.sounds).double().numpy(),
            model.picture_encoder(batch.pictures).double().numpy(),
        )
        got = terms(model, batch).loss().item()
    s = u / np.linalg.norm(u, axis=1, keepdims=True) @ (v / np.linalg.norm(v, axis=1, keepdims=True)).T / 0.05
    w = np.exp(-((batch.sound_times.numpy()[:, None] - 0.5 - batch.picture_times.numpy()) ** 2) / (2 * 0.5**2))
    p, q = (np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in (s, s.T))
    sounds = -np.log((w * p).sum(axis=1) / w.sum(axis=1)).mean()
    pictures = -np.log((w.T * q).sum(axis=1) / w.sum(axis=0)).mean()
    assert got == pytest.approx((sounds + pictures) / 2, rel=1e-5)
    assert got == pytest.approx(
        oracle.info_nce(u, v, w, w * 0 > 0, temperature=0.05, symmetric=True, multi_positive="in"), rel=1e-5
    )


def test_within_is_mil_nces_choice_but_for_a_constant_of_each_query():
    random = torch.Generator().manual_seed(0)
    u, v = (torch.randn(n, 4, generator=random, dtype=torch.float64, requires_grad=True) for n in (9, 11))
    batch = moments()
    near = belonging(config(positives="within", clock="known"), batch.sound_times, batch.picture_times, 0.6)
    found = torch.autograd.grad(compare(u, v, near, 0.1).loss(), (u, v))
    both = mil_nce(u, v, positives=near, temperature=0.1) + mil_nce(v, u, positives=near.transposed(), temperature=0.1)
    for got, expected in zip(found, torch.autograd.grad(both / 2, (u, v)), strict=True):
        torch.testing.assert_close(got, expected)


def test_nearest_believes_the_clocks():
    batch = moments()
    relation = belonging(config(positives="nearest", clock="known"), batch.sound_times, batch.picture_times, 0.6)
    expected = np.abs(batch.sound_times.numpy()[:, None] - batch.picture_times.numpy()).argmin(axis=1)
    assert relation.tile(slice(0, 9), slice(0, 11)).int().argmax(dim=1).tolist() == expected.tolist()


def test_every_parameter_gets_a_gradient_and_the_clock_none():
    model = AudioVisual(config(), RECORDERS)
    terms(model, moments()).loss().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    assert not any("clock" in name for name, _ in model.named_parameters())


def test_a_step_moves_the_clock_only_if_it_is_learned(tmp_path):
    model, batch = AudioVisual(config(), RECORDERS), moments()
    said = observe(model, batch, terms(model, batch))
    assert said["clock_width"] == model.clock.sigma != 0.5
    assert said["clock_offset"] == model.clock.offsets().mean() != 0
    folder = write_moments(tmp_path / "data", n=60)
    known = {**SOUND_OPTIONS, "clock": "known", "epochs": 1}
    run = tellapart.train("audiovisual", data=str(folder), run=str(tmp_path / "run"), **known)
    assert run.model.clock.sigma == 0.5
    assert not any("clock_width" in entry for entry in read_log(tmp_path / "run"))


def test_a_learned_clock_needs_weights_that_are_a_prior():
    for options in ({"positives": "within"}, {"multi_positive": "out"}):
        with pytest.raises(tellapart.InputError, match="`clock` must be known unless"):
            config(**options)
        config(clock="known", **options)


def test_on_tones_and_shapes_it_learns_what_belongs_together_and_the_clocks(tmp_path):
    folder = write_moments(tmp_path / "data", n=400, missing=0.0)
    options = SOUND_OPTIONS | {"sigma": 0.6, "epochs": 15}
    run = tellapart.train("audiovisual", data=str(folder), run=str(tmp_path / "run"), **options)
    trained = [row[2] for row in run.results.rows if row[1] == "trained"]
    assert min(trained) >= 5 / 6
    assert run.model.clock.offsets().item() == pytest.approx(0.3, abs=0.1)
    assert run.model.clock.sigma == pytest.approx(0.2, rel=0.25)
    assert read_log(tmp_path / "run")[-1]["clock_width"] == pytest.approx(run.model.clock.sigma)
    assert any(note.startswith("Learned clocks: ahead by the sounds +0.") for note in run.results.notes)


def test_files_are_embedded_and_found_from_the_command_line(capsys, run_of, tmp_path):
    run = run_of("audiovisual")
    data = run.parent / "data"
    code, out, _ = say(capsys, "search", run, data / "red.wav", "-k", "2")
    assert code == 0
    assert ".png" in out
    assert "its own sound" in out
    code, out, _ = say(capsys, "embed", run, data, "-o", tmp_path / "x.npz")
    assert code == 0
    kinds = np.load(tmp_path / "x.npz")["kind"].tolist()
    assert (kinds.count("sound"), kinds.count("picture")) == (6, 6)
    loaded = tellapart.load(run)
    found = loaded.embed([data / "red.png", str(data / "blue.wav")])
    assert (found.names[0].endswith("blue.wav"), found.kinds) == (True, ["sound", "picture"])
    assert loaded.search(data / "red.wav", 1)[0].name == loaded.search("red.wav", 1)[0].name


def test_mistakes_are_one_line_and_leave_what_was_there(capsys, run_of, tmp_path):
    run, data = run_of("audiovisual"), run_of("audiovisual").parent / "data"
    before = read_results(run)
    assert "no such file or folder" in fails(capsys, "search", run, "nowhere.wav")
    assert "not named as a sound or a picture" in fails(
        capsys, "embed", run, data / "sounds.csv", "-o", tmp_path / "x.npz"
    )
    with pytest.raises(InputError, match=r"must be a single sound or picture\. Got 12"):
        tellapart.load(run).search(data)
    assert say(capsys, "search", run, data, "-k", 1, "-o", tmp_path / "hits.csv")[0] == 0  # a query a file
    assert len((tmp_path / "hits.csv").read_text().splitlines()) == 1 + 12
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds neither sounds.csv nor media.csv nor a folder sounds" in fails(
        capsys, "evaluate", run, "--data", empty
    )
    assert "no sounds and no pictures" in fails(capsys, "embed", run, empty, "-o", tmp_path / "x.npz")
    words = ["--data", data, "--run", tmp_path / "new"]
    said = fails(capsys, "train", "audiovisual", *words, "--offset", "7200")
    assert "no sound was recorded while pictures were taken" in said
    assert "--offset 0" in said
    assert "bf16-true" in fails(
        capsys, "train", "audiovisual", *words, "--clock=learned", "--trainer.precision=bf16-true"
    )
    assert read_results(run) == before


def test_what_is_measured_while_it_trains_is_held_out_and_of_its_time(run_of):
    run = tellapart.load(run_of("audiovisual"))
    data = Dataset.load(FILES, run.config, Run.open(run.folder))
    sound, picture = data.first_out
    heard, seen = data.material.heard.times - run.config.offset, data.material.seen.times
    near = np.abs(heard[:, None] - seen) <= run.config.reach()
    expected = [i for i in range(sound, len(heard)) if near[i, picture:].any()]
    assert data.unseen.tolist() == expected
    assert len(expected) >= 2
    rows = torch.arange(len(expected))[1:4]
    block = data.unseen_block(rows)
    assert block.sounds.tolist() == [expected[i] for i in rows]
    assert block.pictures.tolist() == [
        j for j in range(picture, len(seen)) if any(near[i, j] for i in block.sounds.tolist())
    ]
