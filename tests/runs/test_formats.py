"""Every format holds the same names, kinds and vectors, to the last bit."""

import csv

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tellapart import InputError
from tellapart.runs import Embeddings, check_suffix

NAMES = ["a,b", 'say "c"', "caf\udce9", "名\n前", ""]
FOUND = Embeddings(NAMES, ["text"] * 4 + ["picture"], torch.randn(5, 3, generator=torch.Generator().manual_seed(0)))


def read(path):
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return {name: table[name].to_pylist() for name in table.column_names}
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name].tolist() for name in file}
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        assert header == ["name", "kind", "embedding_0", "embedding_1", "embedding_2"]
        return {
            "name": [row[0] for row in rows],
            "kind": [row[1] for row in rows],
            "embedding": [[float(x) for x in row[2:]] for row in rows],
        }
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(path, mode="r")
    return {name: group[name][:].tolist() for name in ("name", "kind", "embedding")}


@pytest.mark.parametrize("ending", [".parquet", ".npz", ".csv", ".zarr"])
def test_all_formats_hold_the_same(tmp_path, ending):
    if ending == ".zarr":
        pytest.importorskip("zarr")
    path = tmp_path / f"x{ending}"
    FOUND.save(path)
    found = read(path)
    assert found["name"] == ["a,b", 'say "c"', "caf?", "名\n前", ""]
    assert found["kind"] == FOUND.kinds
    np.testing.assert_array_equal(np.array(found["embedding"], dtype=np.float32), FOUND.vectors.numpy())
    assert list(tmp_path.iterdir()) == [path]


def test_zarr_is_written_chunk_by_chunk_and_only_into_a_new_folder(tmp_path, monkeypatch):
    zarr = pytest.importorskip("zarr")
    monkeypatch.setattr("tellapart.runs.formats._GROUP", 2)
    from tellapart.runs.formats import write

    halves = [Embeddings(NAMES[some], FOUND.kinds[some], FOUND.vectors[some]) for some in (slice(3), slice(3, 5))]
    assert write(halves, tmp_path / "x.zarr") == (5, 3)
    assert zarr.open_group(tmp_path / "x.zarr", mode="r")["embedding"].shape == (5, 3)
    with pytest.raises(InputError, match="exists and is not an empty folder"):
        check_suffix(tmp_path / "x.zarr")


def test_without_zarr_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    with pytest.raises(InputError, match=r"zarr is missing\. pip install 'tellapart\[zarr\]'"):
        FOUND.save(tmp_path / "x.zarr")
    assert list(tmp_path.iterdir()) == []


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"must end in \.parquet, \.npz, \.csv or \.zarr"):
        FOUND.save(tmp_path / "x.txt")
