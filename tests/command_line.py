"""The command line in this process, and what a run's folder holds."""

import json

from tellapart.cli import main


def say(capsys, *words):
    """Exit code, stdout and stderr of one command, without what fixtures have printed before."""
    capsys.readouterr()
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def fails(capsys, *words):
    """The one line of a user's mistake, without the program's name."""
    code, _, err = say(capsys, *words)
    assert code == 2, err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err.removeprefix("tellapart: ")


def train(folder, system, words):
    """Train by the command line, and return the run's folder."""
    assert main(["train", system, "--run", str(folder), *words]) == 0
    return folder


def read_log(folder):
    """A run's log, an entry a step."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def read_results(folder):
    """What evaluation found: title, header, rows and notes."""
    return json.loads((folder / "results.json").read_text())
