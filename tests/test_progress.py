"""What is said of a long task where there is no terminal: lines, with the time that is left, and not too many."""

import io
import sys
import threading
import time

import pytest

from tellapart import progress
from tellapart.progress import Lines, each, stage
from tests.training.learning import learn


@pytest.fixture
def clock(monkeypatch):
    """Time that passes when a test says so."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_there_is_a_line_every_half_minute_and_none_between(clock, capsys):
    lines = Lines("step", done=100)
    for second in range(1, 91):
        clock.now = 1000.0 + second
        lines.update(100 + second, 400, f"loss {second}.0")
    assert capsys.readouterr().err.splitlines() == [
        "step: 130 of 400, about 4 min left · loss 30.0",
        "step: 160 of 400, about 4 min left · loss 60.0",
        "step: 190 of 400, about 4 min left · loss 90.0",
    ]


def test_a_task_that_cannot_be_counted_is_said_to_go_on(clock, capsys):
    lines = Lines("measuring")
    for clock.now in (1010.0, 1031.0, 1040.0, 1200.0):
        lines.write_if_due()
    assert capsys.readouterr().err.splitlines() == ["measuring, 31 s so far", "measuring, 3 min so far"]


def test_the_time_that_is_left_is_that_of_the_loop_that_runs(clock, capsys):
    lines = Lines("embed")
    lines.update(50, 50)
    clock.now += 100
    lines.update(1, 11)  # another loop begins: a line is due, of which nothing is known yet
    clock.now += 40
    lines.update(5, 11)
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "embed: 5 of 11, about 60 s left"


def test_a_stage_that_says_nothing_is_heard_of_anyway(monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.01)
    heard = []

    class Heard(io.StringIO):
        def write(self, text):
            heard.append(text)
            return len(text)

    monkeypatch.setattr(sys, "stderr", Heard())
    with stage("measuring"):
        while not heard:
            pass
    assert "measuring, 0 s so far" in heard[0]


def test_no_line_is_written_once_a_stage_is_over(monkeypatch):
    """The stream may be closed then, as a test's is, and writing would fail in the thread."""
    begun, ended = threading.Event(), threading.Event()

    def slow(_):
        begun.set()
        time.sleep(0.2)
        ended.set()

    monkeypatch.setattr(progress, "EVERY", 0.01)
    monkeypatch.setattr(Lines, "write_if_due", slow)
    with stage("waiting"):
        assert begun.wait(10)
    assert ended.is_set()


def test_loops_inside_a_stage_say_how_far_they_are_and_only_inside(monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    monkeypatch.setattr(progress, "_keep_writing", lambda *_: None)
    assert list(each("ab")) == ["a", "b"]
    assert capsys.readouterr().err == ""
    with stage("embed"), stage("and more"):
        assert list(each("abc")) == ["a", "b", "c"]
    said = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in said] == ["embed: 1 of 3", "embed: 2 of 3", "embed: 3 of 3"]


def test_a_training_off_a_terminal_says_how_far_it_is_in_lines_with_what_was_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    learn(tmp_path / "run", validate_every=5)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 15
    assert "step: 4 of 15, about " in said[3]
    assert "epoch 2/5 · loss " in said[3]
    assert "held out" not in said[3]
    assert all("held out: loss " in line for line in said[4:])  # stays until it is measured again
    assert "\r" not in "".join(said)


def test_a_short_training_off_a_terminal_says_nothing(tmp_path, capsys):
    learn(tmp_path / "run")
    assert capsys.readouterr().err == ""
