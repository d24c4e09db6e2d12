"""Picture files that go to a store."""

import pytest
from PIL import Image

from tellapart.domains.pictures import store
from tests.tiny.pictures import draw, patterns


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """All picture files go to a store, which lies here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "IN_MEMORY", 0)
    return tmp_path / "cache" / "tellapart" / "pictures"


@pytest.fixture
def files(tmp_path):
    """More pictures than a process takes at a time, of several formats, shapes and modes; one of them is broken."""
    folder = tmp_path / "files"
    folder.mkdir()
    for number, made in enumerate(patterns(70, seed=3)[0]):
        image = Image.fromarray(made).resize((20, 10 + number % 20))
        image.save(folder / f"{number:02}.{'jpg' if number % 2 else 'png'}")
    draw("red", "bar").convert("RGBA").save(folder / "70.webp", lossless=True)
    (folder / "71.png").write_bytes(b"no picture")
    return sorted(folder.iterdir())
