"""FASTA and FASTQ as people have them, whole and broken: what is read, and what the one line of a mistake says."""

import bz2
import gzip
import lzma
import random
import sys

import pytest
import torch

from tellapart import InputError, reading
from tellapart.domains.genomes import find_files, read_letters, read_records
from tellapart.domains.genomes.bases import decode
from tellapart.domains.genomes.fastx import stem

FASTA = ">a first\nACGT\nAC\n\n>b\nNNGG\n"
FASTQ = "@a first\nACGTAC\n+\nIIIIII\n@b\nNNGG\n+b\nIIII\n"


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path, into=None):
    """Names and letters of all records, collected one by one."""
    found = [] if into is None else into
    for record in read_records(path):
        found.append((record.name, decode(torch.from_numpy(record.bases))))
    return found


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize(("content", "suffix"), [(FASTA, ".fa"), (FASTQ, ".fq"), (FASTA, ""), (FASTQ, "")])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_both_formats_are_read_compressed_or_not_whatever_the_lines_end_with(tmp_path, content, suffix, pack, newline):
    ending = {bytes: "", gzip.compress: ".gz", bz2.compress: ".bz2", lzma.compress: ".xz"}[pack]
    path = write(tmp_path / f"x{suffix}{ending}", pack(content.replace("\n", newline).encode()))
    assert read(path) == [("a", "ACGTAC"), ("b", "NNGG")]


def test_lower_case_rna_and_ambiguous_letters_are_read_as_their_bases(tmp_path):
    assert read(write(tmp_path / "x.fa", ">masked\nacgtN\n>rna\nACGU\n>rare\nACGTACGTRY\n")) == [
        ("masked", "ACGTN"),
        ("rna", "ACGT"),
        ("rare", "ACGTACGTRY"),
    ]


def test_a_record_without_a_name_is_called_by_its_number(tmp_path):
    assert read(write(tmp_path / "x.fa", ">\nAC\n>\nGT\n")) == [("1", "AC"), ("2", "GT")]


def test_records_come_as_they_are_read(tmp_path):
    """The first are there before a mistake further on is found."""
    records = read_records(write(tmp_path / "x.fa", ">a\nAC\n>b\nXX\n"))
    assert next(records).name == "a"
    with pytest.raises(InputError, match="record 2"):
        next(records)


MISTAKES = {
    "no sequences": ("x.fa", "", "holds no sequences"),
    "no reads": ("x.fq", "", "holds no sequences"),
    "nothing at all, compressed": ("x.fq.gz", gzip.compress(b""), "holds no sequences"),
    "unequal": ("x.fq", "@a\nACGT\n+\nIIII\n@b\nACG\n+\nII\n", r"line 8: Length of sequence and qualities differ"),
    "half a record": ("x.fq", "@a\nACGT\n+\nIIII\n@b\nACG\n", r"line 7: Premature end of file encountered"),
    "no @": ("x.fq", "@a\nACGT\n+\nIIII\nb\nACG\n+\nIII\n", r"line 5: Line expected to start with '@'"),
    "no >": ("x.fa", "ACGT\n>a\nACGT\n", r"line 1: Expected '>' at beginning of record"),
    "protein": ("x.fa", ">a\nACGT\n>p\nMKVLAAGE\n", r"record 2 \(p\): 'L', its letter 4, is no base. Give DNA or RNA"),
    "protein of letters that bases have": (
        "x.fa",
        ">p some\nMKVSWDGMKVHWSDSKM\n",
        r"record 1 \(p\): 94% of its letters are ambiguous bases other than N. Give DNA or RNA, not protein",
    ),
    "gaps": ("x.fa", ">a\nAC-GT\n", r"record 1 \(a\): '-', its letter 3, is a gap. Remove the gaps"),
    "no bases": ("x.fq", "@a\nA\n+\nI\n@b\n\n+\n\n", r"record 2 \(b\): has no bases. Remove the record"),
    "a space": ("x.fa", ">a\nACG T\n", r"record 1 \(a\): ' ', its letter 4, is white space. Remove it"),
    "a number": ("x.fa", ">a\n1 ACGT\n", r"record 1 \(a\): '1', its letter 1, is no base. Remove it"),
    "a stop": ("x.fa", ">p\nACG*\n", r"record 1 \(p\): '\*', its letter 4, is no base. Give DNA or RNA, not protein"),
    "words": ("x", "hello\n", "neither FASTA nor FASTQ, it begins with neither > nor @"),
    "not text": ("x.fa", b">a\n\xff\xfe\n", r"record 1 \(a\): '\?', its letter 1, is no base"),
    "UTF-16": ("x.fa", FASTA.encode("utf-16"), "UTF-16 text, not FASTA or FASTQ. Save it as UTF-8"),
    "packed twice": ("x.fa.gz", gzip.compress(gzip.compress(FASTA.encode())), "gzipped twice. Unpack it once"),
    "a page": ("x.fa", "<!DOCTYPE html>\n<html>", "an HTML page, not FASTA or FASTQ. Was a download refused"),
    "a pointer": ("x.fq", "version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS, not the file itself"),
    "half a header": ("x.fa.gz", gzip.compress(FASTA.encode())[:5], "after record 0: truncated or damaged"),
    "damaged": ("x.xz", lzma.compress(FASTA.encode())[:20] + b"?" * 40, "after record 0: truncated or damaged"),
}


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("x.fa", b">caf\xe9 latin\nACGT\n", [("caf?", "ACGT")]),
        ("x.fa", "\ufeff>née\nACGT\n", [("n??e", "ACGT")]),
        ("x.fa.gz", FASTA, [("a", "ACGTAC"), ("b", "NNGG")]),
        ("x.fa", FASTQ, [("a", "ACGTAC"), ("b", "NNGG")]),
        ("x.fq", FASTQ + "\n\r\n\n", [("a", "ACGTAC"), ("b", "NNGG")]),
        ("x.fq", "@a\nAC..\n+\nIIII\n", [("a", "ACNN")]),
        ("x.fq", "@a\nA\n+\n+\n", [("a", "A")]),
    ],
)
def test_what_people_have_is_read(tmp_path, name, content, found):
    """Headers in any encoding, names that say something else, empty lines at the end, dots for bases not called."""
    assert read(write(tmp_path / name, content)) == found


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.fq", "@a\nAC\n+\nII\n@b\n\n+\n\n@c\nGT\n+\nII\n"),
        ("x.fq", "@a\nAC\n+\nII\n@c\nGT\n+\nII\n@b\n\n+\n\n"),
        ("x.fa", ">a\nAC\n>b\n>c\nGT\n"),
        ("x.fa", ">a\nAC\n>b\nPROTEIN\n>c\nGT\n"),
    ],
)
def test_a_broken_record_is_left_out_and_counted_or_stops(tmp_path, name, content):
    path = write(tmp_path / name, content)
    with reading.accounted() as account:
        assert sorted(read(path)) == [("a", "AC"), ("c", "GT")]
    assert account.read == {"sequence": 2}
    assert sum(account.counts.values()) == 1
    assert "(b)" in account.told()
    with reading.accounted("stop"), pytest.raises(InputError, match=r"\(b\)"):
        read(path)


def test_more_broken_records_than_others_stop(tmp_path):
    path = write(tmp_path / "x.fa", ">a\nAC\n>b\n>c\n>d\nGT\n>e\n")
    with reading.accounted(), pytest.raises(InputError, match=r"record 2 \(b\): has no bases.*and 2 more broken items"):
        read(path)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_broken_file_is_named_with_the_line_or_record(tmp_path, mistake):
    name, content, message = MISTAKES[mistake]
    path = write(tmp_path / name, content)
    with pytest.raises(InputError, match=message) as said:
        list(read_records(path))
    assert str(said.value).startswith(str(path))
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("cut", [1, 4, 8, 5000])
@pytest.mark.parametrize("kind", ["fa", "fq"])
def test_a_truncated_gzip_is_found_out_and_the_last_record_before_it_named(tmp_path, cut, kind):
    """A file that stops in the middle of a download must not pass for a shorter one."""
    letters = ["".join(random.Random(i).choices("ACGT", k=100)) for i in range(2000)]
    form = ">{0}\n{1}\n" if kind == "fa" else "@{0}\n{1}\n+\n{1}\n"
    whole = gzip.compress("".join(form.format(i, text) for i, text in enumerate(letters)).encode())
    path, found = write(tmp_path / f"x.{kind}.gz", whole[:-cut]), []
    with pytest.raises(InputError, match=r"x\.f[aq]\.gz, after record \d+: truncated or damaged") as said:
        read(path, into=found)
    assert found == [(str(i), text) for i, text in enumerate(letters[: len(found)])]
    assert f"after record {len(found)}:" in str(said.value)


def test_a_folder_is_searched_at_any_depth_and_other_files_are_left_alone(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    wanted = [tmp_path / "B.FASTA", tmp_path / "a.fna.gz", tmp_path / "deep" / "er" / "c.fq"]
    for path in [*wanted, tmp_path / "notes.txt", tmp_path / "x.gff", tmp_path / ".hidden" / "d.fa"]:
        write(path, FASTA)
    assert find_files(str(tmp_path)) == wanted
    assert find_files(str(wanted[0])) == [wanted[0]]


def test_no_file_and_no_sequence_file_are_said_so(tmp_path):
    with pytest.raises(InputError, match="there is no such file or folder"):
        find_files(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"no sequences in the folder\. Put in \.fa, "):
        find_files(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("E. coli.fna.gz", "E. coli"),
        ("x.FQ", "x"),
        ("a.b.fasta", "a.b"),
        ("K-12.sub.fa.xz", "K-12.sub"),
        ("x.y", "x.y"),
    ],
)
def test_a_file_is_called_by_its_name_without_its_endings(tmp_path, name, expected):
    assert stem(tmp_path / name) == expected


def test_a_typed_sequence_is_read_and_words_are_refused():
    assert read_letters("acu").tolist() == [1, 2, 8]
    with pytest.raises(InputError, match=r"“red fruit”: neither a file nor a sequence: 'e', its letter 2, is no base"):
        read_letters("red fruit")


def test_without_dnaio_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dnaio", None)
    with pytest.raises(InputError, match=r"dnaio is missing.*pip install 'tellapart\[genomics\]'"):
        list(read_records(write(tmp_path / "x.fa", FASTA)))
