"""Times from AudioMoth's names, from EXIF and from Camtrap-DP."""

import numpy as np
import pytest
from PIL import Image

from tellapart import InputError
from tellapart.domains.picture_files import SUFFIXES
from tellapart.domains.sound import find_stamps
from tests.tiny.sound import write_table


def photograph(path, taken=None, zone=None, fraction=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image, exif = Image.new("RGB", (8, 8)), Image.Exif()
    told = exif.get_ifd(0x8769)
    for tag, value in ((0x9003, taken), (0x9011, zone), (0x9291, fraction)):
        if value is not None:
            told[tag] = value
    image.save(path, exif=exif)


def recording(folder, *names):
    for name in names:
        (folder / "sounds" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "sounds" / name).write_bytes(b"")


def test_audiomoths_names_and_exif_tell_the_times(tmp_path):
    recording(tmp_path, "A/20240501_043001.WAV", "24F31906_20240501_043000_250T.WAV", "readme.txt")
    photograph(tmp_path / "pictures" / "b.jpg", "2024:05:01 04:30:01")
    photograph(tmp_path / "pictures" / "a.jpg", "2024:05:01 04:30:02", fraction="50")
    heard, seen = find_stamps(tmp_path, SUFFIXES)
    assert heard.names == ["sounds/24F31906_20240501_043000_250T.WAV", "sounds/A/20240501_043001.WAV"]
    assert np.diff(heard.times).tolist() == [0.75]
    assert heard.devices == ["24F31906", ""]
    assert seen.names == ["pictures/b.jpg", "pictures/a.jpg"]
    assert np.diff(seen.times).tolist() == [1.5]
    assert seen.times[0] == heard.times[1]


def test_a_zone_in_exif_is_heeded(tmp_path):
    recording(tmp_path, "20240501_043001.WAV")
    photograph(tmp_path / "pictures" / "a.jpg", "2024:05:01 06:30:01", "+02:00")
    heard, seen = find_stamps(tmp_path, SUFFIXES)
    assert seen.times.tolist() == heard.times.tolist()
    assert (heard.form, seen.form) == ("times without a time zone", "times with a time zone")


def test_camtrap_dp_tells_both_and_a_table_goes_before_it(tmp_path):
    header = ["mediaID", "deploymentID", "timestamp", "filePath", "fileMediatype"]
    rows = [
        ["1", "oak", "2024-05-01T04:30:02Z", "a.wav", "audio/wav"],
        ["2", "elm", "2024-05-01T06:30:01+02:00", "b.wav", "audio/x-wav"],
        ["3", "oak", "2024-05-01T04:30:05Z", "c.jpg", "image/jpeg"],
        ["4", "oak", "2024-05-01T04:30:05Z", "d.mp4", "video/mp4"],
    ]
    write_table(tmp_path / "media.csv", [header, *rows])
    heard, seen = find_stamps(tmp_path, SUFFIXES)
    assert (heard.names, heard.devices) == (["b.wav", "a.wav"], ["elm", "oak"])
    assert seen.files == [tmp_path / "c.jpg"]
    assert (seen.times[0] - heard.times).tolist() == [4.0, 3.0]
    write_table(tmp_path / "sounds.csv", [["file", "time"], ["e.wav", 7]])
    assert find_stamps(tmp_path, SUFFIXES)[0].names == ["e.wav"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: recording(folder, "owl.wav"), r"owl\.wav: the name does not tell the time"),
        (
            lambda folder: recording(folder, "20241301_000000.wav"),
            r"20241301_000000\.wav: the time is '20241301T000000'",
        ),
        (lambda folder: recording(folder, "owl.txt"), "sounds: the folder holds no sounds"),
        (lambda _: None, "holds neither sounds.csv nor media.csv nor a folder sounds"),
        (lambda folder: write_table(folder / "media.csv", [["filePath"], ["a"]]), "no column timestamp"),
        (
            lambda folder: write_table(
                folder / "media.csv", [["filePath", "timestamp", "fileMediatype"], ["a.jpg", "2024-05-01", "image/png"]]
            ),
            r"media\.csv: holds no sounds",
        ),
    ],
)
def test_sounds_without_times_are_refused(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(InputError, match=message):
        find_stamps(tmp_path, SUFFIXES)


@pytest.mark.parametrize("taken", [None, "", "0000:00:00 00:00:00", "broken"])
def test_pictures_without_times_are_refused_by_name(tmp_path, taken):
    recording(tmp_path, "20240501_043001.WAV")
    photograph(tmp_path / "pictures" / "a.jpg", taken)
    if taken == "broken":
        (tmp_path / "pictures" / "a.jpg").write_text("no picture")
    with pytest.raises(InputError, match=r"a\.jpg: (EXIF does not tell|the time is|not a picture)"):
        find_stamps(tmp_path, SUFFIXES)
