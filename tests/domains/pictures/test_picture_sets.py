"""Pictures without texts: every form gives the same set, and what is wrong is named."""

import gzip
import io
import pickle
import re
import struct
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from tellapart import InputError, reading
from tellapart.domains.pictures import PictureSet, load_pictures, load_splits
from tellapart.domains.pictures.picture_sets import Form
from tests.tiny.pictures import draw


def random_pictures(n, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def idx(array):
    """The bytes of an idx file."""
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(folder, name, pictures, labels=None, zipped=True):
    folder.mkdir(exist_ok=True)
    pack, suffix = (gzip.compress, ".gz") if zipped else (bytes, "")
    path = folder / f"{name}-images-idx3-ubyte{suffix}"
    path.write_bytes(pack(idx(pictures)))
    if labels is not None:
        (folder / f"{name}-labels-idx1-ubyte{suffix}").write_bytes(pack(idx(labels)))
    return path


def write_folder(folder, names):
    """Tiny pictures, each of another colour."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 6), (10 * number, 20, 30)).save(path)
    return str(folder)


def save(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def one_line(error):
    return "\n" not in str(error.value)


def test_npy_npz_and_idx_files_give_the_same_pictures_and_labels(tmp_path):
    pictures, labels = random_pictures(7, 5, 5), np.arange(7, dtype=np.uint8) % 3
    np.save(tmp_path / "a.npy", pictures)
    sources = [
        save(tmp_path / "a.npz", images=pictures, labels=labels),
        save(tmp_path / "b.npz", x=pictures, y=labels[:, None].astype(np.int32)),
        save(tmp_path / "c.npz", anything=pictures, labels=labels.astype(np.uint64)),
        str(write_idx(tmp_path / "zipped", "some", pictures, labels)),
        str(write_idx(tmp_path / "plain", "some", pictures, labels, zipped=False)),
        str(tmp_path / "plain"),
    ]
    expected = load_pictures(sources[0])
    assert torch.equal(expected.pictures, torch.from_numpy(pictures)[:, None])
    assert expected.labels.tolist() == labels.tolist()
    assert expected.classes is None
    assert expected.names == list("0123456")
    for source in sources[1:]:
        assert load_pictures(source).fingerprint() == expected.fingerprint()
    unlabelled = load_pictures(str(tmp_path / "a.npy"))
    assert torch.equal(unlabelled.pictures, expected.pictures)
    assert unlabelled.labels is None


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64", ">f4"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("last", [True, False])
def test_channels_first_or_last_and_bytes_or_floats_are_the_same_pictures(tmp_path, dtype, channels, last):
    pictures = random_pictures(4, channels, 5, 5)
    array = pictures.transpose(0, 2, 3, 1) if last else pictures
    np.save(tmp_path / "x.npy", array if dtype == "uint8" else (array / 255).astype(dtype))
    loaded = load_pictures(str(tmp_path / "x.npy")).pictures
    assert loaded.dtype == torch.uint8
    assert loaded.is_contiguous()
    assert torch.equal(loaded, torch.from_numpy(pictures))
    loaded += 1  # not a read-only map of the file


def test_keras_style_arrays_are_two_sets(tmp_path):
    x, y = random_pictures(6, 4, 4), np.arange(6)
    source = save(tmp_path / "x.npz", x_train=x[:4], y_train=y[:4], x_test=x[4:], y_test=y[4:])
    training, test = load_splits(source)
    assert (len(training), len(test)) == (4, 2)
    assert test.labels.tolist() == [4, 5]
    both = load_pictures(source)
    assert torch.equal(both.pictures[:, 0], torch.from_numpy(x))
    assert both.labels.tolist() == y.tolist()
    assert both.names == ["train/0", "train/1", "train/2", "train/3", "test/0", "test/1"]
    alone, nothing = load_splits(save(tmp_path / "z.npz", x_train=x[:4], y_train=y[:4]))
    assert (len(alone), nothing) == (4, None)
    partly = load_pictures(save(tmp_path / "y.npz", x_train=x[:4], y_train=y[:4], x_test=x[4:]))
    assert partly.labels is None


def test_names_as_labels_are_numbered_alike_in_both_sets(tmp_path):
    x = random_pictures(3, 4, 4)
    source = save(tmp_path / "x.npz", x_train=x, y_train=np.array(["dog", "cat", "dog"]), x_test=x[:1], y_test=["emu"])
    training, test = load_splits(source)
    assert training.classes == test.classes == ["cat", "dog", "emu"]
    assert training.labels.tolist() == [1, 0, 1]
    assert test.labels.tolist() == [2]
    source = save(tmp_path / "y.npz", x_train=x, y_train=np.array(["dog", "cat", "dog"]), x_test=x[:1], y_test=[1])
    with pytest.raises(InputError, match="names in one part and numbers in the other"):
        load_splits(source)


def test_a_folder_of_idx_files_is_split_as_their_names_say(tmp_path):
    pictures, labels = random_pictures(5, 4, 4), np.arange(5, dtype=np.uint8)
    write_idx(tmp_path, "train", pictures, labels)
    training, nothing = load_splits(str(tmp_path))
    assert nothing is None
    write_idx(tmp_path, "t10k", pictures[:2], labels[:2], zipped=False)
    write_idx(tmp_path, "t10k", pictures[:2], labels[:2])  # the same again, zipped
    training, test = load_splits(str(tmp_path))
    assert (len(training), len(test)) == (5, 2)
    assert test.labels.tolist() == [0, 1]
    alone, nothing = load_splits(str(tmp_path / "t10k-images-idx3-ubyte.gz"))
    assert nothing is None
    assert torch.equal(alone.pictures, test.pictures)
    write_idx(tmp_path, "other", pictures)
    with pytest.raises(InputError, match=r"which is the training set\? Found: other-images"):
        load_splits(str(tmp_path))


def test_subfolders_are_classes_if_every_picture_lies_in_one(tmp_path):
    source = write_folder(tmp_path / "x", ["dog/deep/1.png", "cat/1.png", "cat/2.PNG", ".hidden/3.png"])
    found = load_pictures(source, 6)
    assert found.names == ["cat/1.png", "cat/2.PNG", "dog/deep/1.png"]
    assert found.classes == ["cat", "dog"]
    assert found.labels.tolist() == [0, 0, 1]
    assert found.pictures[:, 0, 0, 0].tolist() == [10, 20, 0]
    write_folder(tmp_path / "x", ["loose.png"])
    assert load_pictures(source, 6).labels is None
    assert load_pictures(write_folder(tmp_path / "y", ["all/1.png", "all/2.png"]), 6).labels is None


@pytest.mark.parametrize("test_name", ["test", "val"])
def test_train_and_test_folders_are_two_sets_with_the_same_classes(tmp_path, test_name):
    source = write_folder(tmp_path, ["train/dog/1.png", "train/cat/1.png", f"{test_name}/dog/2.png"])
    training, test = load_splits(source)
    assert training.classes == test.classes == ["cat", "dog"]
    assert training.labels.tolist() == [0, 1]
    assert test.labels.tolist() == [1]
    assert test.names == [f"{test_name}/dog/2.png"]
    write_folder(tmp_path, ["bird/1.png"])  # now train may be a class like any other
    with pytest.raises(InputError, match=r"some folders are called like splits, others not.*--labels folder"):
        load_splits(source)
    everything, nothing = load_splits(source, form=Form(labels="folder"))
    assert nothing is None
    assert everything.classes == sorted(["bird", test_name, "train"])
    assert load_splits(source, form=Form(labels="none"))[0].labels is None


def test_arrays_that_are_not_square_are_centred_on_zeros(tmp_path):
    np.save(tmp_path / "x.npy", np.full((1, 2, 5), 255, dtype=np.uint8))
    picture = load_pictures(str(tmp_path / "x.npy")).pictures[0, 0]
    assert picture.tolist() == [[0] * 5, [255] * 5, [255] * 5, [0] * 5, [0] * 5]


def test_arrays_are_resized_with_antialiasing_as_pillow_does(tmp_path):
    pictures = random_pictures(3, 30, 30, 3)
    np.save(tmp_path / "x.npy", pictures)
    small = load_pictures(str(tmp_path / "x.npy"), 11).pictures.int()
    for row in range(3):
        resized = np.asarray(Image.fromarray(pictures[row]).resize((11, 11), Image.Resampling.BILINEAR))
        assert (small[row].permute(1, 2, 0).numpy() - resized.astype(int)).__abs__().max() <= 1


def test_files_keep_the_size_they_share_and_have_the_usual_one_if_they_differ_which_is_said(tmp_path):
    source = write_folder(tmp_path, ["1.png", "2.png"])
    assert load_pictures(source).pictures.shape == (2, 3, 6, 6)
    draw("red", "dot").save(tmp_path / "3.png")
    with reading.accounted() as account:
        assert load_pictures(source).pictures.shape == (3, 3, 32, 32)
    said = "Pictures of 6×6 and 24×24 pixels are brought to 32×32; --picture_size gives another size."
    assert said in account.told()
    assert load_pictures(source, 8).pictures.shape == (3, 3, 8, 8)
    assert load_pictures(str(tmp_path / "3.png")).names == ["3.png"]


def test_colour_becomes_grey_by_its_luminance_and_grey_three_equal_channels(tmp_path):
    picture = random_pictures(1, 8, 8, 3)
    np.save(tmp_path / "x.npy", picture)
    grey = load_pictures(str(tmp_path / "x.npy"), channels=1).pictures
    assert grey.shape == (1, 1, 8, 8)
    assert np.abs(grey[0, 0].int().numpy() - np.asarray(Image.fromarray(picture[0]).convert("L"))).max() <= 1
    np.save(tmp_path / "y.npy", grey.numpy())
    colour = load_pictures(str(tmp_path / "y.npy"), channels=3).pictures
    assert torch.equal(colour, grey.repeat(1, 3, 1, 1))


def test_rows_devices_and_fingerprints(tmp_path):
    pictures = random_pictures(4, 5, 5)
    found = load_pictures(save(tmp_path / "x.npz", images=pictures, labels=["a", "b", "b", "c"]))
    part = found.rows(torch.tensor([2, 0]))
    assert torch.equal(part.pictures[:, 0], torch.from_numpy(pictures[[2, 0]]))
    assert (part.labels.tolist(), part.classes, part.names) == ([1, 0], ["a", "b", "c"], ["2", "0"])
    assert found.to(torch.device("cpu")).fingerprint() == found.fingerprint()
    changed = [
        PictureSet(found.pictures.flip(0), found.labels, found.classes, found.names),
        PictureSet(found.pictures, found.labels.flip(0), found.classes, found.names),
        PictureSet(found.pictures, None, None, found.names),
        PictureSet(found.pictures, found.labels, found.classes, found.names[::-1]),
    ]
    assert len({found.fingerprint(), *(other.fingerprint() for other in changed)}) == 5


def test_true_and_false_are_white_and_black(tmp_path):
    np.save(tmp_path / "x.npy", np.eye(4, dtype=bool)[None])
    pictures = load_splits(str(tmp_path / "x.npy"))[0].pictures
    assert torch.equal(pictures[0, 0], 255 * torch.eye(4, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 4, 4), dtype=np.int64), "numbers of type int64. Pictures must be uint8"),
        (np.full((2, 4, 4), 255.0), r"values from 255 to 255\. Floating-point pictures must lie in \[0, 1\]"),
        (np.full((2, 4, 4), -0.5), r"values from -0\.5"),
        (np.full((2, 4, 4), np.nan), "values from nan to nan"),
        (np.array([np.zeros((2, 2)), np.inf + np.zeros((2, 2))]), "values from 0 to inf"),
        (np.zeros((4, 4)), r"an array of shape \(4, 4\)\. Pictures must be \(n, h, w\)"),
        (np.zeros((28, 28, 3)), r"an array of shape \(28, 28, 3\)"),
        (np.zeros(()), r"an array of shape \(\)"),
        (np.zeros((2, 4, 4, 4)), r"an array of shape \(2, 4, 4, 4\)"),
        (np.zeros((2, 3, 4, 3)), r"an array of shape \(2, 3, 4, 3\)"),
        (np.zeros((0, 4, 4), dtype=np.uint8), r"holds no pictures, its shape is \(0, 4, 4\)"),
        (np.zeros((2, 0, 4), dtype=np.uint8), r"holds no pictures, its shape is \(2, 0, 4\)"),
    ],
)
def test_an_array_that_is_no_pictures_is_refused_with_what_it_should_be(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(InputError, match=rf"x\.npy: {message}") as error:
        load_pictures(str(tmp_path / "x.npy"))
    assert one_line(error)
    with pytest.raises(InputError, match=rf"x\.npz, array images: {message}"):
        load_pictures(save(tmp_path / "x.npz", images=array))


class Trap:
    """A pickle that would write a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_python_objects_are_refused_and_never_run(tmp_path):
    trap = np.array([Trap(tmp_path / "sprung")], dtype=object)
    np.save(tmp_path / "x.npy", trap)
    np.savez(tmp_path / "x.npz", images=trap)
    np.savez(tmp_path / "y.npz", images=random_pictures(1, 4, 4), labels=trap)
    (tmp_path / "z.npy").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    for name in ("x.npy", "x.npz", "y.npz"):
        with pytest.raises(InputError, match=f"{name}: holds Python objects") as error:
            load_pictures(str(tmp_path / name))
        assert one_line(error)
    with pytest.raises(InputError, match=r"z\.npy: not a NumPy file"):
        load_pictures(str(tmp_path / "z.npy"))
    assert not (tmp_path / "sprung").exists()


def test_damaged_numpy_files_are_named(tmp_path):
    np.save(tmp_path / "x.npy", random_pictures(9, 8, 8))
    save(tmp_path / "x.npz", images=random_pictures(9, 8, 8))
    lying = io.BytesIO()
    np.lib.format.write_array_header_1_0(lying, {"descr": "|u1", "fortran_order": False, "shape": (2**40, 2**10, 9)})
    whole = {name: (tmp_path / name).read_bytes() for name in ("x.npy", "x.npz")}
    for name, content, message in (
        ("cut.npy", whole["x.npy"][:-1], "damaged, truncated"),
        ("head.npy", whole["x.npy"][:20], "damaged, truncated"),
        ("huge.npy", lying.getvalue() + bytes(100), "damaged, truncated"),
        ("empty.npy", b"", "not a NumPy file"),
        ("text.npz", b"hello", "not a NumPy file"),
        ("cut.npz", whole["x.npz"][:300], "damaged, truncated"),
        ("bad.npz", whole["x.npz"][:200] + bytes(50) + whole["x.npz"][250:], "damaged, truncated"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}: {message}") as error:
            load_pictures(str(tmp_path / name))
        assert one_line(error)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": np.arange(3)}, r"which array holds the pictures\? Found: labels\. Name the pictures images"),
        ({"a": np.zeros((3, 4, 4)), "b": np.zeros((3, 4, 4))}, "Found: a, b"),
        ({"x_test": np.zeros((3, 4, 4)), "y_test": np.arange(3)}, "Found: x_test, y_test"),
        ({"x": np.zeros((3, 4, 4)), "y": np.arange(4)}, "array y: 4 labels for 3 pictures"),
        ({"x": np.zeros((3, 4, 4)), "y": np.eye(3)}, r"labels of shape \(3, 3\).*argmax"),
        ({"x": np.zeros((3, 4, 4)), "y": np.arange(3.0)}, "labels of type float64"),
        (
            {"x_train": np.zeros((3, 4, 4)), "x_test": np.zeros((3, 5, 5))},
            "training and test pictures of 1×4×4 and 1×5×5",
        ),
        ({"x_train": np.zeros((3, 4, 4)), "x_test": np.zeros((3, 4, 4, 3))}, "pictures of 1×4×4 and 3×4×4"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(tmp_path, arrays, message):
    with pytest.raises(InputError, match=message) as error:
        load_pictures(save(tmp_path / "x.npz", **arrays))
    assert one_line(error)


def test_an_archive_that_is_not_numpys_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("images.txt", "hello")
    with pytest.raises(InputError, match=r"x\.npz"):
        load_pictures(str(tmp_path / "x.npz"))
    with zipfile.ZipFile(tmp_path / "empty.npz", "w"):
        pass
    with pytest.raises(InputError, match="Found: none"):
        load_pictures(str(tmp_path / "empty.npz"))


PICTURES = idx(random_pictures(3, 4, 4))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PICTURES[:-1], "only 47 bytes where its header promises 3×4×4"),
        (PICTURES + b"!", "more bytes where its header promises 3×4×4"),
        (PICTURES[:10], "damaged or truncated, its header is cut short"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), "only 0 bytes where its header promises"),
        (idx(np.arange(3, dtype=np.uint8)), "an idx file of pictures begins with 00 00 08 03. Found 00 00 08 01"),
        (b"\0\0\x0d\3" + PICTURES[4:], "Found 00 00 0d 03"),
        (b"", "Found nothing"),
        (idx(np.zeros((0, 4, 4), dtype=np.uint8)), r"holds no pictures"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_wrong_idx_file_is_named_with_what_is_wrong(tmp_path, content, message, zipped):
    path = tmp_path / "x-images-idx3-ubyte"
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(InputError, match=f"x-images-idx3-ubyte: .*{message}") as error:
        load_pictures(str(path))
    assert one_line(error)


def test_a_damaged_gzip_file_is_named(tmp_path):
    path = write_idx(tmp_path, "x", random_pictures(3, 40, 40))
    whole = path.read_bytes()
    for content in (whole[:-20], whole[:12], whole[:50] + bytes(50) + whole[100:], whole[:-8] + bytes(8)):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"x-images-idx3-ubyte\.gz: damaged or truncated"):
            load_pictures(str(path))


def test_idx_labels_of_another_number_are_refused(tmp_path):
    path = write_idx(tmp_path, "x", random_pictures(3, 4, 4), np.arange(4, dtype=np.uint8))
    with pytest.raises(InputError, match=r"x-labels-idx1-ubyte\.gz: 4 labels for 3 pictures"):
        load_pictures(str(path))
    (tmp_path / "x-labels-idx1-ubyte.gz").write_bytes(gzip.compress(PICTURES))
    with pytest.raises(InputError, match=r"an idx file of labels begins with 00 00 08 01\. Found 00 00 08 03"):
        load_pictures(str(path))


def test_missing_empty_and_strange_places_are_named(tmp_path):
    for source, message in (
        (tmp_path / "nowhere", "nowhere: there is no such file or folder"),
        (tmp_path, "the folder holds no pictures and no idx files"),
    ):
        with pytest.raises(InputError, match=message):
            load_pictures(str(source))
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match=r"notes\.txt: not a file of pictures"):
        load_pictures(str(tmp_path / "notes.txt"))
    (tmp_path / "x.png").write_bytes(b"hello")
    (tmp_path / "y.png").write_bytes(b"hello")
    with pytest.raises(
        InputError, match=re.escape("x.png: not a picture that can be read. Convert it to PNG or JPEG.")
    ):
        load_pictures(str(tmp_path))
    with pytest.raises(InputError, match=r"x\.png.*\(and 1 more broken pictures\)"):
        load_pictures(str(tmp_path), 8)
    source = write_folder(tmp_path / "split", ["train/a/1.png"])
    (tmp_path / "split" / "test").mkdir()
    with pytest.raises(InputError, match="test: the folder holds no pictures"):
        load_pictures(source)


@pytest.mark.parametrize(("name", "value"), [("size", 0), ("size", 5000), ("channels", 2)])
def test_an_option_out_of_range_is_refused_by_name(tmp_path, name, value):
    with pytest.raises(InputError, match=f"`{name}` must"):
        load_pictures(str(tmp_path), **{name: value})


def test_openmoji_serves_as_pictures_too():
    found = load_pictures("openmoji", 8)
    assert found.pictures.shape[1:] == (3, 8, 8)
    assert found.labels is None
