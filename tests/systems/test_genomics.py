"""Genomics' own decisions: which reads are positives, what its options refuse, and what the commands do."""

import gzip
import random

import numpy as np
import pytest
import torch

import tellapart
from tellapart import InputError
from tellapart.domains.genomes import Dataset, Loci, Reads, kmer_profile, measure, read_letters
from tellapart.domains.genomes.bases import decode, reverse_complement
from tellapart.runs import Gallery, Run
from tellapart.systems.genomics import Config, Genomics, positives, prepare, terms
from tests import oracle
from tests.command_line import fails, read_log, read_results, say
from tests.tiny.genomes import GENOME_OPTIONS, genome_arguments, write_genomes


def config(**options):
    return Config(**GENOME_OPTIONS | {"data": "genomes"} | options)


def loci(n=6, size=2000, sequence=None):
    generator = torch.Generator().manual_seed(0)
    bases = (1 << torch.randint(0, 4, (n * size,), generator=generator)).to(torch.uint8)
    start = torch.arange(n) * size
    whose = torch.arange(n) if sequence is None else torch.tensor(sequence)
    return Loci(bases, start, start + size, whose, torch.zeros(n, dtype=torch.int64), torch.ones(n, dtype=torch.int64))


def matrix(relation, n):
    return relation.tile(slice(0, n), slice(0, n)).bool().tolist()


def test_18_reads_of_one_neighbourhood_are_positives_however_they_came_to_be():
    """PEERS 18: what belongs together pushed apart as negatives. And never across two sequences, however near."""
    begin = torch.tensor([0, 100, 250, 10_000, 10_100])
    sequence = torch.tensor([0, 0, 0, 0, 1])
    reads = Reads(torch.ones(5, 50, dtype=torch.uint8), sequence, begin)
    expected = [[i != j and sequence[i] == sequence[j] and abs(begin[i] - begin[j]) <= 150 for j in range(5)]
                for i in range(5)]  # fmt: skip
    assert matrix(positives(reads, 150), 5) == [[bool(x) for x in row] for row in expected]


def test_a_window_of_0_asks_for_half_a_read_in_common():
    begin = torch.tensor([0, 25, 26, 51])
    reads = Reads(torch.ones(4, 50, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64), begin)
    found = matrix(positives(reads, 0), 4)
    assert [row.index(True) for row in found] == [1, 0, 1, 2]
    assert [sum(row) for row in found] == [1, 2, 2, 1]


@pytest.mark.parametrize("window", [0, 150])
def test_both_reads_of_a_locus_are_positives_whatever_their_places(window):
    model = Genomics(config(window=window))
    for seed in range(20):
        torch.manual_seed(seed)
        reads = prepare(model, loci())
        found = matrix(positives(reads, window), 12)
        assert all(found[i][(i + 6) % 12] for i in range(12))


@pytest.mark.parametrize("strands", ["exact", "learned"])
def test_its_objective_is_the_oracles(strands):
    torch.manual_seed(0)
    model = Genomics(config(strands=strands, temperature=0.3)).eval()
    reads = prepare(model, loci(sequence=[0, 0, 1, 2, 3, 4]))
    with torch.no_grad():
        z = model(reads.bases).double().numpy()
        got = terms(model, reads).loss().item()
    weights = np.array(matrix(positives(reads, 150), 12)).astype(float)
    assert got == pytest.approx(oracle.info_nce(z, z, weights, np.eye(12, dtype=bool), temperature=0.3), rel=1e-5)


def test_the_line_up_is_everyone_but_oneself():
    model = Genomics(config())
    assert terms(model, prepare(model, loci())).n_candidates.tolist() == [11] * 12


def stretches(reads, places):
    """What the bases say at these places."""
    return [decode(loci().bases[b : b + reads.bases.shape[1]]) for b in places]


@pytest.mark.parametrize("counterpart", ["strand", "locus", "both"])
def test_each_kind_of_counterpart_is_made_as_it_is_called(counterpart):
    model = Genomics(config(counterpart=counterpart, error_rate=0.0))
    same_place, forward, n_rounds = [], [], 30
    for seed in range(n_rounds):
        torch.manual_seed(seed)
        reads = prepare(model, loci())
        expected, turned = stretches(reads, reads.begin), [decode(row) for row in reverse_complement(reads.bases)]
        letters = [decode(row) for row in reads.bases]
        assert all(e in (a, b) for e, a, b in zip(expected, letters, turned, strict=True))
        forward += [e == a for e, a in zip(expected, letters, strict=True)]
        same_place += (reads.begin[:6] == reads.begin[6:]).tolist()
    if counterpart == "strand":
        assert all(same_place)
        assert forward == ([True] * 6 + [False] * 6) * n_rounds
    else:
        assert np.mean(same_place) < 0.1
        assert all(forward) if counterpart == "locus" else 0.3 < np.mean(forward) < 0.7


def test_a_read_and_its_reverse_complement_have_one_embedding_if_strands_are_exact():
    model = Genomics(config())
    reads = prepare(model, loci()).bases
    torch.testing.assert_close(model.embed(reads), model.embed(reverse_complement(reads)), rtol=0, atol=1e-6)
    torch.testing.assert_close(model.embed(reads).norm(dim=1), torch.ones(12))


@pytest.mark.parametrize("precision", [torch.float32, torch.float64, torch.bfloat16])
def test_every_parameter_gets_a_gradient_in_every_precision(precision):
    model = Genomics(config()).to(precision)
    terms(model, prepare(model, loci())).loss().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_training_reduces_the_loss(sequenced):
    log = read_log(sequenced)
    loss = [entry["loss"] for entry in log]
    assert np.mean(loss[-8:]) < np.mean(loss[:4]) - 0.1
    assert "seconds_views" in log[0]


def test_its_table_holds_composition_and_networks_against_chance(sequenced):
    table = read_results(sequenced)
    compositions = ["canonical 4-mers", "their square roots", "4-mers, standardised"]
    assert [row[0] for row in table["rows"]] == ["150 bases", *[""] * 5]
    assert [row[1] for row in table["rows"]] == ["chance", *compositions, "untrained", "trained"]
    assert table["header"][2:] == ["15-NN", "k-means ARI", "HDBSCAN ARI", "clustered", "strands"]
    chance, composition, *_, trained = table["rows"]
    assert chance[2] == pytest.approx(1 / 3)
    assert trained[2] > 0.8
    assert composition[6] == pytest.approx(0, abs=1e-6)
    assert trained[6] == pytest.approx(0, abs=1e-5)


def test_standardised_words_have_mean_0_and_deviation_1_among_known_reads_and_stay_finite_among_others():
    generator = torch.Generator().manual_seed(0)
    known, others = (1 << torch.randint(0, n, (300, 60), generator=generator) for n in (2, 4))
    encode = measure._standardised(known.to(torch.uint8))
    vectors = encode(known.to(torch.uint8)).double()
    occurs = vectors.abs().sum(0) > 0
    assert 5 < occurs.sum() < 100
    torch.testing.assert_close(vectors.mean(0), torch.zeros(136).double(), rtol=0, atol=1e-5)
    torch.testing.assert_close(vectors[:, occurs].std(0, correction=0), torch.ones(int(occurs.sum())).double())
    # Words that no known read has keep their frequencies.
    profile = kmer_profile(others.to(torch.uint8))
    assert torch.equal(encode(others.to(torch.uint8))[:, ~occurs], profile[:, ~occurs])


def test_evaluate_says_more_of_other_genomes(capsys, sequenced, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "_OF_A_LABEL", 60)
    before = (sequenced / "results.json").read_bytes()
    code, out, _ = say(capsys, "evaluate", sequenced, "--data", write_genomes(tmp_path, n_bases=60_000, labels=2))
    assert code == 0
    assert "Which of 2 labels a read has" in out
    assert [line.split()[0] for line in out.splitlines() if " bases " in line] == ["150", "500", "2000"]
    assert (sequenced / "results.json").read_bytes() == before


def test_the_gallery_holds_reads_that_are_where_their_names_say(sequenced):
    gallery = Gallery.load(sequenced / "gallery.parquet")
    assert (gallery.kind, gallery.thumbnails, gallery.texts) == ("read", None, None)
    genomes = {f"genome{i}": (sequenced.parent / "data" / f"species {i}.fa").read_text().split()[1] for i in range(3)}
    model = Genomics(config())
    Run.open(sequenced).load_weights(model)
    for row in random.Random(0).sample(range(len(gallery.names)), 20):
        name, place = gallery.names[row].split(":")
        first, last = map(int, place.split("-"))
        assert gallery.labels[row] == f"species {name[-1]}"
        letters = genomes[name][first - 1 : last]
        assert len(letters) == 50
        vector = model.embed(torch.from_numpy(read_letters(letters))[None])[0]
        torch.testing.assert_close(gallery.vectors[row], vector, rtol=0, atol=1e-5)


def test_what_is_held_out_is_never_read_in_training(sequenced):
    dataset = Dataset.load(config(data=str(sequenced.parent / "data")), Run.open(sequenced))
    held_out = np.zeros(len(dataset.sequences.bases), dtype=bool)
    for start, stop in zip(dataset.test.start, dataset.test.stop, strict=True):
        held_out[start:stop] = True
    assert 0.2 < held_out.mean() < 0.35
    model, n = Genomics(dataset.options), dataset.n_loci()
    for seed in range(5):
        torch.manual_seed(seed)
        reads = prepare(model, dataset.loci(torch.arange(n)))
        for begin in reads.begin.tolist():
            assert not held_out[begin : begin + 50].any()


def test_the_loci_of_an_epoch_cover_every_region_evenly(sequenced):
    dataset = Dataset.load(config(data=str(sequenced.parent / "data")), Run.open(sequenced))
    found = dataset.loci(torch.arange(dataset.n_loci()))
    for start, stop in zip(dataset.training.start, dataset.training.stop, strict=True):
        mine = found.start == start
        assert found.part[mine].tolist() == list(range((stop - start) // 50))
        assert (found.n_parts[mine] == (stop - start) // 50).all()


@pytest.mark.parametrize("form", ["fasta", "fastq.gz"])
def test_embed_gives_a_unit_vector_for_each_sequence_in_order_whatever_its_length(capsys, sequenced, tmp_path, form):
    letters = ["".join(random.Random(i).choices("ACGTN", k=k)) for i, k in enumerate((300, 1, 7, 50, 50, 3000))]
    texts = [f">r{i} x\n{t}\n" if form == "fasta" else f"@r{i} x\n{t}\n+\n{t}\n" for i, t in enumerate(letters)]
    content = "".join(texts).encode()
    (tmp_path / f"reads.{form}").write_bytes(gzip.compress(content) if form.endswith("gz") else content)
    code, out, err = say(capsys, "embed", sequenced, tmp_path / f"reads.{form}", "-o", tmp_path / "out.npz")
    assert code == 0, err
    assert "6 embeddings of length 8" in out
    model = Genomics(config())
    Run.open(sequenced).load_weights(model)
    with np.load(tmp_path / "out.npz", allow_pickle=False) as file:
        assert file["name"].tolist() == [f"r{i}" for i in range(6)]
        assert set(file["kind"]) == {"read"}
        for text, vector in zip(letters, file["embedding"], strict=True):
            alone = model.embed(torch.from_numpy(read_letters(text))[None])[0]
            np.testing.assert_allclose(vector, alone, atol=1e-5)


def test_search_by_a_file_or_by_letters_finds_where_a_read_is_from(capsys, sequenced, tmp_path):
    gallery = Gallery.load(sequenced / "gallery.parquet")
    name, place = gallery.names[0].split(":")
    first, last = map(int, place.split("-"))
    genome = (sequenced.parent / "data" / f"species {name[-1]}.fa").read_text().split()[1]
    letters = genome[first - 1 : last]
    (tmp_path / "read.fa").write_text(f">x\n{letters}\n")
    for query in (tmp_path / "read.fa", letters):
        code, out, err = say(capsys, "search", sequenced, query, "-k", "3")
        assert code == 0, err
        title, header, best, *others = out.splitlines()
        assert title.startswith("Reads for")
        assert header.split() == ["read", "score", "label"]
        assert best.split()[:2] == [gallery.names[0], "1.000"]
        assert len(others) == 2


def test_search_by_more_letters_than_a_name_can_have(capsys, sequenced):
    code, out, err = say(capsys, "search", sequenced, 100 * "ACGGT", "-k", "3")
    assert code == 0, err
    assert sum(line.startswith("genome") for line in out.splitlines()) == 3


def test_reads_alone_are_enough_and_are_told_by_their_own_pieces(capsys, tmp_path):
    """A FASTQ file of short reads of several lengths and one label: pieces of a read are positives."""
    rng = random.Random(0)
    genome = write_genomes(tmp_path / "genome", labels=1) / "species 0.fa"
    bases = genome.read_text().split()[1]
    with gzip.open(tmp_path / "reads.fq.gz", "wt") as file:
        for i in range(120):
            begin, size = rng.randrange(5000), rng.randrange(30, 90)
            text = bases[begin : begin + size]
            file.write(f"@r{i}\n{text}\n+\n{'I' * len(text)}\n")
    words = genome_arguments(data=tmp_path / "reads.fq.gz", epochs=2, batch_size=20)
    code, out, err = say(capsys, "train", "genomics", "--run", tmp_path / "run", *words)
    assert code == 0, err
    assert "held-out reads by others of the same neighbourhoods" in out
    rows = read_results(tmp_path / "run")["rows"]
    assert [row[0] for row in rows] == ["chance", "canonical 4-mers", "untrained", "trained"]
    found = {row[0]: row[3] for row in rows}
    assert found["trained"] > 3 * found["chance"]
    gallery = Gallery.load(tmp_path / "run" / "gallery.parquet")
    assert gallery.labels is None
    assert len(set(gallery.names)) == len(gallery.names) > 100
    sizes = {size - begin + 1 for begin, size in (map(int, n.split(":")[1].split("-")) for n in gallery.names)}
    assert min(sizes) < 40
    assert max(sizes) == 50


def test_reads_of_several_labels_are_told_by_a_length_that_many_have(tmp_path):
    """The longest read of all alone would be taken over and over again."""
    rng = random.Random(0)
    for label in ("one", "other"):
        sizes = [300] + [rng.randrange(60, 90) for _ in range(100)]
        texts = (f">r\n{''.join(rng.choices('ACGT', k=size))}\n" for size in sizes)
        (tmp_path / f"{label}.fa").write_text("".join(texts))
    dataset = Dataset.load(config(), Run(tmp_path / "run"), str(tmp_path))
    table = dataset.measure(kmer_profile, kmer_profile)
    (length,) = {int(row[0].split()[0]) for row in table.rows if row[0]}
    assert 70 < length < 85


def test_mistakes_end_with_code_2_and_one_line(capsys, tmp_path, sequenced):
    data = write_genomes(tmp_path / "genomes", n_bases=2000)
    (tmp_path / "empty.fa").write_text("")
    (tmp_path / "protein.fa").write_text(">p\nMKVLAAGE\n")
    (tmp_path / "one.fa").write_text(">p\nACGTACGT\n")
    (tmp_path / "cut.fq.gz").write_bytes(gzip.compress(b"@a\nACGT\n+\nIIII\n" * 500)[:-6])
    (tmp_path / "unequal.fq").write_text("@a\nACGT\n+\nIII\n")
    for options, message in [
        ({"data": tmp_path / "nowhere"}, "there is no such file or folder"),
        ({"data": 100 * "nowhere"}, "there is no such file or folder"),
        ({"data": tmp_path / "empty.fa"}, "empty.fa: holds no sequences"),
        ({"data": tmp_path / "protein.fa"}, "protein.fa record 1 (p): 'L', its letter 4, is no base"),
        ({"data": tmp_path / "one.fa"}, "1 sequence of 8 bases, too little to hold a part out"),
        ({"data": tmp_path / "cut.fq.gz"}, "truncated or damaged"),
        ({"data": tmp_path / "unequal.fq"}, "unequal.fq line 4: Length of sequence and qualities differ"),
        ({"read_length": 0}, "`read_length` must lie between 1 and 1000000. Got 0."),
        ({"seed": 2**40}, f"`seed` must lie between 0 and 2^32 - 1. Got {2**40}."),
    ]:
        words = genome_arguments(**{"data": data} | options)
        assert message in fails(capsys, "train", "genomics", "--run", tmp_path / "run", *words)
    (tmp_path / "two.fa").write_text(">a\nACGT\n>b\nACGT\n")
    with pytest.raises(InputError, match=r"holds 2 sequences\. Name a file of a single one"):
        tellapart.load(sequenced).search(tmp_path / "two.fa")
    for query, message in [
        ("red fruit", "“red fruit”: neither a file nor a sequence"),
        (tmp_path / "protein.fa", "is no base"),
    ]:
        assert message in fails(capsys, "search", sequenced, query)
    assert "holds no sequences" in fails(capsys, "embed", sequenced, tmp_path / "empty.fa", "-o", tmp_path / "x.npz")
