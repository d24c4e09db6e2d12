"""Every system declares itself in the same way; commands and methods offer what a system can do and nothing else."""

import dataclasses
import sys

import pytest

import tellapart
from tellapart import InputError, systems
from tellapart.runs import Run
from tellapart.systems import ABILITIES, NAMES, ability, describe, load, moco, simclr
from tellapart.training import TrainerOptions, TrainingOptions
from tests.command_line import say
from tests.systems import toy
from tests.tiny.pictures import OPTIONS_OF, write_patterns


@pytest.fixture
def with_toy(monkeypatch):
    monkeypatch.setattr(systems, "NAMES", (*NAMES, "toy"))
    monkeypatch.setitem(sys.modules, "tellapart.systems.toy", toy)


@pytest.mark.parametrize("name", NAMES)
def test_a_system_declares_options_training_and_what_its_runs_can_do(name):
    system = load(name)
    assert issubclass(system.Config, TrainingOptions)
    assert system.Config.__dataclass_params__.frozen
    assert [field.name for field in dataclasses.fields(system.Config)][:2] == ["data", "held_out"]
    assert callable(system.train)
    assert callable(system.make_model)
    assert set(system.abilities()) <= set(ABILITIES)
    assert bool(system.query) == (system.search is not None)
    assert system.own_data
    assert describe(name).endswith(".")
    assert sys.modules[system.train.__module__].__doc__.splitlines()[0] == describe(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_system_is_a_document_of_readable_length(name):
    text = sys.modules[load(name).train.__module__].__doc__
    assert "Departs from the paper" in text
    assert "L = " in text
    assert "https://" in text


@pytest.mark.usefixtures("with_toy")
def test_systems_lists_what_each_can_do(capsys):
    code, out, _ = say(capsys, "systems")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("clip ")
    assert lines[1].strip() == "train, evaluate, embed, search, cluster, export"
    assert lines[-2].startswith("toy ")
    assert lines[-1].strip() == "train, sample"


@pytest.mark.usefixtures("with_toy")
def test_an_ability_that_a_system_lacks_is_one_line_that_names_those_it_has(capsys, trained):
    code, _, err = say(capsys, "sample", trained, "-o", "x.txt")
    assert (code, err) == (2, "tellapart: clip cannot sample. It can evaluate, embed, search, cluster and export.\n")
    with pytest.raises(InputError, match=r"clip cannot sample\. It can evaluate, embed, search, cluster and export"):
        tellapart.load(trained).sample(3)


def test_no_command_is_offered_that_no_system_can_do(capsys, monkeypatch, trained):
    monkeypatch.setattr(systems, "NAMES", ("clip",))
    code, _, err = say(capsys, "sample", trained, "-o", "x.txt")
    assert code == 2
    assert "invalid choice: 'sample'" in err


@pytest.fixture
def drawn(request, tmp_path, capsys):
    """A run of the toy, trained by the command line, and what that printed."""
    request.getfixturevalue("with_toy")
    words = ["--data", toy.write_numbers(tmp_path), "--epochs", 8, "--batch_size", 16]
    code, out, err = say(capsys, "train", "toy", "--run", tmp_path / "run", *words)
    assert code == 0, err
    return tmp_path / "run", out


def test_a_system_with_nothing_to_search_is_trained_reported_and_suggests_no_search(drawn):
    folder, out = drawn
    assert "Open" in out
    assert "report.html in a browser\n" in out
    assert "search" not in out
    assert "Your own" not in out  # the data were named
    assert not (folder / "gallery.parquet").exists()
    assert not (folder / "results.json").exists()
    page = (folder / "report.html").read_text()
    assert "The last of 32 steps" in page
    assert "What it finds" not in page


def test_data_of_ones_own_are_suggested_after_a_training_on_the_usual_ones_alone(capsys, drawn, monkeypatch):
    monkeypatch.setattr("tellapart.cli.commands.default_data", lambda _: tellapart.load(drawn[0]).config.data)
    _, out, _ = say(capsys, "train", "toy", "--run", drawn[0], "--resume")
    assert "Your own numbers, in a file" in out


def test_the_report_of_a_system_with_nothing_to_search_draws_what_there_is(drawn, visit):
    page = visit(drawn[0] / "report.html")
    page.wait_for_selector("#loss .scatterlayer .trace")
    assert page.trouble == []
    assert page.locator("#map").count() == 0


def test_a_system_that_generates_does_so_from_the_command_line_and_from_python(capsys, drawn, tmp_path):
    folder, _ = drawn
    code, out, _ = say(capsys, "sample", folder, "-n", 200, "--seed", 4, "-o", tmp_path / "x.txt")
    assert code == 0
    assert out == f"{tmp_path / 'x.txt'}: 200 samples\n"
    numbers = [float(line) for line in (tmp_path / "x.txt").read_text().split()]
    assert sum(numbers) / 200 == pytest.approx(5, abs=0.5)
    trained = tellapart.load(folder)
    assert trained.sample(200, seed=4).values == numbers
    assert trained.sample(200, seed=5).values != numbers
    assert trained.abilities == ("sample",)
    with pytest.raises(InputError, match="`n` must be at least 1"):
        trained.sample(0)
    code, out, _ = say(capsys, "sample", folder, "-n", 3, "--seed", 4)
    assert (code, out.split()) == (0, [str(x) for x in trained.sample(3, seed=4).values])
    code, _, err = say(capsys, "sample", folder, "a prompt")
    assert (code, err) == (2, "tellapart: `prompt` must be left out: toy answers none. Got 'a prompt'.\n")


@pytest.mark.parametrize(
    ("words", "what"),
    [(("search", "x"), "search"), (("evaluate",), "evaluate"), (("embed", "x", "-o", "x.npz"), "embed")],
)
def test_what_the_toy_cannot_do_is_refused(capsys, drawn, words, what):
    command, *others = words
    code, _, err = say(capsys, command, drawn[0], *others)
    assert (code, err) == (2, f"tellapart: toy cannot {what}. It can sample.\n")
    trained = tellapart.load(drawn[0])
    for refused in (lambda: trained.search("x"), lambda: trained.embed("x"), trained.evaluate, lambda: trained.results):
        with pytest.raises(InputError, match="It can sample"):
            refused()


def test_a_system_that_can_only_be_trained_says_so(monkeypatch):
    monkeypatch.setattr(toy, "system", dataclasses.replace(toy.system, sample=None))
    monkeypatch.setattr(systems, "NAMES", ("toy",))
    monkeypatch.setitem(sys.modules, "tellapart.systems.toy", toy)
    with pytest.raises(InputError, match=r"toy cannot embed\. It can train\."):
        ability("toy", "embed")


def test_a_systems_train_begins_the_run_itself_and_continues_it_with_the_same_options_only(tmp_path):
    data = write_patterns(tmp_path, n=40)
    run, config = Run(tmp_path / "run"), simclr.Config(str(data), **OPTIONS_OF["simclr"] | {"epochs": 1})
    simclr.train(config, run, TrainerOptions(accelerator="cpu"))
    assert run.is_trained()
    trained = tellapart.load(run.folder)
    assert (trained.system, trained.config) == ("simclr", config)
    assert "trained" in [row[0] for row in trained.results.rows]
    simclr.train(config, run, TrainerOptions(accelerator="cpu"))
    with pytest.raises(InputError, match=r"cannot resume with other options \(seed was 0, now 1\)"):
        simclr.train(dataclasses.replace(config, seed=1), run, TrainerOptions(accelerator="cpu"))
    with pytest.raises(InputError, match="a run of simclr, not of moco"):
        moco.train(moco.Config(str(data), batch_size=24), run, TrainerOptions(accelerator="cpu"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(InputError, match="exists and is not an empty folder"):
        simclr.train(config, Run(tmp_path / "full"), TrainerOptions(accelerator="cpu"))
