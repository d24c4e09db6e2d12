"""Writing: all of the new, or all of the old."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tellapart import InputError
from tellapart.files import atomic_stream, atomic_write


def write(path, content):
    with atomic_write(path) as file:
        file.write(content)


def test_it_writes_makes_folders_and_replaces(tmp_path):
    path = tmp_path / "new" / "file.bin"
    write(path, b"old")
    write(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_the_file_gets_the_permissions_of_any_new_file(tmp_path):
    write(tmp_path / "ours", b"")
    (tmp_path / "plain").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_error_while_collecting_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write(path, b"old")

    def fail_half_way():
        with atomic_write(path) as file:
            file.write(b"half of the new")
            file.write("and then something that is no bytes")

    with pytest.raises(TypeError):
        fail_half_way()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_is_full_leaves_the_old_file_and_no_litter(tmp_path):
    """The limit on file sizes makes a real write fail in its middle, as a full disk does."""
    path = tmp_path / "file"
    write(path, b"old")
    code = textwrap.dedent(
        f"""
        import resource, signal
        from pathlib import Path
        from tellapart import InputError
        from tellapart.files import atomic_stream, atomic_write
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            with atomic_write(Path({str(path)!r})) as file:
                file.write(bytes(5000))
        except InputError as error:
            print(error)
        """
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.startswith(f"{path}: cannot write, the file would exceed the size limit. Make room")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write, a part of its path is a file, not a folder"):
        write(tmp_path / "file" / "inside", b"")


@pytest.mark.parametrize("folder", [".", "folder"])
def test_a_folder_is_not_a_file_and_that_is_said_before_the_work(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot write, it is a folder"), atomic_write(Path(folder)):
        pytest.fail("the work was begun")
    assert list(tmp_path.rglob("*")) == [tmp_path / "folder"]


def test_what_is_streamed_is_on_the_disk_before_the_end_and_takes_the_files_place_at_the_end(tmp_path):
    path = tmp_path / "file"
    write(path, b"old")
    with atomic_stream(path) as file:
        for _ in range(100):
            file.write(bytes(10_000))
        (unfinished,) = set(tmp_path.iterdir()) - {path}
        assert unfinished.stat().st_size >= 900_000  # but for what a buffer holds
        assert path.read_bytes() == b"old"
    assert path.stat().st_size == 1_000_000
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_while_streaming_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write(path, b"old")

    def fail():
        with atomic_stream(path) as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
