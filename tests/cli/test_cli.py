"""The command line: what each command does, and one line for every mistake."""

import io
import json
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml

from tellapart.cli import main
from tellapart.runs import Gallery
from tellapart.systems import NAMES
from tests.command_line import fails, read_log, say
from tests.tiny.genomes import few_reads
from tests.tiny.pictures import arguments, draw, write_pairs


def test_systems_lists_each_with_a_line(capsys):
    code, out, _ = say(capsys, "systems")
    assert code == 0
    assert out.startswith("clip ")
    assert "pictures and texts" in out


def test_every_option_of_every_command_has_help(capsys):
    for words in (
        ["--help"],
        *(["train", name, "--help"] for name in NAMES),
        *(
            [c, "--help"]
            for c in ("evaluate", "embed", "search", "sample", "score", "export", "report", "explain", "plan")
        ),
    ):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 0
        out = capsys.readouterr().out
        lines = out.split("options:")[1].split("subcommands:")[0].splitlines()
        options = [i for i, line in enumerate(lines) if line.startswith("  -")]
        assert options
        for i in options:
            # The help stands behind the option, or indented below it.
            assert "  " in lines[i].strip() or lines[i + 1].startswith(" " * 20), f"no help: {lines[i]}"


def test_train_writes_the_resolved_config_a_log_weights_results_and_a_report(trained):
    assert {path.name for path in trained.iterdir()} == {
        "config.yaml",
        "gallery.parquet",
        "lock",
        "log.jsonl",
        "report.html",
        "results.json",
        "run.json",
        "weights.safetensors",
    }
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["epochs"] == 12
    assert config["weight_decay"] == 1.0
    assert config["trainer"]["precision"] == "32-true"
    log = read_log(trained)
    assert [entry["step"] for entry in log] == list(range(1, len(log) + 1))
    assert log[-1]["loss"] < log[0]["loss"]
    assert {"loss", "n_candidates", "mi_bound", "accuracy", "temperature", "learning_rate"} <= set(log[0])
    assert json.loads((trained / "run.json").read_text())["system"] == "clip"


def test_a_runs_config_file_repeats_the_run(capsys, trained, tmp_path):
    again = tmp_path / "again"
    code, out, _ = say(capsys, "train", "clip", "--config", trained / "config.yaml", "--run", again)
    assert code == 0
    assert "trained" in out
    assert (again / "weights.safetensors").read_bytes() == (trained / "weights.safetensors").read_bytes()
    assert (again / "results.json").read_bytes() == (trained / "results.json").read_bytes()


def test_train_again_with_resume_shows_the_result_and_trains_nothing(capsys, trained):
    before = (trained / "weights.safetensors").stat().st_mtime_ns
    code, out, _ = say(capsys, "train", "clip", "--run", trained, "--resume")
    assert code == 0
    assert "is trained already" in out
    assert "Retrieval among" in out
    assert (trained / "weights.safetensors").stat().st_mtime_ns == before


def test_evaluate_prints_chance_untrained_and_trained_in_both_directions(capsys, trained):
    code, out, _ = say(capsys, "evaluate", trained)
    assert code == 0
    for word in ("picture → text", "text → picture", "chance", "untrained", "trained", "R@1", "R@10", "median rank"):
        assert word in out


def test_evaluate_on_other_data_uses_all_of_it(capsys, trained, tmp_path):
    code, out, _ = say(capsys, "evaluate", trained, "--data", write_pairs(tmp_path / "other"))
    assert code == 0
    assert "among 24 pairs" in out


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_embed_writes_unit_vectors_with_names_and_kinds(capsys, trained, tmp_path, suffix):
    data, out_file = write_pairs(tmp_path / "other"), tmp_path / f"out.{suffix}"
    code, out, _ = say(capsys, "embed", trained, data, "-o", out_file)
    assert code == 0
    assert "48 embeddings of length 16" in out
    if suffix == "npz":
        with np.load(out_file, allow_pickle=False) as file:
            columns = {name: file[name] for name in file}
    else:
        import pyarrow.parquet as pq

        table = pq.read_table(out_file)
        columns = {name: np.array(table[name].to_pylist()) for name in table.column_names}
    assert set(columns) == {"name", "kind", "embedding"}
    np.testing.assert_allclose(np.linalg.norm(columns["embedding"], axis=1), 1, rtol=1e-5)
    assert columns["name"][0] == "red-circle.png"
    assert (columns["kind"] == ["picture"] * 24 + ["text"] * 24).all()


def test_embedding_one_picture_or_a_file_of_texts_gives_the_same_vectors(capsys, trained, tmp_path):
    draw("blue", "bar").save(tmp_path / "x.png")
    (tmp_path / "x.txt").write_text("blue bar\n")
    vectors = {}
    for name in ("x.png", "x.txt"):
        assert say(capsys, "embed", trained, tmp_path / name, "-o", tmp_path / "x.npz")[0] == 0
        with np.load(tmp_path / "x.npz") as file:
            vectors[name] = file["embedding"][0]
    gallery = Gallery.load(trained / "gallery.parquet")
    row = gallery.names.index("blue-bar.png")
    np.testing.assert_allclose(vectors["x.png"], gallery.vectors[row], atol=1e-5)
    np.testing.assert_allclose(vectors["x.txt"], gallery.captions[row], atol=1e-5)


def test_search_shows_the_best_pictures_best_first(capsys, trained):
    code, out, _ = say(capsys, "search", trained, "green square", "-k", "3")
    assert code == 0
    lines = [line for line in out.splitlines() if ".png" in line]
    scores = [float(line.split()[1]) for line in lines]
    assert len(lines) == 3
    assert scores == sorted(scores, reverse=True)


def test_mistakes_end_with_code_2_and_one_line(capsys, trained, tmp_path):
    data = write_pairs(tmp_path / "pictures")
    train = ("train", "clip", "--run", tmp_path / "new", f"--data={data}")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    (tmp_path / "strange.yaml").write_text("layers: 12\n")
    expected = {
        ("paint",): "invalid choice: 'paint'",
        ("train", "simcr"): f"invalid choice: 'simcr' (choose from {', '.join(map(repr, NAMES))})",
        ("train",): "train: which system is missing",
        ("search", trained): "missing: QUERY",
        ("search", trained, " "): "`query` must not be empty",
        ("search", trained, "red", "-k", "0"): "`k` must be at least 1. Got 0.",
        ("search", tmp_path / "nowhere", "red"): "there is no such run folder",
        ("evaluate", data): "not a run folder, it has no run.json",
        ("evaluate", trained, "--data", tmp_path / "nowhere"): "there is no such file or folder",
        ("embed", trained, data, "-o", "out.txt"): "out.txt: the output must end in .parquet, .npz, .csv or .zarr",
        ("embed", trained, tmp_path / "nowhere", "-o", "out.npz"): "there is no such file or folder",
        ("report", trained, "--output", trained / "run.json" / "x.html"): "cannot write, a part of its path is a file",
        (*train, "--epochs=0"): "`epochs` must lie between 1 and 1000000. Got 0.",
        (*train, "--seed=99999999999999999999"): "`seed` must lie between 0 and 2^63 - 1",
        (*train, "--picture_size=100000"): "`picture_size` must lie between 8 and 1024",
        (*train, "--epochs=many"): "`epochs` must be a whole number. Got 'many'",
        (*train, "--batch_size=1"): "`batch_size` must be at least 2",
        (*train, "--temperature=0.001"): "`temperature` must be at least 0.01",
        (*train, "--trainer.devices=0"): "`trainer.devices` must be at least 1",
        (*train, "--trainer.precision=8"): "`trainer.precision` must be one of '32-true'",
        (*train, "--config", tmp_path / "nowhere.yaml"): "nowhere.yaml",
        (*train, "--config", tmp_path / "strange.yaml"): "strange.yaml: `layers` is no option of clip",
        ("train", "clip", "--run", tmp_path / "full", f"--data={data}"): "exists and is not an empty folder",
        ("train", "clip", "--run", trained): "holds a run already. Continue it with --resume",
        (
            "train",
            "clip",
            "--run",
            trained,
            "--resume",
            "--epochs=3",
        ): "`epochs` must be more than 12, the epochs that",
    }
    for words, message in expected.items():
        assert message in fails(capsys, *words), words
    assert not (tmp_path / "new").exists()


def test_after_a_mistake_the_same_folder_can_be_used(capsys, tmp_path):
    """A wrong --data is found after the run was begun: the next try, corrected, must not trip over it."""
    data, folder = write_pairs(tmp_path / "pictures"), tmp_path / "run"
    message = fails(capsys, "train", "clip", "--run", folder, *arguments(data=tmp_path / "pictuers", epochs=1))
    assert "pictuers: there is no such file or folder" in message
    (folder / ".config.yaml.killed.tmp").touch()  # and what a kill left does not matter either
    assert say(capsys, "train", "clip", "--run", folder, *arguments(data=data, epochs=1))[0] == 0
    assert not list(folder.glob(".*.tmp"))


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed", "bf16-true"])
def test_every_precision_trains_and_is_measured_the_same_afterwards(capsys, tmp_path, precision):
    words = arguments(data=write_pairs(tmp_path / "pictures"), epochs=1, **{"trainer.precision": precision})
    code, trained_out, err = say(capsys, "train", "clip", "--run", tmp_path / "run", *words)
    assert code == 0, err
    code, out, _ = say(capsys, "evaluate", tmp_path / "run")
    assert code == 0
    assert trained_out.startswith(out)


def test_more_devices_than_pairs_of_rows_are_refused(capsys, tmp_path):
    words = arguments(data=write_pairs(tmp_path / "pictures"), held_out=0.8, **{"trainer.devices": 20})
    message = fails(capsys, "train", "clip", "--run", tmp_path / "run", *words)
    assert "`trainer.devices` must leave each device 2 of the" in message


def test_data_named_relative_to_a_folder_are_found_from_any_other(capsys, tmp_path, monkeypatch):
    write_pairs(tmp_path / "pictures")
    monkeypatch.chdir(tmp_path)
    assert say(capsys, "train", "clip", "--run", tmp_path / "run", *arguments(data="pictures", epochs=1))[0] == 0
    monkeypatch.chdir("/")
    assert say(capsys, "evaluate", tmp_path / "run")[0] == 0


def test_a_caption_cannot_command_the_terminal(capsys, tmp_path):
    texts = {f"{colour}-dot.png": f"\x1b[2J{colour} [bold]dot[/bold]" for colour in ("red", "green", "blue", "black")}
    words = arguments(data=write_pairs(tmp_path / "pictures", texts), epochs=1)
    assert say(capsys, "train", "clip", "--run", tmp_path / "run", *words)[0] == 0
    code, out, _ = say(capsys, "search", tmp_path / "run", "dot", "-k", "24")
    assert code == 0
    assert "\x1b" not in out
    assert "[bold]dot[/bold]" in out


def test_a_terminal_without_the_characters_shows_others(trained, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert main(["evaluate", str(trained)]) == 0
    assert b"picture ? text" in written.getvalue()


def test_a_traceback_is_shown_only_with_debug(capsys, trained):
    code, _, err = say(capsys, "--debug", "search", trained, "red", "-k", "0")
    assert code == 2
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("tellapart: `k` must be at least 1")


def test_a_single_pair_is_refused(capsys, tmp_path):
    draw("red", "dot").save(tmp_path / "a.png")
    (tmp_path / "pairs.csv").write_text("image,text\na.png,red dot\n")
    message = fails(capsys, "train", "clip", "--run", tmp_path / "run", *arguments(data=tmp_path))
    assert "At least 4 are needed" in message


def test_a_learning_rate_that_diverges_is_named(capsys, tmp_path):
    data = write_pairs(tmp_path / "pictures")
    words = arguments(data=data, learning_rate=1e30, epochs=30, weight_decay=0)
    code, _, err = say(capsys, "train", "clip", "--run", tmp_path / "run", *words)
    message = err.splitlines()[-1]  # behind the progress bar
    assert code == 2
    assert message.startswith("tellapart: training, step")
    assert "Lower the learning rate" in message


def test_data_that_changed_is_refused(capsys, tmp_path):
    data = write_pairs(tmp_path / "pictures")
    assert say(capsys, "train", "clip", "--run", tmp_path / "run", *arguments(data=data, epochs=1))[0] == 0
    draw("green", "dot").save(data / "red-circle.png")
    assert "the data changed since the run began" in fails(capsys, "evaluate", tmp_path / "run")


def test_damaged_run_folders_are_named(capsys, tmp_path, trained):
    for name, content, message in [
        ("weights.safetensors", b"nonsense", "weights.safetensors: damaged or of another model"),
        ("config.yaml", b"[1, 2]", "config.yaml: damaged"),
        ("config.yaml", b"layers: 12", "config.yaml: layers is no option of this version's clip"),
        ("config.yaml", b"dim: 1.5", "`dim` must be a whole number. Got '1.5'"),
        ("weights.safetensors", None, "not trained to its end. Continue it with: tellapart train clip --config"),
        ("run.json", b"{", "run.json: missing or damaged"),
        ("gallery.parquet", b"PAR1", "gallery.parquet: missing or damaged gallery"),
    ]:
        copy = tmp_path / "copy"
        shutil.copytree(trained, copy)
        (copy / name).unlink()
        if content is not None:
            (copy / name).write_bytes(content)
        assert message in fails(capsys, "search", copy, "red")
        shutil.rmtree(copy)


def test_the_command_that_continues_a_run_works_as_it_is_suggested(sequenced, tmp_path, capsys, monkeypatch):
    run = tmp_path / "my run"
    shutil.copytree(sequenced, run)
    weights = (run / "weights.safetensors").read_bytes()
    (run / "weights.safetensors").unlink()
    command = fails(capsys, "evaluate", run).partition("Continue it with: tellapart ")[2]
    monkeypatch.chdir(tmp_path)
    with few_reads():
        assert main(shlex.split(command)) == 0
    assert (run / "weights.safetensors").read_bytes() == weights


def test_the_output_of_a_pipe_that_closes_is_no_error(trained):
    command = f"{sys.executable} -m tellapart search {trained} red -k 20 | head -1"
    result = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert result.returncode in (0, 120)
    assert "Traceback" not in result.stderr


def test_what_is_logged_into_a_pipe_that_closes_is_no_error():
    program = """
import logging
from tellapart.cli import commands
with commands.told():
    for _ in range(100_000):
        logging.getLogger("tellapart").info("a line")
"""
    command = f"{sys.executable} -c '{program}' | head -1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert result.stdout == "a line\n"
    assert "Logging error" not in result.stderr


def test_without_the_tool_extra_the_command_says_what_to_install():
    code = "import sys; sys.modules['jsonargparse'] = None; from tellapart.cli import main; sys.exit(main(['systems']))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert (
        result.stderr
        == "tellapart: the package jsonargparse is missing. Install it with: pip install 'tellapart[tool]'\n"
    )
