"""The bilingual system's own decisions: who is whose counterpart, the margin, masked tokens, what it refuses."""

import numpy as np
import pytest
import torch

from tellapart import InputError
from tellapart.domains.text import Batch, Dataset, Ragged, Reading, ReadPairs, Translations, WordPieces
from tellapart.domains.text.encoder import embed
from tellapart.runs import Run
from tellapart.systems.bilingual import Bilingual, Config, masked, terms
from tests import oracle
from tests.tiny.sentences import SENTENCE_OPTIONS, TRANSFORMER_OPTIONS, translations, write_translations

SOURCES = ["a cat", "A  cat", "a dog", "a bird", "a fish"]
TARGETS = ["un chat", "le chat", "un chien", "un chien", "un poisson"]
PAIRS = Translations(SOURCES, TARGETS, list("12345"))
RELATED = np.array(
    [
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 0, 0, 1],
    ],
    dtype=float,
)


def config(**options):
    return Config(**{"data": "nowhere"} | SENTENCE_OPTIONS | options)


def tokeniser(texts=(*SOURCES, *TARGETS)):
    return WordPieces.learn(list(texts) * 3, 120)


def make(**options):
    asked = config(**options)
    return Bilingual(asked, "" if asked.encoder == "bag" else tokeniser())


@pytest.mark.parametrize("margin", [0.0, 0.3])
def test_its_objective_is_the_oracles_and_repeated_sentences_are_positives(margin):
    model = make(margin=margin, temperature=0.2).double().eval()
    batch = Batch.of(model.encoder, PAIRS)
    u, v = (model.encoder(side).detach().numpy() for side in (batch.sources, batch.targets))
    wanted = oracle.info_nce(
        u, v, RELATED, np.zeros((5, 5), bool), temperature=0.2, margin=margin, symmetric=True, multi_positive="out"
    )
    assert terms(model, batch).loss().item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("options", [SENTENCE_OPTIONS, TRANSFORMER_OPTIONS, TRANSFORMER_OPTIONS | {"masked_weight": 0}])
def test_every_parameter_gets_a_gradient(options):
    model = make(**options)
    batch = Batch.of(model.encoder, PAIRS)
    loss = terms(model, batch).loss()
    if options.get("encoder") == "transformer" and options.get("masked_weight") != 0:
        torch.manual_seed(0)
        loss = loss + masked(model, Reading(batch.sources, 5).beside(batch))
    loss.backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert not missing


def test_rows_of_a_batch_are_those_pairs():
    encoder = make().encoder
    index = torch.tensor([3, 0])
    rows, alone = ReadPairs.of(encoder, PAIRS).rows(index), Batch.of(encoder, PAIRS.rows(index))
    torch.testing.assert_close(encoder(rows.sources), encoder(alone.sources))
    torch.testing.assert_close(encoder(rows.targets), encoder(alone.targets))
    assert rows.target_ids.tolist() == [2, 0]


def test_what_is_read_at_once_is_of_similar_lengths_and_all_is_read():
    lengths = torch.from_numpy(np.random.default_rng(0).integers(1, 30, 50))
    reading = Reading(Ragged((torch.arange(50).repeat_interleave(lengths),), lengths), 6)
    seen = set()
    torch.manual_seed(0)
    for _ in range(200):
        drawn = reading.draw()
        assert len(drawn) == 6
        assert torch.equal(drawn.lengths, drawn.lengths.sort().values)
        seen |= set(drawn.columns[0].tolist())
    assert len(seen) == 50
    assert len(Reading(reading.sentences, 999).draw()) == 50


@pytest.mark.parametrize("options", [SENTENCE_OPTIONS, TRANSFORMER_OPTIONS])
def test_embeddings_are_of_length_one_and_each_sentences_own_in_any_order(options, monkeypatch):
    monkeypatch.setattr("tellapart.domains.text.encoder._TOKENS", 12)
    encoder = make(**options).eval().encoder
    texts = [*SOURCES, "", "a bird and a cat and a dog and so on " * 3, *TARGETS]
    vectors = embed(encoder, texts)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(texts)))
    for text, vector in zip(texts, vectors, strict=True):
        torch.testing.assert_close(embed(encoder, [text])[0], vector, rtol=1e-4, atol=1e-5)


class Seen:
    """A run that takes whatever data there are."""

    def check_data(self, fingerprint, what="data"):
        setattr(self, what, fingerprint)


def test_of_fewer_pairs_the_others_are_read_without_their_alignment_and_nothing_held_out_is(tmp_path):
    data = str(write_translations(tmp_path))
    more = tmp_path / "more.txt"
    more.write_text("one more\n")
    asked = [config(**TRANSFORMER_OPTIONS | {"data": data, "pairs": n, "unaligned": str(more)}) for n in (0, 20)]
    whole, some = (Dataset.load(options, Seen()).with_unaligned(options, Seen()) for options in asked)
    assert len(some.training) == 20
    assert some.held_out.sources == whole.held_out.sources
    assert set(some.training.sources) < set(whole.training.sources)
    assert sorted(some.to_read(unaligned=True)) == sorted(whole.to_read(unaligned=True))
    assert some.to_read(unaligned=False) == [*some.training.sources, *some.training.targets]
    kept = {*some.held_out.sources, *some.held_out.targets}
    assert kept.isdisjoint(some.to_read(unaligned=True))
    assert {row[0] for row in translations()} == {*whole.training.sources, *whole.held_out.sources}


def test_unaligned_text_is_read_but_for_sentences_of_held_out_pairs_on_either_side(tmp_path):
    data, more = str(write_translations(tmp_path)), tmp_path / "more.txt"
    held_out = Dataset.load(config(data=data), Seen()).held_out
    more.write_text(f"one more\n {held_out.sources[0].upper()}\n{held_out.targets[1]}\n")
    options = config(**TRANSFORMER_OPTIONS | {"data": data, "unaligned": str(more)})
    dataset = Dataset.load(options, Seen())
    assert dataset.unaligned == []
    assert dataset.with_unaligned(options, Seen()).unaligned == ["one more"]


def test_unaligned_text_that_changed_is_refused(tmp_path):
    data, more = str(write_translations(tmp_path)), tmp_path / "more.txt"
    more.write_text("one more\n")
    options = config(**TRANSFORMER_OPTIONS | {"data": data, "unaligned": str(more)})
    run = Run(tmp_path / "run")
    run.begin("bilingual", {})
    Dataset.load(options, run).with_unaligned(options, run)
    more.write_text("another\n")
    with pytest.raises(InputError, match="the unaligned text changed since the run began"):
        Dataset.load(options, run).with_unaligned(options, run)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"pretrained": "x"}, "`pretrained` must be left out with --encoder bag"),
        ({"unaligned": "x"}, "`unaligned` must be left out with --encoder bag"),
        (
            TRANSFORMER_OPTIONS | {"unaligned": "x", "masked_weight": 0},
            "`unaligned` must be left out with --masked_weight 0",
        ),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(options, found):
    with pytest.raises(InputError, match=found):
        config(**options)


def test_files_in_a_folder_with_a_comma_can_be_read_again_or_are_refused(tmp_path, monkeypatch):
    folder = tmp_path / "a,b"
    write_translations(folder)
    monkeypatch.chdir(folder)
    once = config(data="pairs.tsv").data
    assert config(data=once).data == once == str(folder / "pairs.tsv")
    for name in ("x.en", "x.fr"):
        (folder / name).write_text("one\n")
    with pytest.raises(InputError, match="`data` must name several files without commas in their folders' names"):
        config(data="x.en,x.fr")


def test_a_transformer_needs_a_width_that_its_heads_can_share():
    with pytest.raises(InputError, match="`dim` must be a multiple of 64"):
        config(encoder="transformer", dim=200)
