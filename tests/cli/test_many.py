"""Many queries from a file, embeddings in every format, and groups: by the command line, for systems of each kind."""

import csv
import dataclasses
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import tellapart
from tellapart import InputError
from tellapart.runs import Groups
from tests.command_line import fails, say
from tests.tiny.pictures import draw, write_pairs
from tests.tiny.sentences import translations


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[:4] == ["query", "rank", "name", "similarity"]
    return [(query, int(rank), name, float(similarity)) for query, rank, name, similarity, *_ in rows]


def test_queries_of_a_text_file_find_what_each_finds_by_itself(capsys, trained, tmp_path):
    (tmp_path / "queries.txt").write_text("green square\n\nblue dot\n", encoding="utf-8")
    code, out, _ = say(capsys, "search", trained, tmp_path / "queries.txt", "-k", 3, "-o", tmp_path / "hits.csv")
    assert (code, out.splitlines()[-1]) == (0, f"{tmp_path / 'hits.csv'}: 2 queries, 6 hits")
    found, run = rows_of(tmp_path / "hits.csv"), tellapart.load(trained)
    for start, query in ((0, "green square"), (3, "blue dot")):
        alone = run.search(query, k=3)
        assert [row[:3] for row in found[start : start + 3]] == [
            (query, rank, hit.name) for rank, hit in enumerate(alone, 1)
        ]
        assert [row[3] for row in found[start : start + 3]] == pytest.approx([hit.score for hit in alone], abs=1e-6)


def test_queries_come_from_tables_too_and_hits_go_to_parquet(capsys, trained, tmp_path):
    (tmp_path / "q.csv").write_text("id,query\n1,green square\n2,blue dot\n", encoding="utf-8")
    assert say(capsys, "search", trained, tmp_path / "q.csv", "-k", 2, "-o", tmp_path / "hits.parquet")[0] == 0
    table = pq.read_table(tmp_path / "hits.parquet")
    assert table.column_names == ["query", "rank", "name", "similarity", "text"]
    hits = [hit for query in ("green square", "blue dot") for hit in tellapart.load(trained).search(query, k=2)]
    assert table["text"].to_pylist() == [hit.text for hit in hits]
    assert table["query"].to_pylist() == ["green square"] * 2 + ["blue dot"] * 2
    code, out, _ = say(capsys, "search", trained, tmp_path / "q.csv", "-k", 2)  # shown, a table each
    assert code == 0
    assert out.index("Pictures for “green square”") < out.index("Pictures for “blue dot”")


def test_a_pictures_path_is_searched_by_the_picture_and_never_as_text(capsys, trained, tmp_path, monkeypatch):
    """A run of pictures and texts."""
    draw("blue", "bar").save(tmp_path / "x.png")
    by_picture = tellapart.load(trained).search(draw("blue", "bar"), k=3)
    for query in (tmp_path / "x.png", str(tmp_path / "x.png")):
        hits = tellapart.load(trained).search(query, k=3)
        assert [hit.name for hit in hits] == [hit.name for hit in by_picture]
    assert tellapart.load(trained).search("blue-bar.png", k=1)[0].name == "blue-bar.png"  # one of the run's own
    assert "no such file" in fails(capsys, "search", trained, "nowhere.png")
    (tmp_path / "notes.pdf").write_bytes(b"%PDF")
    assert "a file, but the run looks for texts" in fails(capsys, "search", trained, tmp_path / "notes.pdf")
    assert "there is no such file of queries" in fails(capsys, "search", trained, "nowhere.txt")
    write_pairs(tmp_path / "pictures")
    monkeypatch.chdir(tmp_path)
    assert "Write ./pictures for its pictures" in fails(capsys, "search", trained, "pictures")
    assert say(capsys, "search", trained, "./pictures", "-k", 1, "-o", "hits.csv")[0] == 0
    found = rows_of(tmp_path / "hits.csv")
    assert len(found) == 24
    assert ("blue-bar.png", 1, "blue-bar.png") in [row[:3] for row in found]


def test_a_folder_of_pictures_is_a_query_a_picture(capsys, learned, tmp_path):
    (tmp_path / "queries").mkdir()
    for name in ("a", "b"):
        draw("black", "bar").save(tmp_path / "queries" / f"{name}.png")
    assert say(capsys, "search", learned, tmp_path / "queries", "-k", 2, "-o", tmp_path / "hits.csv")[0] == 0
    found = rows_of(tmp_path / "hits.csv")
    assert [row[0] for row in found] == ["a.png", "a.png", "b.png", "b.png"]
    assert [row[2] for row in found[:2]] == [row[2] for row in found[2:]]


def test_each_sequence_of_a_fasta_is_a_query_and_one_that_is_broken_is_left_out(capsys, sequenced, tmp_path):
    letters = [12 * "ACGGT", 12 * "TTGCA"]
    (tmp_path / "q.fa").write_text(f">one\n{letters[0]}\n>none\n!!!!\n>two\n{letters[1]}\n")
    code, out, _ = say(capsys, "search", sequenced, tmp_path / "q.fa", "-k", 2, "-o", tmp_path / "hits.csv")
    assert code == 0
    assert "Left out 1" in out
    message = fails(capsys, "search", sequenced, tmp_path / "q.fa", "-o", tmp_path / "none.csv", "--broken", "stop")
    assert "none" in message
    assert not (tmp_path / "none.csv").exists()
    found, run = rows_of(tmp_path / "hits.csv"), tellapart.load(sequenced)
    assert [row[:3] for row in found] == [
        (name, rank, hit.name)
        for name, text in zip(("one", "two"), letters, strict=True)
        for rank, hit in enumerate(run.search(text, k=2), 1)
    ]


def test_a_query_that_cannot_be_looked_for_is_left_out_unless_most_are(run_of):
    run = tellapart.load(run_of("graph"))
    found = run.search_many(["n7", "nowhere", "n3"], k=1)
    assert [(one.query, one.hits[0].name) for one in found] == [("n7", "n7"), ("n3", "n3")]
    with pytest.raises(InputError, match="there is no node 'nowhere'"):
        run.search_many(["nowhere", "n7", "neither"], k=1)
    with pytest.raises(InputError, match="there is no node 'nowhere'"):
        run.search_many(["n7", "nowhere", "n3"], k=1, broken="stop")
    with pytest.raises(InputError, match="`k` must be at least 1"):
        run.search_many(["n7"], k=0)
    with pytest.raises(InputError, match="query: there is none"):
        run.search_many([])


def test_sentences_are_embedded_in_parts_as_at_once(capsys, run_of, tmp_path, monkeypatch):
    run = tellapart.load(run_of("bilingual"))
    texts = [row[0] for row in translations(20)]
    (tmp_path / "x.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    expected = run.embed(texts)
    monkeypatch.setattr("tellapart.runs.parts.TEXTS", 3)
    assert say(capsys, "embed", run.folder, tmp_path / "x.txt", "-o", tmp_path / "x.parquet")[0] == 0
    table = pq.read_table(tmp_path / "x.parquet")
    assert table["name"].to_pylist() == expected.names
    np.testing.assert_allclose(np.stack(table["embedding"].to_pylist()), expected.vectors, atol=1e-5)


def test_a_folder_of_pictures_is_decoded_in_parts_and_a_broken_one_left_out(capsys, trained, tmp_path, monkeypatch):
    """Broken ones fill a part, and are few among all."""
    folder = write_pairs(tmp_path / "pictures")
    (folder / "pairs.csv").unlink()
    whole = tellapart.load(trained).embed(folder)
    assert say(capsys, "embed", trained, folder, "-o", tmp_path / "x.parquet")[0] == 0
    assert pq.read_table(tmp_path / "x.parquet")["embedding"].to_pylist() == whole.vectors.tolist()
    monkeypatch.setattr("tellapart.runs.parts.ROWS", 2)
    names = sorted(file.name for file in folder.iterdir())
    for name in names[2:4]:
        (folder / name).write_bytes(b"\x89PNG nonsense")
    code, out, _ = say(capsys, "embed", trained, folder, "-o", tmp_path / "x.parquet")
    assert code == 0
    assert "Read 22 pictures. Left out 2: 2 × broken picture" in out
    assert out.splitlines()[-1].endswith("22 embeddings of length 16")
    table = pq.read_table(tmp_path / "x.parquet")
    assert table["name"].to_pylist() == names[:2] + names[4:]
    rows = [whole.names.index(name) for name in table["name"].to_pylist()]
    np.testing.assert_allclose(np.stack(table["embedding"].to_pylist()), whole.vectors[rows], atol=1e-5)


def test_pictures_without_texts_are_the_same_in_parts(learned, tmp_path, monkeypatch):
    folder = write_pairs(tmp_path / "pictures")
    (folder / "pairs.csv").unlink()
    run = tellapart.load(learned)
    whole = run.embed(folder)
    monkeypatch.setattr("tellapart.runs.parts.ROWS", 5)
    assert run.embed_into(tmp_path / "x.parquet", folder) == tuple(whole.vectors.shape)
    table = pq.read_table(tmp_path / "x.parquet")
    assert table["name"].to_pylist() == whole.names
    np.testing.assert_allclose(np.stack(table["embedding"].to_pylist()), whole.vectors, atol=1e-5)


def test_pictures_fall_into_groups_of_a_number_or_found(capsys, learned, tmp_path):
    folder = write_pairs(tmp_path / "pictures")
    (folder / "pairs.csv").unlink()
    code, out, _ = say(capsys, "cluster", learned, folder, "--groups", 3, "-o", tmp_path / "groups.csv")
    assert code == 0
    assert "24 items in groups" in out
    with (tmp_path / "groups.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == sorted(file.name for file in folder.iterdir())
    sizes = [sum(row["group"] == group for row in rows) for group in ("0", "1", "2")]
    assert sum(sizes) == 24
    assert sizes == sorted(sizes, reverse=True)
    assert say(capsys, "cluster", learned, folder, "-o", tmp_path / "groups.parquet")[0] == 0
    table = pq.read_table(tmp_path / "groups.parquet")
    assert table.column_names == ["name", "kind", "group"]
    assert set(table["group"].to_pylist()) <= set(range(-1, 24))


def test_groups_of_pictures_are_shown_on_a_page_the_most_typical_first(capsys, learned, tmp_path, visit):
    folder = write_pairs(tmp_path / "pictures")
    (folder / "pairs.csv").unlink()
    assert say(capsys, "cluster", learned, folder, "--groups", 3, "-o", tmp_path / "groups.html")[0] == 0
    page = visit(tmp_path / "groups.html")
    assert page.trouble == []
    assert page.locator("h1").inner_text() == "24 pictures in 3 groups"
    assert page.locator("section").count() == 3
    assert page.locator("li img").count() == 24
    found = tellapart.load(learned).embed(folder)
    for group in range(3):
        shown = page.locator(f"#group-{group} li").all_inner_texts()
        vectors = found.vectors[[found.names.index(name) for name in shown]]
        mean = vectors.mean(0)
        cosines = (vectors @ mean / mean.norm()).tolist()
        assert cosines == pytest.approx(sorted(cosines, reverse=True), abs=1e-6)
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_groups_of_pictures_and_texts_show_both(capsys, trained, tmp_path, visit):
    folder = write_pairs(tmp_path / "pictures")
    assert say(capsys, "cluster", trained, folder, "--groups", 2, "-o", tmp_path / "groups.html")[0] == 0
    page = visit(tmp_path / "groups.html")
    assert page.locator("h1").inner_text() == "24 pictures and 24 texts in 2 groups"
    assert 0 < page.locator("li img").count() <= 24
    assert page.locator("li.text").count() > 0


def test_what_cluster_cannot_do_is_said_before_the_work(capsys, learned, tmp_path):
    folder = write_pairs(tmp_path / "pictures")
    assert "must be at most 24" in fails(capsys, "cluster", learned, folder, "-n", 25)
    assert "`n` must be at least 1" in fails(capsys, "cluster", learned, folder, "-n", 0)
    message = "must end in .csv, .parquet or .html"
    assert message in fails(capsys, "cluster", learned, tmp_path / "nowhere", "-o", "groups.png")
    message = "must end in .csv or .parquet"
    assert message in fails(capsys, "search", learned, tmp_path / "nowhere", "-o", "hits.txt")


def test_many_items_in_no_group_are_said():
    number = torch.tensor([0, 0, -1, -1])
    groups = Groups(list("abcd"), 4 * ["picture"], number, torch.ones(4))
    assert groups.table("picture").notes == [
        "50% are in no group. A number of groups (--groups) puts each picture into one."
    ]
    assert dataclasses.replace(groups, number=torch.tensor([0, 0, 0, -1])).table().notes == []


def test_the_bins_of_sequences_are_a_fasta_each(capsys, sequenced, tmp_path):
    letters = {f"a{i}": 40 * "ACGGT" for i in range(4)} | {f"b{i}": 30 * "TTGCANA" for i in range(3)}
    text = "".join(f">{x} length={len(letters[x])} from=\tx\n{letters[x]}\n" for x in letters)
    (tmp_path / "x.fa").write_text(text)
    code, out, _ = say(capsys, "cluster", sequenced, tmp_path / "x.fa", "--groups", 2, "-o", tmp_path / "bins")
    assert code == 0
    assert "7 sequences in groups" in out
    assert {file.name for file in (tmp_path / "bins").iterdir()} == {"group-0.fasta", "group-1.fasta"}
    for name, prefix in (("group-0", "a"), ("group-1", "b")):
        records = (tmp_path / "bins" / f"{name}.fasta").read_text().removeprefix(">").split("\n>")
        found = {head: "".join(lines) for head, *lines in (record.split("\n") for record in records)}
        expected = {key: text for key, text in letters.items() if key.startswith(prefix)}
        assert found == {f"{key} length={len(text)} from=\tx": text for key, text in expected.items()}
    assert "exists and is not an empty folder" in fails(
        capsys, "cluster", sequenced, tmp_path / "x.fa", "--groups", 2, "-o", tmp_path / "bins"
    )
    assert say(capsys, "cluster", sequenced, tmp_path / "x.fa", "--groups", 2, "-o", tmp_path / "bins.csv")[0] == 0


def test_search_among_many_is_by_an_index_that_the_run_keeps(capsys, trained, tmp_path, monkeypatch):
    pytest.importorskip("faiss")
    run = shutil.copytree(trained, tmp_path / "run")
    exact = say(capsys, "search", run, "green square", "-k", 3)[1]
    monkeypatch.setattr("tellapart.runs.index.MANY", 10)
    monkeypatch.setattr("tellapart.runs.index.RECALL", 1.0)  # all cells, so that nothing is missed
    code, out, _ = say(capsys, "search", run, "green square", "-k", 3)
    assert code == 0
    assert "Search among 24 vectors is approximate: it finds 100.0% of the 10 nearest" in out
    assert out.endswith(exact)
    assert (run / "gallery.index.npz").is_file()
