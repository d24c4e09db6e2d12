"""The estimators of scikit-learn: fitted on whatever holds the data, in pipelines and searches, cloned and pickled."""

import copy
import gc
import pickle

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

import tellapart
from tellapart import InputError, progress
from tellapart.sklearn import CLIP, Bilingual, Genomics, SimCLR, Word2Vec
from tests.tiny.genomes import GENOME_OPTIONS, few_reads, write_genomes
from tests.tiny.pictures import CAPTIONS, OPTIONS, PICTURE_OPTIONS, draw, patterns, write_pairs
from tests.tiny.sentences import SENTENCE_OPTIONS, translations
from tests.tiny.words import WORD_OPTIONS, write_words

PICTURES = PICTURE_OPTIONS | {"epochs": 2}
EMOJI = [draw(*text.split()) for text in CAPTIONS]
ROWS = translations()
ALL = (SimCLR, CLIP, Bilingual, Genomics, Word2Vec)


@pytest.fixture(scope="module")
def simclr():
    made, labels = patterns(80)
    return SimCLR(**PICTURES).fit(made, labels)


@pytest.fixture(scope="module")
def clip():
    return CLIP(**OPTIONS).fit(EMOJI, CAPTIONS)


def sequences(folder):
    files = sorted(write_genomes(folder).iterdir())
    letters = ["".join(file.read_text().split("\n")[1:]) for file in files]
    return [letters[i][at : at + 1500] for i in range(3) for at in range(0, 6000, 1500)], [
        i for i in range(3) for _ in range(4)
    ]


def test_pictures_become_vectors_of_length_1_the_same_by_whatever_holds_them(simclr, tmp_path):
    made, labels = patterns(5)
    found = simclr.transform(made)
    assert found.shape == (5, 64)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    files = [str(tmp_path / f"{i}.png") for i in range(5)]
    for picture, file in zip(made, files, strict=True):
        Image.fromarray(picture).save(file)
    for held in (list(made), files, [Image.open(file) for file in files], np.array(files, dtype=object)[:, None]):
        np.testing.assert_allclose(simclr.transform(held), found, atol=1e-4)
    assert "trained" in [row[0] for row in simclr.run_.results.rows]
    assert "linear probe" in simclr.run_.results.header  # the labels are measured with
    again = SimCLR(**PICTURES).fit(list(made) * 16, np.tile(labels, 16))  # as a table of PNG files
    assert again.run_.config.data.endswith("pictures.parquet")


def test_fitted_again_it_gives_the_same_bits_and_draws_no_bar(capfd, monkeypatch):
    made, labels = patterns(60)
    one, other = (SimCLR(**PICTURES).fit(made, labels).transform(made) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(progress, "EVERY", 0.0)
    SimCLR(**PICTURES, verbose=True).fit(made, labels)
    assert "loss" in capfd.readouterr().err


def test_the_figure_of_score_is_that_of_evaluate(simclr, tmp_path):
    made, labels = patterns(60, seed=4)
    np.savez(tmp_path / "x.npz", images=made, labels=labels)
    table = simclr.run_.evaluate(tmp_path / "x.npz")
    assert simclr.score(made, labels) == next(row[1] for row in table.rows if row[0] == "trained")
    assert 0 <= simclr.score(made) <= 1  # without labels by retrieval


def test_in_a_pipeline_and_a_search_it_is_trained_with_each_value():
    made, labels = patterns(60)
    whole = make_pipeline(SimCLR(**PICTURES | {"epochs": 1, "batch_size": 12}), LogisticRegression())
    search = GridSearchCV(whole, {"simclr__temperature": [0.1, 0.5]}, cv=2, error_score="raise").fit(made, labels)
    assert (
        search.best_estimator_.named_steps["simclr"].run_.config.temperature
        == search.best_params_["simclr__temperature"]
    )
    assert search.predict(made).shape == (60,)
    alone = GridSearchCV(
        Bilingual(**SENTENCE_OPTIONS | {"epochs": 1}), {"margin": [0.3]}, cv=2, error_score="raise", refit=False
    )
    sources, targets = zip(*[row[:2] for row in ROWS], strict=True)
    alone.fit(list(sources), list(targets))
    assert np.isfinite(alone.cv_results_["mean_test_score"]).all()


def test_its_parameters_are_the_options_of_its_system():
    for kind in ALL:
        config = tellapart.systems.load(kind.system).Config
        options = {name: value for name, value in vars(config("x")).items() if name != "data"}
        given = kind().get_params()
        assert {name: given[name] for name in options} == options
        assert given.keys() - options.keys() == {"run", "trainer", "verbose"}
    with pytest.raises(TypeError, match="SimCLR has no parameter epoch"):
        SimCLR(epoch=3)
    with pytest.raises(InputError, match="`epochs` must lie between"):
        SimCLR(epochs=0).fit(patterns(20)[0])
    with pytest.raises(NotFittedError):
        SimCLR().transform(patterns(2)[0])
    assert repr(clone(SimCLR(views=3))) == "SimCLR(views=3)"


def test_copies_and_pickles_hold_the_run(simclr):
    made, _ = patterns(4)
    found = simclr.transform(made)
    content = pickle.dumps(simclr)
    for other in (copy.deepcopy(simclr), pickle.loads(content)):
        np.testing.assert_array_equal(other.transform(made), found)
        assert other.run_.folder != simclr.run_.folder
        assert other.run_.search(made[0], k=1)[0].score == simclr.run_.search(made[0], k=1)[0].score
    folder = other.run_.folder
    del other
    gc.collect()
    assert not folder.exists()


def test_a_given_folder_stays_and_is_a_run(tmp_path):
    made, labels = patterns(40)
    estimator = SimCLR(**PICTURES, run=tmp_path / "run").fit(made, labels)
    vectors = estimator.transform(made)
    del estimator
    gc.collect()
    np.testing.assert_array_equal(tellapart.load(tmp_path / "run").embed(made), vectors)
    assert (tmp_path / "run-data" / "pictures.npz").is_file()
    with pytest.raises(InputError, match="holds a run already"):
        SimCLR(**PICTURES, run=tmp_path / "run").fit(made, labels)
    folder = SimCLR(**PICTURES).fit(str(tmp_path / "run-data" / "pictures.npz"))
    np.testing.assert_array_equal(folder.transform(made), vectors)


def test_clip_takes_pairs_in_columns_and_lists_and_embeds_either_side(clip, tmp_path):
    pictures, texts = clip.transform(EMOJI), clip.transform(CAPTIONS)
    assert pictures.shape == texts.shape == (24, 16)
    table = np.empty((24, 2), dtype=object)
    files = [str(write_pairs(tmp_path / "x") / f"{text.replace(' ', '-')}.png") for text in CAPTIONS]
    table[:, 0], table[:, 1] = files, CAPTIONS
    np.testing.assert_allclose(clip.transform(table), pictures, atol=1e-4)
    other = CLIP(**OPTIONS).fit(list(zip(files, CAPTIONS, strict=True)))
    np.testing.assert_array_equal(other.transform(CAPTIONS), texts)
    first = [row[2] for row in clip.run_.results.rows if row[1] == "trained"]
    assert clip.score(EMOJI, CAPTIONS) == pytest.approx(sum(first) / 2)  # what it was fitted on: the held-out share
    first = [row[2] for row in clip.run_.evaluate(tmp_path / "x").rows if row[1] == "trained"]
    assert clip.score(EMOJI[::-1], CAPTIONS[::-1]) == pytest.approx(sum(first) / 2)
    with pytest.raises(
        InputError, match=r"`X` must be pairs of a picture and its text, in two columns, or come with y"
    ):
        CLIP().fit(EMOJI)
    with pytest.raises(InputError, match=r"`y` must have one item for each of 24 of X\. Got 23"):
        CLIP().fit(EMOJI, CAPTIONS[1:])


def test_sentences_and_their_translations():
    sources, targets = ([row[side] for row in ROWS] for side in range(2))
    one = Bilingual(**SENTENCE_OPTIONS).fit(sources, targets)
    other = Bilingual(**SENTENCE_OPTIONS).fit([row[:2] for row in ROWS])
    np.testing.assert_array_equal(one.transform(sources[:5]), other.transform([row[:2] for row in ROWS[:5]]))
    assert one.score(sources, targets) > 0.2
    assert list(one.get_feature_names_out()[:2]) == ["bilingual0", "bilingual1"]
    with pytest.raises(InputError, match=r"`X` row 1: must be a sentence\. Got int"):
        Bilingual().fit(["a", 3], ["b", "c"])


def test_sequences_with_labels_and_without(tmp_path):
    letters, labels = sequences(tmp_path)
    with few_reads():
        told = Genomics(**GENOME_OPTIONS).fit(letters, labels)
        assert told.transform(letters).shape == (12, 8)
        assert "3 labels" in told.run_.results.title
        found = Genomics(**GENOME_OPTIONS | {"epochs": 1}).fit(np.array(letters))
        assert "Retrieval" in found.run_.results.title
        assert 0 <= found.score(letters) <= 1
    with pytest.raises(InputError, match="have a label for each of 12 sequences"):
        Genomics().fit(letters, labels[1:])


def test_texts_are_the_mean_of_their_words(tmp_path):
    texts = write_words(tmp_path).read_text().splitlines()
    estimator = Word2Vec(**WORD_OPTIONS).fit(texts)
    words = estimator.run_.embed(["cat1", "cat2"]).vectors.numpy()
    found = estimator.transform(["cat1", "cat2", "cat1  unheard", "", "unheard"])
    np.testing.assert_allclose(found[:2], words, atol=1e-6)
    np.testing.assert_allclose(found[2], words[0], atol=1e-6)
    np.testing.assert_array_equal(found[3:], 0)
    mean = estimator.run_.model.of(["cat1", "cat2"]).mean(dim=0)
    np.testing.assert_allclose(estimator.transform(["cat1 cat2"])[0], mean / mean.norm(), atol=1e-6)
    mixed = [text.replace("cat1", "tax1").replace("cat2", "tax2") for text in texts]
    assert estimator.score(texts) > estimator.score(mixed) > 1 / 5
    with pytest.raises(InputError, match="two words at least"):
        estimator.score(["unheard"])


def test_what_is_no_picture_is_refused_in_words():
    for wrong, message in (
        (np.zeros((9, 64)), r"`X` must be pictures, .*: reshape rows of pixels. Got shape \(9, 64\)"),
        ([np.zeros((8, 8)), 3], "`X` row 1: must be a picture. Got int"),
        ([np.full((8, 8), 7.0), np.zeros((9, 9))], r"row 0: floating-point pictures must lie in \[0, 1\]"),
        ([["a", "b"], ["c", "d"]], "must be a picture. Got list"),
    ):
        with pytest.raises(InputError, match=message):
            SimCLR().fit(wrong)


NO_TABLE = "fits a table of numbers, or a sparse one, which holds no pictures, texts or sequences"
FITTING = [
    "check_dict_unchanged",
    "check_dont_overwrite_parameters",
    "check_estimator_sparse_array",
    "check_estimator_sparse_matrix",
    "check_estimator_sparse_tag",
    "check_estimators_dtypes",
    "check_estimators_fit_returns_self",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_fit2d_1feature",
    "check_fit2d_1sample",
    "check_fit_check_is_fitted",
    "check_fit_idempotent",
    "check_fit_score_takes_y",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_pipeline_consistency",
    "check_positive_only_tag_during_fit",
    "check_readonly_memmap_input",
    "check_transformer_general",
    "check_transformer_preserve_dtypes",
]


@pytest.mark.parametrize("kind", ALL)
def test_scikit_learns_checks_pass_but_for_those_that_fit_a_table_of_numbers(kind):
    """With the tag `two_d_array`, without which all checks but the first are left out."""
    with pytest.warns(SkipTestWarning, match="requires input  of type"):
        assert [check["status"] for check in check_estimator(kind(), on_skip=None)] == ["passed"]
    table = type(f"{kind.__name__}Checked", (kind,), {"__sklearn_tags__": as_if_of_tables}, system=kind.system)
    found = check_estimator(
        table(), expected_failed_checks=dict.fromkeys(FITTING, NO_TABLE), on_fail=None, on_skip=None
    )
    failed = {check["check_name"] for check in found if check["status"] == "failed"}
    assert failed == set()
    assert len([check for check in found if check["status"] == "passed"]) >= 14


def as_if_of_tables(self):
    tags = super(type(self), self).__sklearn_tags__()
    tags.input_tags.two_d_array = True
    return tags
