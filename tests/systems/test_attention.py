"""The system attention: what it learns from pairs, of what shapes, and what it refuses."""

import numpy as np
import pytest
import torch
from PIL import Image

import tellapart
from tellapart import InputError, info_nce
from tellapart.domains.memories import MemoryOptions, Pairs, Sides, load_pairs
from tellapart.domains.memories.options import Side
from tellapart.domains.memories.reading import reading
from tellapart.domains.pictures import load_splits
from tellapart.relations import same
from tellapart.systems.attention import Config, compare, make_memory
from tests.command_line import fails, read_log, read_results, say, train
from tests.tiny.memories import MEMORY_OPTIONS, planted, write_planted


@pytest.fixture(scope="module")
def run(run_of):
    return run_of("attention")


def test_it_finds_the_key_that_belongs_to_a_query_it_never_saw(run):
    """Untrained encoders guess; trained ones find nearly all of the held-out keys, both ways."""
    rows = [row for row in read_results(run)["rows"] if row[1] in ("untrained", "trained")]
    assert [row[1] for row in rows] == ["untrained", "trained"] * 2
    for untrained, trained in (rows[:2], rows[2:]):
        assert untrained[2] < 0.3
        assert trained[2] > 0.9


def test_what_is_read_is_within_the_bound_of_the_loss(run):
    found = tellapart.load(run)
    pairs = load_pairs(found.config.data, load_splits)
    memory = found.model
    read = reading(memory, pairs, memory.embed_queries(pairs.queries), memory.embed_keys(pairs.keys))
    assert 0 < read.error <= read.bound
    assert 1 <= read.effective <= len(pairs)
    assert "effective keys" in read_results(run)["notes"][-1]


def test_the_objective_is_infonce_both_ways_and_equal_keys_are_positives():
    torch.manual_seed(0)
    q, k = torch.randn(6, 4), torch.randn(6, 4)
    k[1] = k[0]
    ids = torch.tensor([0, 0, 1, 2, 3, 4])
    expected = info_nce(q, k, positives=same(ids), temperature=0.3, symmetric=True)
    torch.testing.assert_close(compare(q, k, same(ids), 0.3).loss(), expected)


@pytest.mark.parametrize("encoder", ["linear", "mlp", "conv"])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_encoders_take_items_of_their_shape_and_standardise_them(encoder, channels):
    torch.manual_seed(0)
    items = torch.randint(256, (5, *channels, 9, 6), dtype=torch.uint8)
    side = Side(tuple(items.shape[1:]), items.float().mean().item(), items.float().std(correction=0).item())
    options = Config(data="nowhere", encoder=encoder, width=16, channels=4, dim=7, dropout=0.0)
    memory = make_memory(options, Sides(side, side)).eval()
    vectors = memory.embed_queries(items)
    assert vectors.shape == (5, 7)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(5))
    other = make_memory(options, Sides(side, Side(side.shape, side.mean / 255, side.deviation / 255))).eval()
    torch.testing.assert_close(other.embed_keys(items / 255), memory.embed_keys(items), rtol=1e-4, atol=1e-5)


def test_halves_of_pictures_are_pairs(tmp_path):
    """The test set of the pictures is held out; equal right halves have one id."""
    pictures = np.random.default_rng(0).integers(256, size=(6, 8, 8), dtype=np.uint8)
    pictures[1, :, 4:] = pictures[0, :, 4:]
    np.savez(tmp_path / "x.npz", x_train=pictures[:4], x_test=pictures[4:])
    pairs = load_pairs(str(tmp_path / "x.npz"), load_splits)
    assert np.array_equal(pairs.queries[:, 0], pictures[:, :, :4])
    assert np.array_equal(pairs.keys[:, 0], pictures[:, :, 4:])
    assert pairs.key_ids[0] == pairs.key_ids[1]
    assert len(set(pairs.key_ids.tolist())) == 5
    assert [rows.tolist() for rows in pairs.split(0.5, 0)] == [[0, 1, 2, 3], [4, 5]]


def test_equal_keys_are_on_one_side_of_the_split():
    ids = torch.arange(50) // 2
    pairs = Pairs(torch.randn(50, 2), torch.randn(50, 2), [""] * 50, ids)
    training, held_out = pairs.split(0.3, 1)
    assert not set(ids[training].tolist()) & set(ids[held_out].tolist())


def test_trained_on_pictures_by_a_convolution_it_is_searched_from_the_command_line(tmp_path, capsys):
    random = np.random.default_rng(0)
    shades = random.integers(256, size=(60, 8, 1)).repeat(8, axis=2)
    (tmp_path / "pictures").mkdir()
    for number, shade in enumerate(shades):
        Image.fromarray(shade.astype(np.uint8)).save(tmp_path / "pictures" / f"{number:02}.png")
    options = ["--encoder=conv", "--channels=2", "--width=8", "--dim=8", "--epochs=2", "--batch_size=16"]
    run = train(tmp_path / "run", "attention", ["--data", str(tmp_path / "pictures"), *options])
    assert len(read_log(run)) == 6
    code, out, _ = say(capsys, "search", run, "07.png", "-k", 2)
    assert code == 0
    assert "Keys for “07.png”" in out
    assert "has no pair" in fails(capsys, "search", run, "70.png")
    with pytest.raises(InputError, match="array of shape"):
        tellapart.load(run).search(np.ones((2, 2)))


def test_an_array_can_be_looked_for(run):
    found = tellapart.load(run)
    queries = planted()["queries"]
    assert [found.search(queries[row], 1)[0].name for row in (3, 5)] == [
        found.search(str(row), 1)[0].name for row in (3, 5)
    ]
    with pytest.raises(InputError, match="finite"):
        found.search(np.full(8, np.nan))
    with pytest.raises(InputError, match="`x` must be a file"):
        found.embed(queries)


def test_what_is_wrong_with_the_data_is_named(tmp_path, capsys):
    right = planted(20)
    for name, arrays, why in (
        ("rows", right | {"keys": right["keys"][:9]}, "20 queries and 9 keys"),
        ("one", {"queries": right["queries"]}, "holds no array keys"),
        ("flat", right | {"queries": np.arange(20)}, "array queries: shape (20,)"),
        ("words", right | {"queries": np.array([["a"]] * 20)}, "array queries: holds <U1, not numbers"),
        ("nan", right | {"keys": np.where(np.arange(20)[:, None] == 3, np.nan, right["keys"])}, "array keys: row 3"),
        ("few", {side: array[:3] for side, array in right.items()}, "fewer than 4 different keys"),
    ):
        np.savez(tmp_path / f"{name}.npz", **arrays)
        said = fails(capsys, "train", "attention", "--data", tmp_path / f"{name}.npz", "--run", tmp_path / "run")
        assert f"{name}.npz" in said
        assert why in said
    (tmp_path / "torn.npz").write_bytes((tmp_path / "few.npz").read_bytes()[:90])
    assert "torn.npz: damaged" in fails(
        capsys, "train", "attention", "--data", tmp_path / "torn.npz", "--run", tmp_path / "run"
    )
    data = write_planted(tmp_path, n=20)
    said = fails(capsys, "train", "attention", "--data", data, "--encoder", "conv", "--run", tmp_path / "run")
    assert "`encoder` must be linear or mlp" in said
    assert not (tmp_path / "run" / "log.jsonl").exists()


def test_other_data_of_another_shape_are_refused_and_of_the_same_measured(run, tmp_path, capsys):
    same_hidden = planted(n=400)
    np.savez(tmp_path / "more.npz", **{side: array[:50] for side, array in same_hidden.items()})
    code, out, _ = say(capsys, "evaluate", run, "--data", tmp_path / "more.npz")
    assert code == 0
    assert "Retrieval among 50 pairs" in out
    wide = write_planted(tmp_path / "wide", d=9)
    assert "queries of shape (9,), where the run was trained with (8,)" in fails(
        capsys, "evaluate", run, "--data", wide
    )


def test_the_options_of_the_tiny_run_are_its_own():
    assert isinstance(Config(data="x", **MEMORY_OPTIONS), MemoryOptions)
