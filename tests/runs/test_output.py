"""Embeddings are written part after part; what was stopped goes on, and ends as what never was."""

import json
import socket
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tellapart import InputError, reading
from tellapart.runs import Embeddings, Part, Run, gathered, in_rows, joined, write_embeddings
from tellapart.runs.output import _Attempt
from tests.forked import Forked
from tests.runs.output_job import under

N, WIDTH = 11, 3
VECTORS = torch.randn(N, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def run(tmp_path):
    made = Run(tmp_path / "run")
    made.begin("simclr", {})
    made.save_weights(torch.nn.Linear(2, 2))
    return made


def parts_of(vectors, done, stop_at=None):
    """Two rows each; which were embedded is noted in `done`, and one stops the command in the place of a kill."""

    def embed(rows):
        if rows.start == stop_at:
            raise MemoryError
        done.append(rows.start)
        names = [str(row) for row in range(len(vectors))]
        return Embeddings(names[rows], ["row"] * len(names[rows]), vectors[rows])

    return in_rows(len(vectors), embed, lambda rows: [vectors[rows].numpy().tobytes()], rows=2)


def test_parts_are_written_as_what_is_embedded_at_once(run, tmp_path):
    whole, done = gathered(parts_of(VECTORS, [])), []
    whole.save(tmp_path / "whole.parquet")
    assert write_embeddings(parts_of(VECTORS, done), tmp_path / "x.parquet", run) == (N, WIDTH)
    assert pq.read_table(tmp_path / "x.parquet").equals(pq.read_table(tmp_path / "whole.parquet"))
    assert done == [0, 2, 4, 6, 8, 10]
    assert {path.name for path in tmp_path.iterdir()} == {"run", "whole.parquet", "x.parquet"}


def test_many_rows_are_several_row_groups(run, tmp_path, monkeypatch):
    monkeypatch.setattr("tellapart.runs.formats._GROUP", 4)
    write_embeddings(parts_of(VECTORS, []), tmp_path / "x.parquet", run)
    file = pq.ParquetFile(tmp_path / "x.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [4, 4, 3]


def test_what_was_stopped_goes_on_and_ends_as_what_never_was(run, tmp_path, caplog):
    path, done = tmp_path / "x.parquet", []
    with pytest.raises(MemoryError):
        write_embeddings(parts_of(VECTORS, done, stop_at=6), path, run)
    assert not path.exists()
    assert (tmp_path / "x.parquet.partial").is_dir()
    with caplog.at_level("INFO", logger="tellapart"):
        assert write_embeddings(parts_of(VECTORS, done), path, run) == (N, WIDTH)
    assert done == [0, 2, 4, 6, 8, 10]
    assert "goes on where an earlier attempt was stopped" in caplog.text
    write_embeddings(parts_of(VECTORS, []), tmp_path / "whole.parquet", run)
    assert path.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert not (tmp_path / "x.parquet.partial").exists()


def test_items_that_changed_are_embedded_anew(run, tmp_path, caplog):
    path, done = tmp_path / "x.parquet", []
    with pytest.raises(MemoryError):
        write_embeddings(parts_of(VECTORS, done, stop_at=6), path, run)
    changed = VECTORS.clone()
    changed[3] = 0
    with caplog.at_level("INFO", logger="tellapart"):
        write_embeddings(parts_of(changed, done), path, run)
    assert done == [0, 2, 4, 2, 6, 8, 10]
    assert "the input or the run is not that of an earlier attempt" in caplog.text
    np.testing.assert_array_equal(np.stack(pq.read_table(path)["embedding"].to_pylist()), changed.numpy())


def test_another_run_embeds_all_anew(run, tmp_path):
    path, done = tmp_path / "x.parquet", []
    with pytest.raises(MemoryError):
        write_embeddings(parts_of(VECTORS, done, stop_at=6), path, run)
    run.save_weights(torch.nn.Linear(2, 2))
    write_embeddings(parts_of(VECTORS, done), path, run)
    assert done == [0, 2, 4, 0, 2, 4, 6, 8, 10]


def test_a_damaged_part_and_items_that_are_not_known_are_embedded_anew(run, tmp_path):
    path, done = tmp_path / "x.parquet", []
    with pytest.raises(MemoryError):
        write_embeddings(parts_of(VECTORS, done, stop_at=6), path, run)
    (tmp_path / "x.parquet.partial" / "000001.parquet").write_bytes(b"PAR1")
    write_embeddings(parts_of(VECTORS, done), path, run)
    assert done == [0, 2, 4, 2, 6, 8, 10]
    unknown = [Part(lambda: done.append("unknown") or Embeddings(["a"], ["row"], VECTORS[:1]))]
    attempt = _Attempt(path, run)
    for _ in range(2):
        attempt.fill(unknown, 0, 1)
    assert done[-2:] == ["unknown", "unknown"]


def test_what_was_left_out_before_a_stop_is_told_after_it(run, tmp_path):
    def parts(stop):
        def embed(rows):
            if rows.start == stop:
                raise MemoryError
            names = [str(row) for row in range(rows.start, rows.stop)]
            if rows.start == 0:
                reading.leave_out("broken row", "row 1", InputError("row 1: broken"))
                names = names[:1]
            reading.read(len(names), "row")
            return Embeddings(names, ["row"] * len(names), VECTORS[rows][: len(names)])

        return in_rows(4, embed, lambda rows: [b"%d" % rows.start], rows=2)

    with reading.accounted(), pytest.raises(MemoryError):
        write_embeddings(parts(stop=2), tmp_path / "x.csv", run)
    with reading.accounted() as account:
        assert write_embeddings(parts(stop=None), tmp_path / "x.csv", run) == (3, WIDTH)
    assert account.told() == "Read 3 rows. Left out 1: broken row, row 1."


def test_parts_of_broken_items_alone_are_left_out_and_weighed_against_all_others():
    def parts(*broken):
        def embed(rows):
            if rows.start in broken:
                error = InputError(f"row {rows.start}: broken")
                reading.leave_out("broken row", str(rows.start), error)
                raise error
            reading.read(1, "row")
            return Embeddings(["a"], ["row"], VECTORS[rows])

        return in_rows(3, embed, lambda _: [], rows=1)

    with reading.accounted() as account:
        assert len(gathered(parts(0))) == 2
    assert account.told() == "Read 2 rows. Left out 1: broken row, 0."
    with reading.accounted(), pytest.raises(InputError, match=r"^row 0: broken \(and 1 more broken items\)$"):
        gathered(parts(0, 2))
    with reading.accounted("stop"), pytest.raises(InputError, match=r"^row 1: broken$"):
        gathered(parts(1))


def test_the_share_that_is_behind_grows_over_several_things():
    found = [part.behind for part in joined((4, parts_of(VECTORS[:4], [])), (2, parts_of(VECTORS[:2], [])))]
    assert found == pytest.approx([1 / 3, 2 / 3, 1])


def begin(tmp_path, *words, **environment):
    return Forked("tests.runs.output_job", [str(tmp_path), *words], before=partial(under, environment))


@pytest.mark.usefixtures("run")
def test_killed_between_parts_it_goes_on_in_a_new_process(tmp_path):
    process = begin(tmp_path, "slow")
    done = tmp_path / "done.txt"
    while not (done.exists() and "6\n" in done.read_text()):
        assert process.poll() is None
    process.kill()
    process.communicate()
    assert not (tmp_path / "x.parquet").exists()
    again = begin(tmp_path, "")
    assert again.communicate(timeout=60)[0] == "(11, 2)\n"
    assert done.read_text().split() == ["0", "2", "4", "6", "6", "8", "10"]
    assert pq.read_table(tmp_path / "x.parquet")["name"].to_pylist() == [str(row) for row in range(11)]


@pytest.mark.usefixtures("run")
def test_processes_of_torchrun_share_the_parts_and_the_first_writes_the_file(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    both = [begin(tmp_path, "", RANK=rank, LOCAL_RANK=rank, **common) for rank in ("0", "1")]
    assert [process.communicate(timeout=60)[0] for process in both] == ["(11, 2)\n", "None\n"]
    assert sorted((tmp_path / "done.txt").read_text().split(), key=int) == ["0", "2", "4", "6", "8", "10"]
    assert pq.read_table(tmp_path / "x.parquet")["name"].to_pylist() == [str(row) for row in range(11)]
    assert not (tmp_path / "x.parquet.partial").exists()


def test_the_account_of_a_part_is_kept_as_plain_data(run, tmp_path):
    attempt = _Attempt(tmp_path / "x.csv", run)
    attempt.fill(parts_of(VECTORS[:2], []), 0, 1)
    told = pq.read_schema(tmp_path / "x.csv.partial" / "000000.parquet").metadata[b"read"]
    assert json.loads(told) == {"read": {}, "left_out": {}, "counts": {}, "notes": [], "broken": []}
