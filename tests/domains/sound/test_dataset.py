"""Blocks of time, what is held out, and what belongs together."""

import dataclasses

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from tellapart import InputError
from tellapart.domains.sound import Clock, Dataset, SoundOptions
from tellapart.runs import Run
from tellapart.systems.audiovisual import FILES
from tests.tiny.pictures import COLOURS
from tests.tiny.sound import SOUND_OPTIONS, tone, write_moments, write_table

OPTIONS = {name: SOUND_OPTIONS[name] for name in SoundOptions.__dataclass_fields__ if name in SOUND_OPTIONS}


class OneHot:
    """Embeds sounds and pictures by the place of the maximum of what it gets, and knows a clock."""

    def __init__(self, offset=0.3, sigma=0.2, recorders=1):
        self.clock = Clock(offset, sigma, recorders, (0.0, 1.0))
        self.temperature = lambda: torch.tensor(0.1)

    def embed_sounds(self, clips):
        loudest = clips.middle(5).mean(dim=2).argmax(dim=1)
        return torch.eye(64)[loudest]

    def embed_pictures(self, pictures):
        return torch.eye(64)[pictures.flatten(1).float().mean(dim=1).long() % 64]


def load(folder, run=None, source=None, **options):
    given = SoundOptions(**OPTIONS | {"data": str(folder)} | options)
    return Dataset.load(FILES, given, begun(folder) if run is None else run, source)


def begun(folder):
    run = Run(folder.parent / f"{folder.name}-run")
    run.folder.mkdir(exist_ok=True)
    run.begin("audiovisual", {})
    return run


def test_a_block_is_a_stretch_of_time_and_all_pictures_within_reach_of_it(tmp_path):
    data = load(write_moments(tmp_path / "data"), offset=0.3, margin=2.0)
    heard, seen = data.material.heard.times - 0.3, data.material.seen.times
    n_steps = data.batches().n_steps(1)
    for step in range(n_steps):
        block = data.block(data.batches().rows(step, 0, 1))
        distance = np.abs(heard[block.sounds.numpy()][:, None] - seen[: data.first_out[1]]).min(axis=0)
        assert block.pictures.tolist() == np.flatnonzero(distance <= 2.0 * data.options.sigma).tolist()
        assert (np.diff(np.sort(block.sounds.numpy())) != 1).sum() <= 3  # one wraps; some sounds are not trained on
    moments = data.moments(block, 0.0)
    assert len(moments.sounds) == len(moments.sound_times) == len(block.sounds)
    assert torch.equal(moments.pictures, data.material.pictures[block.pictures])
    assert torch.equal(moments.picture_times, torch.from_numpy(seen[block.pictures.numpy()]))


def test_the_last_stretch_is_held_out_of_both(tmp_path):
    data = load(write_moments(tmp_path / "data"), held_out=0.25, offset=0.3)
    heard, seen = data.material.heard.times - 0.3, data.material.seen.times
    sound, picture = data.first_out
    assert abs((len(heard) - sound) / len(heard) - 0.25) < 0.01
    assert seen[picture - 1] < heard[sound] <= seen[picture]
    assert data.training.max() < sound
    taken = {p for step in range(9) for p in data.block(data.batches().rows(step, 0, 1)).pictures.tolist()}
    assert max(taken) < picture


def test_labels_decide_what_belongs_together_and_each_file_counts_once(tmp_path):
    labelled = load(write_moments(tmp_path / "a"))
    table = labelled.measure(OneHot(), OneHot())
    assert table.title.startswith(f"Retrieval among {len(COLOURS)} held-out sounds and {len(COLOURS)} pictures")
    assert [row[1] for row in table.rows] == ["chance", "untrained", "trained"] * 2
    assert table.rows[0][2] == pytest.approx(1 / len(COLOURS))
    assert "Sounds and pictures belong together if their labels are equal." in table.notes


def test_without_labels_the_clock_decides(tmp_path):
    data = load(write_moments(tmp_path / "b", labelled=False))
    heard, seen = data.material.heard.times[data.first_out[0] :], data.material.seen.times[data.first_out[1] :]
    for offset in (0.3, 5.0):
        related = np.abs(heard[:, None] - offset - seen) <= 0.4
        expected = related[related.any(axis=1)].sum(axis=1).mean() / len(seen)
        chance = data.measure(OneHot(offset), OneHot(offset)).rows[0][2]
        assert chance == pytest.approx(expected, rel=1e-6)


def test_each_picture_is_shown_with_the_sound_of_its_time_and_label(tmp_path):
    data = load(write_moments(tmp_path / "data", n=60))
    gallery = data.gallery(OneHot())
    assert gallery.asked == "sound"
    assert [name.split(".")[0] for name in gallery.texts] == [name.split(".")[0] for name in gallery.names]
    unlabelled = load(write_moments(tmp_path / "other", n=60, labelled=False))
    texts = unlabelled.gallery(OneHot()).texts
    times, heard = unlabelled.material.seen.times, unlabelled.material.heard
    nearest = np.abs(heard.times - 0.3 - times[:, None]).argmin(axis=1)
    assert texts == [heard.names[i] for i in nearest]


def test_a_recording_that_is_cut_gives_sounds_with_times_of_their_own(tmp_path):
    folder = tmp_path / "data"
    write_moments(folder)
    soundfile.write(folder / "long.wav", tone(440, 40.0), 8000)
    write_table(folder / "sounds.csv", [["file", "time"], ["long.wav", 20]])
    data = load(folder, every=2.0, clock="known", margin=8.0)
    assert len(data.material.heard) == 20
    assert data.material.heard.times.tolist() == [20 + 2 * i + 1 for i in range(20)]
    assert data.material.heard.names[:2] == ["long.wav@0s", "long.wav@2s"]


def test_silent_and_lonely_sounds_are_left_out_and_said(tmp_path):
    folder = write_moments(tmp_path / "data")
    soundfile.write(folder / "red.wav", np.zeros(8000), 8000)
    n = sum(line.startswith("red.wav") for line in (folder / "sounds.csv").read_text().splitlines())
    data = load(folder, offset=0.3, margin=1.0)
    silent, lonely = data.material.notes
    assert silent == f"{n} rows of silent sounds are left out."
    assert not any(name == "red.wav" for name in data.material.heard.names)
    times = data.material.heard.times[: data.first_out[0]] - 0.3
    apart = np.abs(times[:, None] - data.material.seen.times[: data.first_out[1]]).min(axis=1)
    assert lonely == f"{(apart > 0.5).sum()} sounds without a picture within 0.5 s are not trained on."
    assert len(data.training) == (apart <= 0.5).sum()


def test_data_that_changed_are_refused(tmp_path):
    folder = write_moments(tmp_path / "data")
    run = begun(folder)
    load(folder, run)
    load(folder, run)
    Image.new("RGB", (24, 24), "pink").save(folder / "red.png")
    with pytest.raises(InputError, match="data changed"):
        load(folder, run)


def test_one_clock_for_each_recorder_and_an_unknown_one_is_refused(tmp_path):
    folder = write_moments(tmp_path / "data", labelled=False)
    header, *rows = [line.split(",") for line in (folder / "sounds.csv").read_text().splitlines()]
    write_table(folder / "sounds.csv", [[*header, "device"], *([*row, "ab"[i % 2]] for i, row in enumerate(rows))])
    run = begun(folder)
    data = load(folder, run)
    assert data.recorders.names == ["a", "b"]
    assert data.moments(data.block(torch.arange(6)), 0.0).recorders.tolist() == [0, 1, 0, 1, 0, 1]
    write_table(folder / "sounds.csv", [[*header, "device"], *([*row, "c"] for row in rows)])
    other = load(folder, run, source=str(folder))
    with pytest.raises(InputError, match=r"no clock is known of the recorder 'c'. Known: 'a', 'b'"):
        other.measure(OneHot(recorders=2), OneHot(recorders=2))


def cut(folder, name, kept):
    lines = (folder / name).read_text().splitlines()
    (folder / name).write_text("\n".join(lines[: kept + 1]) + "\n")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda folder: (folder / "pictures.csv").unlink(),
            r"data: holds neither pictures\.csv nor media\.csv nor a folder pictures",
        ),
        (lambda folder: (folder / "red.wav").unlink(), r"sounds\.csv line \d+: .*red\.wav: cannot read the sound"),
        (lambda folder: (folder / "red.png").write_text("x"), r"pictures\.csv line \d+: .*red\.png: not a picture"),
        (lambda folder: cut(folder, "sounds.csv", 3), "data: 3 sounds. At least 4"),
        (lambda folder: cut(folder, "pictures.csv", 30), "0 pictures of the time of the sounds held out"),
        (
            lambda folder: [soundfile.write(folder / f"{name}.wav", np.zeros(800), 8000) for name in COLOURS],
            "are silent. Is the recorder's gain right",
        ),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_with_its_place(tmp_path, spoil, message):
    folder = write_moments(tmp_path / "data")
    spoil(folder)
    with pytest.raises(InputError, match=message):
        load(folder)


def test_sounds_that_are_all_far_from_pictures_are_refused_with_the_options_that_help(tmp_path):
    folder = write_moments(tmp_path / "data")
    rows = [["file", "time"], *([f"{COLOURS[0]}.wav", 3 * i + 1.5] for i in range(30))]
    write_table(folder / "sounds.csv", rows)
    write_table(folder / "pictures.csv", [["file", "time"], *([f"{COLOURS[0]}.png", 3 * i] for i in range(30))])
    with pytest.raises(
        InputError, match=r"0 of the 24 sounds to train on are within 0\.2 s of a picture\. Set --offset"
    ):
        load(folder, sigma=0.1, margin=2.0)
    assert dataclasses.replace(load(folder, sigma=1.0).options).sigma == 1.0
