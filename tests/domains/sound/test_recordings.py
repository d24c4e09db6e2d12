"""Sound files: any format, rate and number of channels give one spectrogram; broken ones are refused by name."""

import sys

import numpy as np
import pytest
import soundfile
import torch

from tellapart import InputError
from tellapart.domains.sound import log_mel, read_clips, read_sound
from tellapart.domains.sound.recordings import FLOOR, MELS, RATE, bands, is_silent
from tests.tiny.sound import tone


def spectrogram(path):
    return log_mel(read_sound(path))


@pytest.mark.parametrize(
    ("name", "rate", "channels", "within"),
    [
        ("a.wav", 16000, 1, 0.5),
        ("a.wav", 44100, 2, 1.0),
        ("a.flac", 8000, 1, 1.0),
        ("a.flac", 96000, 3, 1.0),
        ("a.ogg", 44100, 1, 3.0),
        ("a.mp3", 48000, 2, 3.0),
        ("a.aiff", 22050, 1, 1.0),
    ],
)
def test_a_tone_sounds_the_same_from_any_format_rate_and_number_of_channels(tmp_path, name, rate, channels, within):
    samples = tone(1000, 1.0, rate)
    soundfile.write(tmp_path / name, np.stack([samples] * channels, axis=1), rate)
    found, expected = (
        x[10:40] for x in (spectrogram(tmp_path / name), log_mel(torch.from_numpy(tone(1000, 1.0, RATE))))
    )
    loud = expected > expected.max() - 20
    assert loud.any()
    assert (found - expected)[loud].abs().max() < within
    assert torch.equal(found.mean(0).argmax(), expected.mean(0).argmax())


def test_bands_hold_the_power_of_a_slow_fourier_transform():
    samples = torch.from_numpy(np.random.default_rng(0).normal(size=RATE // 4)).float()
    found = log_mel(samples)
    window = np.hanning(513)[:-1]
    frame = 5
    start = frame * 320 - 256
    power = np.abs(np.fft.rfft(samples.numpy()[start : start + 512] * window)) ** 2 / (window.sum() / 2) ** 2
    np.testing.assert_allclose(found[frame], 10 * np.log10(power @ bands().numpy()), atol=1e-3)
    assert found.shape == (1 + RATE // 4 // 320, MELS)


def test_every_band_hears_something_and_none_hears_silence():
    for frequency in (150, 300, 2000, 7500):
        loudest = log_mel(torch.from_numpy(tone(frequency, 0.5, RATE)))[8].argmax().item()
        weights = bands()[:, loudest] * torch.linspace(0, RATE / 2, 257)
        assert abs(weights.sum().item() - frequency) < 0.15 * frequency + 20
    assert (log_mel(torch.zeros(RATE)) == FLOOR).all()
    assert is_silent(torch.full((9,), 1e-5))


def broken(path, what):
    if what == "empty":
        soundfile.write(path, np.empty(0, np.float32), 8000)
    elif what == "nan":
        soundfile.write(path, np.full(100, np.nan, np.float32), 8000, subtype="FLOAT")
    elif what == "text":
        path.write_text("no sound")
    elif what == "folder":
        path.mkdir()


@pytest.mark.parametrize(
    ("what", "message"),
    [("empty", "is empty"), ("nan", "not finite"), ("text", "not a sound"), ("folder", "a folder"), ("", "no such")],
)
def test_a_broken_sound_is_refused_with_its_name_and_the_others_are_counted(tmp_path, what, message):
    for name in ("a.wav", "b.wav"):
        broken(tmp_path / name, what)
    with pytest.raises(InputError, match=rf"table line 2: .*a\.wav: .*{message}.*and 1 more broken"):
        read_clips([tmp_path / "a.wav", tmp_path / "b.wav"], ["table line 2", "table line 3"])


def test_without_soundfile_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(InputError, match=r"soundfile is missing\. pip install 'tellapart\[audio\]'"):
        read_sound(tmp_path / "a.wav")
