"""What training never sees: the source's own test set, or whole groups of equal pictures drawn by the seed."""

import numpy as np
import pytest

from tellapart import InputError
from tellapart.domains.pictures import load_held_out, pixel_ids
from tests.tiny.pictures import patterns


def held_out(path, seed=0, share=0.25):
    return load_held_out(str(path), None, None, share, seed)


def test_equal_pictures_never_fall_on_both_sides(tmp_path):
    pictures = patterns(20)[0]
    np.save(tmp_path / "a.npy", np.concatenate([pictures, pictures, pictures[:7]]))
    for seed in range(5):
        training, test = held_out(tmp_path / "a.npy", seed)
        assert not set(pixel_ids(training.pictures)) & set(pixel_ids(test.pictures))
        assert sorted(training.names + test.names) == sorted(map(str, range(47)))
        assert 10 <= len(test) <= 14


def test_the_seed_decides_who_is_held_out_and_nothing_else_does(tmp_path):
    np.save(tmp_path / "a.npy", patterns(40)[0])
    one, again, other = (held_out(tmp_path / "a.npy", seed)[1].names for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_a_test_set_of_its_own_is_taken_whole(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=patterns(9)[0], x_test=patterns(5)[0])
    training, test = held_out(tmp_path / "a.npz")
    assert (len(training), len(test)) == (9, 5)
    assert test.names == [f"test/{i}" for i in range(5)]


@pytest.mark.parametrize(("n_train", "n_test", "message"), [(1, 5, "1 picture to train on"), (5, 1, "to hold out")])
def test_one_picture_is_too_few_on_either_side(tmp_path, n_train, n_test, message):
    np.savez(tmp_path / "a.npz", x_train=patterns(n_train)[0], x_test=patterns(n_test)[0])
    with pytest.raises(InputError, match=message):
        held_out(tmp_path / "a.npz")
