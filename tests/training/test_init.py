"""A run that begins with another's weights: what is taken, what is not, and that it is not needed afterwards."""

import json
import shlex
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import tellapart
from tellapart import InputError
from tellapart.domains.words.network import WordVectors
from tellapart.runs import Run
from tests.command_line import fails, read_log, say
from tests.harness import SYSTEMS
from tests.killed import Killed, killed_before
from tests.tiny.pictures import MOCO_OPTIONS, OPTIONS, PICTURE_OPTIONS, arguments, draw, write_pairs, write_patterns
from tests.tiny.words import SUBWORD_OPTIONS, WORD_OPTIONS, write_words
from tests.training.test_resume import assert_same_end


@pytest.fixture(scope="module")
def other_data(tmp_path_factory):
    return write_patterns(tmp_path_factory.mktemp("other"), n=60, seed=5)


@pytest.fixture
def first_weights(monkeypatch):
    """The weights with which a training begins, as they are when it does."""
    found = {}
    from tellapart.training import loop

    train = loop.train

    def watched(step, *rest):
        found.update({name: value.clone() for name, value in step.model.state_dict().items()})
        train(step, *rest)

    monkeypatch.setattr(loop, "train", watched)
    return found


def test_a_run_begins_with_all_weights_of_another_on_other_data(run_of, other_data, tmp_path, first_weights, capsys):
    source = run_of("simclr")
    words = [f"--{name}={value}" for name, value in (PICTURE_OPTIONS | {"epochs": 1}).items()]
    run = tmp_path / "run"
    code, out, err = say(capsys, "train", "simclr", "--data", other_data, "--run", run, "--init", source, *words)
    assert code == 0, err
    kept = load_file(source / "weights.safetensors")
    n = len(kept)
    assert f"Begun with {n} of {n} tensors of {source}, trained to its end.\n" in out
    assert set(kept) == set(first_weights)
    assert all(torch.equal(kept[name], first_weights[name]) for name in kept)
    facts = json.loads((run / "run.json").read_text())["init"]
    assert (facts["run"], facts["system"], len(facts["taken"])) == (str(source), "simclr", n)
    assert Run(run).options()["init"] == str(source)


def test_what_is_of_another_shape_or_not_there_is_listed_and_keeps_its_first_weights(
    run_of, other_data, tmp_path, first_weights, capsys
):
    """A larger projection: encoder and first layer of the head agree."""
    source = run_of("simclr")
    words = [f"--{name}={value}" for name, value in (PICTURE_OPTIONS | {"epochs": 1, "dim": 24}).items()]
    code, out, err = say(
        capsys, "train", "simclr", "--data", other_data, "--run", tmp_path / "run", "--init", source, *words
    )
    assert code == 0, err
    kept = load_file(source / "weights.safetensors")
    other = [name for name in kept if kept[name].shape != first_weights[name].shape]
    assert other
    assert all(name.startswith("network.head") for name in other)
    listed = out.partition("Of another shape there: ")[2].partition(".\n")[0]
    assert sorted(listed.split(", ")) == sorted(other)
    assert all(torch.equal(kept[name], first_weights[name]) for name in kept if name not in other)


def test_moco_begins_with_simclrs_network_twice_and_with_an_empty_queue(run_of, other_data, tmp_path, first_weights):
    source = run_of("simclr")
    run = tellapart.train("moco", data=other_data, run=tmp_path / "run", init=source, **MOCO_OPTIONS | {"epochs": 1})
    kept = load_file(source / "weights.safetensors")
    for part in ("network", "slow"):
        assert all(torch.equal(first_weights[name.replace("network", part, 1)], kept[name]) for name in kept)
    assert not first_weights["queue.keys"].any()
    facts = Run(run.folder).facts()["init"]
    assert facts["missing"] == ["queue.keys", "queue.ids", "queue.pushed"]


def test_a_queue_of_keys_of_other_data_is_not_taken(run_of, other_data, tmp_path, first_weights):
    source = run_of("moco")
    assert load_file(source / "weights.safetensors")["queue.pushed"] > 0
    tellapart.train("moco", data=other_data, run=tmp_path / "run", init=source, **MOCO_OPTIONS | {"epochs": 1})
    assert first_weights["queue.pushed"] == 0


def test_another_system_without_a_matrix_in_common_is_refused_and_the_folder_can_be_used(run_of, tmp_path, capsys):
    source, data = run_of("genomics"), write_pairs(tmp_path / "pictures")
    words = ["train", "clip", "--run", tmp_path / "run", *arguments(data=data, epochs=1)]
    message = fails(capsys, *words, "--init", source)
    assert f"{source}: none of its weight matrices has the name and the shape of one here." in message
    assert "that one is of genomics" in message
    assert say(capsys, *words)[0] == 0
    assert not (tmp_path / "run" / "start.safetensors").exists()


def test_a_run_that_is_not_there_damaged_or_without_weights_is_refused(run_of, tmp_path, capsys):
    data = write_pairs(tmp_path / "pictures")
    damaged, bare = (shutil.copytree(run_of("clip"), tmp_path / name) for name in ("damaged", "bare"))
    (damaged / "weights.safetensors").write_bytes(b"nonsense")
    for name in ("weights.safetensors", "checkpoint.ckpt"):
        (bare / name).unlink(missing_ok=True)
    for source, message in (
        (tmp_path / "nowhere", "there is no such run folder"),
        (data, "not a run folder"),
        (damaged, "weights.safetensors: damaged or of another model"),
        (bare, "has no weights yet. Train it first: tellapart train clip"),
    ):
        words = ["--run", tmp_path / "run", "--init", source, *arguments(data=data, epochs=1)]
        assert message in fails(capsys, "train", "clip", *words), source
        assert not (tmp_path / "run" / "log.jsonl").exists()


def words_from(source, folder, caplog, n=300, **options):
    """A run on other sentences with some of the words, begun with another run, and how it began."""
    data = write_words(folder / "words", n, seed=1)
    data.write_text(data.read_text().replace("tax1 ", "levy "))
    with caplog.at_level("INFO"):
        run = tellapart.train("word2vec", data=data, run=folder / "run", init=source, **WORD_OPTIONS | options)
    return run, caplog.text


def test_vectors_of_words_begin_as_the_other_runs_where_words_are_the_same(run_of, tmp_path, caplog):
    source = tellapart.load(run_of("word2vec"))
    run, said = words_from(source.folder, tmp_path, caplog, epochs=1, learning_rate=1e-30)
    words = run.model.vocabulary.words
    common = [word for word in words if word in source.model.vocabulary]
    assert "levy" in words
    assert common
    assert words != [word for word in source.model.vocabulary.words if word in words]  # in another order
    assert f"{len(common)} of {len(words)} words have vectors there" in said
    torch.testing.assert_close(run.model.of(common), source.model.of(common), rtol=0, atol=1e-20)
    begun = WordVectors(run.config, run.model.vocabulary)
    torch.testing.assert_close(run.model.of(["levy"]), begun.of(["levy"]), rtol=0, atol=1e-20)
    outputs = [model.outputs[model.vocabulary.index(common[0])] for model in (run.model, source.model)]
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-20)


def test_vectors_of_n_grams_come_along(run_of, tmp_path, caplog):
    source = tellapart.load(run_of("word2vec, infonce"))
    run, _ = words_from(source.folder, tmp_path, caplog, **SUBWORD_OPTIONS | {"epochs": 1, "learning_rate": 1e-30})
    unseen = ["catty", "taxes"]
    torch.testing.assert_close(run.model.of(unseen), source.model.of(unseen), rtol=0, atol=1e-20)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("word2vec", {"dim": 16}, "`init` must have 0 buckets of n-grams and vectors of length 16"),
        ("word2vec, infonce", {}, "Got 500 buckets of n-grams and vectors of length 20"),
        ("simclr", {}, "none of its weight matrices has the name and the shape of one here"),
    ],
)
def test_words_do_not_begin_with_vectors_of_another_form(run_of, tmp_path, caplog, name, options, message):
    with pytest.raises(InputError, match=message):
        words_from(run_of(name), tmp_path, caplog, **options)


def test_a_text_without_a_word_of_the_other_run_is_refused(run_of, tmp_path):
    (tmp_path / "other.txt").write_text("so many quite different words\n" * 200)
    with pytest.raises(InputError, match="`init` must know a word of this run's text"):
        tellapart.train(
            "word2vec", data=tmp_path / "other.txt", run=tmp_path / "run", init=run_of("word2vec"), **WORD_OPTIONS
        )


@pytest.mark.parametrize("kill_before", [2, 5])
def test_killed_and_resumed_without_the_other_run_it_ends_in_the_same_weights(
    run_of, other_data, tmp_path, kill_before
):
    """Before the first checkpoint, and after it."""
    source = shutil.copytree(run_of("simclr"), tmp_path / "source")
    given = PICTURE_OPTIONS | {"data": other_data, "init": source, "trainer": {"checkpoint_every": 3}}
    tellapart.train("simclr", run=tmp_path / "whole", **given)
    with killed_before(kill_before), pytest.raises(Killed):
        tellapart.train("simclr", run=tmp_path / "killed", **given)
    shutil.rmtree(source)
    tellapart.train("simclr", run=tmp_path / "killed", resume=True)
    assert_same_end(tmp_path / "killed", tmp_path / "whole")
    more = PICTURE_OPTIONS["epochs"] + 1
    tellapart.train("simclr", run=tmp_path / "killed", resume=True, epochs=more)
    assert len(read_log(tmp_path / "killed")) == len(read_log(tmp_path / "whole")) // PICTURE_OPTIONS["epochs"] * more


def suggested(message, why):
    """The command that a message ends with."""
    assert why in message
    return shlex.split(message.partition("from its weights: tellapart ")[2])


def test_an_unfinished_run_of_data_that_grew_says_how_to_begin_a_new_one(tmp_path, capsys, monkeypatch):
    data, old = write_pairs(tmp_path / "pictures"), tmp_path / "my run"
    given = OPTIONS | {"epochs": 3, "trainer": {"checkpoint_every": 4}}
    with killed_before(7), pytest.raises(Killed):
        tellapart.train("clip", run=old, data=data, **given)
    draw("gray", "bar").save(data / "gray-bar.png")
    with (data / "pairs.csv").open("a") as file:
        file.write("gray-bar.png,gray bar\n")
    message = fails(capsys, "train", "clip", "--run", old, "--resume")
    command = suggested(message, "the data changed since the run began. Restore it, or train a new run")
    monkeypatch.chdir("/")
    code, out, err = say(capsys, *command)
    assert code == 0, err
    assert f"of {old}, trained for 4 steps, not to its end." in out
    new = tmp_path / "my run-2"
    assert Run(new).is_trained()
    assert Run(new).options() == Run(old).options() | {"init": str(old)}
    assert "Read 25 pairs." in out


def test_before_its_first_checkpoint_it_suggests_a_run_from_nothing(tmp_path, capsys):
    data, old = write_pairs(tmp_path / "pictures"), tmp_path / "run"
    with killed_before(3), pytest.raises(Killed):
        tellapart.train("clip", run=old, data=data, **OPTIONS)
    draw("red", "dot").save(data / "blue-dot.png")
    message = fails(capsys, "train", "clip", "--run", old, "--resume")
    assert "--init" not in message
    command = shlex.split(message.partition("or train a new run: tellapart ")[2])
    assert say(capsys, *command)[0] == 0


@pytest.mark.parametrize("name", ["bilingual, transformer", "dpo"])
def test_what_texts_are_read_with_comes_along_with_the_weights(run_of, tmp_path, capsys, first_weights, name):
    """From changed data other tokens would be learned, and each row of vectors would be another token's."""
    old, entry, system = shutil.copytree(run_of(name), tmp_path / "old"), SYSTEMS[name], name.partition(",")[0]
    data = entry.write(tmp_path / "data")
    Run(old).write_options(system, Run(old).options() | {"data": str(data)})
    lines = data.read_text().splitlines()
    data.write_text("\n".join(lines[: 3 * len(lines) // 4]) + "\n")
    command = suggested(fails(capsys, "evaluate", old), "the data changed since the run began")
    with entry.small():
        code, out, err = say(capsys, *command, "--epochs", 1)
    assert code == 0, err
    kept = load_file(old / "weights.safetensors")
    assert f"Begun with {len(kept)} of {len(kept)} tensors of {old}, trained to its end.\n" in out
    assert all(torch.equal(kept[weight], first_weights[weight]) for weight in kept)
    files = [file for file in ("tokenizer.json", "reference/tokenizer.json") if (old / file).is_file()]
    assert files
    assert all((tmp_path / "old-2" / file).read_bytes() == (old / file).read_bytes() for file in files)


def test_a_reference_that_comes_along_has_the_sizes_of_the_options(run_of, tmp_path):
    source = SYSTEMS["dpo"].write(tmp_path / "data")
    given = SYSTEMS["dpo"].options | {"layers": 3}
    with pytest.raises(InputError, match=r"`layers` must be \d, as of the model that --init brings along\. Got 3"):
        tellapart.train("dpo", data=source, run=tmp_path / "new", init=run_of("dpo"), **given)


def test_the_seed_of_the_new_run_decides_what_is_not_taken(run_of, other_data, tmp_path, first_weights):
    found = []
    for seed in (1, 1, 2):
        given = PICTURE_OPTIONS | {"epochs": 1, "dim": 24, "seed": seed, "init": run_of("simclr")}
        tellapart.train("simclr", data=other_data, run=tmp_path / f"{len(found)}", **given)
        found.append(np.concatenate([w.flatten().numpy() for w in first_weights.values()]))
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
