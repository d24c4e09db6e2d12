"""What is measured of many pictures: a sample of those held out and of those with labels, which the table tells."""

import sys

import torch

from tellapart.domains.pictures import Dataset, ImageShape, PictureOptions, PictureSet

MODULE = sys.modules[Dataset.__module__]


class Seen:
    """An encoder that remembers how many pictures it got at a time."""

    def __init__(self):
        self.sizes = []

    def embed(self, pictures):
        self.sizes.append(len(pictures))
        return torch.cat([chunk.float().flatten(1) for chunk in pictures.split(64)]) + 1


def data(labels):
    random = torch.Generator().manual_seed(0)
    parts = []
    for n in (120, 90):
        shades = torch.randint(256, (n, 1, 8, 8), dtype=torch.uint8, generator=random)
        parts.append(PictureSet(shades, torch.arange(n) % 3 if labels else None, None, [str(i) for i in range(n)]))
    options = PictureOptions(data="", crop=0.5, flip=0.0, grey=0.0, jitter=0.0)
    return Dataset(options, "", *parts, ImageShape(8, 1))


def test_few_pictures_are_all_measured():
    before, after = Seen(), Seen()
    table = data(labels=True).measure(before, after)
    assert before.sizes == [120, 90]
    assert table.title.startswith("Labels of 90 held-out pictures")
    assert not any("drawn at random" in note for note in table.notes)


def test_of_many_a_sample_is_measured_and_the_table_says_so(monkeypatch):
    monkeypatch.setattr(MODULE, "MOST_ASKED", 40)
    monkeypatch.setattr(MODULE, "most_known", lambda width, n_classes: width * n_classes // 4)  # 48
    before = Seen()
    table = data(labels=True).measure(before, Seen())
    assert before.sizes == [48, 40]
    assert table.title.startswith("Labels of 40 held-out pictures")
    assert "Measured with 40 of 90 held-out pictures, drawn at random." in table.notes
    assert "The labels of 48 of the 120 pictures to train on are shown to each." in table.notes


def test_views_are_looked_for_among_a_sample_too(monkeypatch):
    monkeypatch.setattr(MODULE, "MOST_ASKED", 40)
    before = Seen()
    table = data(labels=False).measure(before, Seen())
    assert before.sizes == [40, 40]
    assert table.title == "Retrieval of 40 held-out pictures by a random view of each"
    assert "Measured with 40 of 90 held-out pictures, drawn at random." in table.notes


def test_a_sample_with_one_label_is_measured_by_views(monkeypatch):
    whole = data(labels=True)
    whole.test.labels[:] = 0
    whole.test.labels[-1] = 1
    monkeypatch.setattr(MODULE, "MOST_ASKED", 3)
    assert whole.measure(Seen(), Seen()).title.startswith("Retrieval of 3")


def test_of_large_pictures_fewer_are_measured(monkeypatch):
    monkeypatch.setattr(MODULE, "_PIXELS", 90 * 8 * 8)
    monkeypatch.setattr(MODULE, "_LEAST", 4)
    before = Seen()
    table = data(labels=True).measure(before, Seen())
    assert before.sizes == [60, 30]
    assert "Measured with 30 of 90 held-out pictures, drawn at random." in table.notes
    assert "The labels of 60 of the 120 pictures to train on are shown to each." in table.notes
