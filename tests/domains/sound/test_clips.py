"""Clips: the middle, random places, noise, and recordings that are cut."""

import numpy as np
import pytest
import soundfile
import torch

from tellapart.domains.sound import Clips, read_clips
from tellapart.domains.sound.recordings import FLOOR, MELS
from tests.tiny.sound import tone


def clips(*lengths):
    """Clips whose frames are numbered, one after the other."""
    frames = torch.arange(sum(lengths)).float()[:, None].expand(-1, MELS)
    first = torch.tensor([0, *np.cumsum(lengths)[:-1]])
    return Clips(frames, first, torch.tensor(lengths))


def test_the_middle_of_a_clip_and_silence_round_a_short_one():
    found = clips(3, 9, 4).middle(4)
    assert found.shape == (3, MELS, 4)
    assert found[:, 0].tolist() == [[FLOOR, 0, 1, 2], [5, 6, 7, 8], [12, 13, 14, 15]]


def test_random_places_are_all_that_fit_and_never_another_clips():
    torch.manual_seed(0)
    long, short = set(), set()
    for _ in range(200):
        first, second = clips(7, 2).at_random(4, noise=0.0)[:, 0].tolist()
        long.add(tuple(first))
        short.add(tuple(second))
    assert long == {tuple(float(i) for i in range(start, start + 4)) for start in range(4)}
    assert short == {tuple([FLOOR] * k + [7.0, 8.0] + [FLOOR] * (2 - k)) for k in range(3)}


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_noise_is_as_loud_as_said(noise):
    torch.manual_seed(0)
    quiet = Clips(torch.full((50, MELS), -100.0), torch.zeros(300, dtype=torch.long), torch.full((300,), 50))
    power = 10 ** (quiet.at_random(50, noise) / 10)
    added = 10 * ((power - 1e-10).mean(dim=(1, 2)) / 1e-10).log10()
    assert -60.5 < added.min() < -57
    assert -60 + 60 * noise - 3 < added.max() < -60 + 60 * noise + 0.5


def test_a_recording_is_cut_and_each_file_read_once(tmp_path, monkeypatch):
    from tellapart.domains.sound import clips as module

    soundfile.write(tmp_path / "long.wav", tone(500, 3.5), 8000)
    soundfile.write(tmp_path / "short.wav", tone(500, 0.3), 8000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(8000), 8000)
    paths = [tmp_path / f"{name}.wav" for name in ("long", "silent", "short", "long")]
    read, seen = module.read_sound, []
    monkeypatch.setattr(module, "read_sound", lambda path: seen.append(path) or read(path))
    found = read_clips(paths, [""] * 4, every=1.0)
    assert sorted(seen) == sorted(set(paths))
    assert found.silent == [1]
    assert found.file_of.tolist() == [0, 0, 0, 2, 3, 3, 3]
    assert found.start.tolist() == [0, 1, 2, 0, 0, 1, 2]
    assert found.clips.length.tolist() == [50, 50, 50, 16, 50, 50, 50]
    whole = read_clips(paths, [""] * 4)
    assert whole.clips.length.tolist() == [176, 16, 176]
    assert torch.equal(whole.clips.rows(torch.tensor([0])).middle(176), whole.clips.rows(torch.tensor([2])).middle(176))
