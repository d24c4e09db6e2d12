"""Pictures of a run come back as they were saved; damaged ones are named."""

import pytest

from tellapart import InputError
from tellapart.runs import Picture, load_pictures, save_pictures


def test_pictures_come_back_as_they_were_saved(tmp_path):
    pictures = [Picture("<b>é</b>", bytes(range(256))), Picture("", b"")]
    save_pictures(tmp_path / "pictures.json", pictures)
    assert load_pictures(tmp_path / "pictures.json") == pictures
    assert load_pictures(tmp_path / "none.json") == []


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"caption": "a"}]', '[{"caption": "a", "png": "?"}]'])
def test_damaged_pictures_are_named(tmp_path, content):
    (tmp_path / "pictures.json").write_text(content)
    with pytest.raises(InputError, match=r"pictures\.json: damaged"):
        load_pictures(tmp_path / "pictures.json")
