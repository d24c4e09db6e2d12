"""Videos and folders of frames, as they are read; and what is refused, with the file's name."""

import wave

import numpy as np
import pytest
from PIL import Image

from tellapart import InputError, reading
from tellapart.domains.pixels import as_frame, as_videos, read_picture, read_videos
from tellapart.domains.pixels import video as module
from tests.tiny.pixels import moving_frames, write_video


def write_frames(folder, frames):
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number:04}.png")
    return folder


def test_a_video_and_a_folder_of_its_frames_are_the_same(tmp_path):
    frames = moving_frames(5)
    (film,) = read_videos(str(write_video(tmp_path / "a", frames)), 240)
    (folder,) = read_videos(str(write_frames(tmp_path / "b", frames)), 240)
    assert np.array_equal(film.frames, frames)
    assert np.array_equal(folder.frames, frames)


def test_a_folder_holds_videos_and_folders_of_frames_and_what_is_neither_is_left_alone(tmp_path):
    write_video(tmp_path, moving_frames(4), "b.avi")
    write_frames(tmp_path / "a", moving_frames(3))
    (tmp_path / "notes.txt").write_text("no video")
    write_frames(tmp_path / ".hidden", moving_frames(3))
    assert [(video.name, len(video)) for video in read_videos(str(tmp_path), 240)] == [("a", 3), ("b.avi", 4)]


def test_frames_are_scaled_down_in_proportion_and_never_up(tmp_path):
    path = str(write_video(tmp_path, moving_frames(3, height=80, width=120)))
    assert read_videos(path, 40)[0].frames.shape == (3, 40, 60, 3)
    assert read_videos(path, 100)[0].frames.shape == (3, 80, 120, 3)


def test_each_third_frame_is_taken_and_keeps_its_number(tmp_path):
    (video,) = read_videos(str(write_video(tmp_path, frames := moving_frames(8))), 240, every=3)
    assert np.array_equal(video.frames, frames[::3])
    assert [video.number(i) for i in range(3)] == [0, 3, 6]


def cut(tmp_path):
    path = write_video(tmp_path, moving_frames(20))
    path.write_bytes(path.read_bytes()[:300])
    return path


def sound_only(tmp_path):
    with wave.open(str(tmp_path / "sound.avi"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))
    return tmp_path / "sound.avi"


def text(tmp_path):
    (tmp_path / "film.mp4").write_text("no video at all")
    return tmp_path / "film.mp4"


def sizes(tmp_path):
    write_frames(tmp_path / "x", moving_frames(2))
    Image.fromarray(moving_frames(1, height=48)[0]).save(tmp_path / "x" / "9.png")
    return tmp_path / "x"


def broken_picture(tmp_path):
    folder = write_frames(tmp_path / "x", moving_frames(3))
    (folder / "0001.png").write_bytes((folder / "0001.png").read_bytes()[:50])
    return folder


def empty(tmp_path):
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (cut, r"moving\.avi: (not a video that can be read|0 frame)"),
        (sound_only, r"sound\.avi: there is no picture in it, only 1 other stream"),
        (text, r"film\.mp4: not a video that can be read"),
        (sizes, r"x: frames of different sizes \(80×64 and 80×48\)"),
        (broken_picture, r"0001\.png: no picture that can be read"),
        (empty, "no video in it, and no folder of pictures"),
        (lambda tmp: tmp / "nowhere.mp4", r"nowhere\.mp4: there is no such file or folder"),
        (lambda tmp: write_video(tmp, moving_frames(1)), r"moving\.avi: 1 frame\(s\) read, and a video needs 2"),
        (
            lambda tmp: write_video(tmp, moving_frames(3, height=24)),
            r"frames of 80×24 pixels\. They must have at least 32",
        ),
    ],
)
def test_what_is_no_video_is_named(make, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read_videos(str(make(tmp_path)), 240)


def test_more_frames_than_memory_are_refused_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 3 * 64 * 80 * 3)
    with pytest.raises(InputError, match=r"Take fewer frames with --every 4, or a smaller --height"):
        read_videos(str(write_video(tmp_path)), 240, every=2)


@pytest.mark.parametrize(("missing", "use"), [("av", "video"), ("cv2", "scaled")])
def test_a_missing_extra_is_one_line_that_says_how_to_install_it(missing, use, tmp_path, monkeypatch):
    path = write_video(tmp_path / "x") if use == "video" else write_frames(tmp_path / "x", moving_frames(3))
    real = module.needed.__globals__["import_module"]

    def without(name):
        if name == missing:
            raise ModuleNotFoundError(name=missing)
        return real(name)

    monkeypatch.setitem(module.needed.__globals__, "import_module", without)
    with pytest.raises(InputError, match=rf"the package {missing} is missing\. pip install 'tellapart\[pixels\]'\."):
        read_videos(str(path), 40)


def test_a_frame_of_a_video_is_named_by_its_number(tmp_path):
    frames = moving_frames(6)
    path = write_video(tmp_path, frames)
    assert np.array_equal(as_frame(f"{path}:4"), frames[4])
    with pytest.raises(InputError, match=r"there is no frame 6\. It has 6, counted from 0"):
        as_frame(f"{path}:6")
    with pytest.raises(InputError, match=r"is no picture\. Name a frame of a video as .*:0"):
        as_frame(path)
    with pytest.raises(InputError, match="no such picture"):
        as_frame(tmp_path / "nothing.png")


def test_pictures_and_arrays_are_videos_too(tmp_path):
    frames = moving_frames(2)
    Image.fromarray(frames[0]).save(tmp_path / "a.png")
    assert np.array_equal(as_videos(tmp_path / "a.png", 240)[0].frames, frames[:1])
    assert np.array_equal(read_picture(tmp_path / "a.png"), as_frame(frames[0]))
    assert as_videos(frames, 240)[0].frames.shape == frames.shape
    for wrong in (frames.astype(float), frames[..., :1], 3, frames[0, 0]):
        with pytest.raises(InputError, match="`x` must be a video, a picture"):
            as_videos(wrong, 240)
    with pytest.raises(InputError, match="`x` must hold a frame of at least 32 × 32"):
        as_videos(frames[:, :20], 240)


def test_broken_frames_and_broken_videos_among_others_are_left_out_and_counted_or_stop(tmp_path):
    frames = moving_frames(8)
    folder = write_frames(tmp_path / "a", frames)
    (folder / "0004.png").write_bytes(b"no picture")
    (tmp_path / "b.mp4").write_text("no video at all")
    with reading.accounted() as account:
        (video,) = read_videos(str(tmp_path), 240, every=2)
    assert account.places() == [("broken frame", str(folder / "0004.png")), ("broken video", str(tmp_path / "b.mp4"))]
    assert [video.number(row) for row in range(len(video))] == [0, 2, 6]
    assert np.array_equal(video.frames, frames[[0, 2, 6]])
    with reading.accounted("stop"), pytest.raises(InputError, match=r"0004\.png: no picture that can be read"):
        read_videos(str(tmp_path), 240)
    with reading.accounted(), pytest.raises(InputError, match=r"b\.mp4: not a video that can be read"):
        read_videos(str(tmp_path / "b.mp4"), 240)


def test_parts_of_a_video_keep_the_numbers_of_their_frames(tmp_path):
    (video,) = read_videos(str(write_frames(tmp_path / "a", moving_frames(9))), 240, every=2)
    first, last = video.part(0, 3), video.part(3, 5)
    assert ([first.number(row) for row in range(3)], [last.number(row) for row in range(2)]) == ([0, 2, 4], [6, 8])
    assert np.array_equal(np.concatenate([first.frames, last.frames]), video.frames)
