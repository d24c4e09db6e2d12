"""The README does what it says: its code runs, its commands parse, its figures are a benchmark's."""

import re
import shlex
from pathlib import Path

import pytest

from tellapart.parser import build

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"^    (?:\.venv/bin/)?tellapart (.*?)(?: {2,}#.*)?$", README, re.MULTILINE)


def test_there_is_code_and_there_are_commands():
    assert len(CODE) == 2
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize("code", CODE)
def test_its_code_runs(code, capsys):
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.count("tensor(") >= 1


@pytest.mark.parametrize("words", COMMANDS)
def test_its_commands_parse(words):
    assert build().parse_args(shlex.split(words)).command in words


@pytest.mark.parametrize("mark", ["clip_openmoji", "loss_short", "ring", "gradient_cache"])
def test_its_tables_are_what_the_benchmarks_printed(mark):
    table = README.split(f"<!-- {mark} -->")[1].split(f"<!-- /{mark} -->")[0].strip()
    printed = (ROOT / "benchmarks" / "results" / f"{mark}.md").read_text(encoding="utf-8")
    assert table == printed.strip()


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_make_target_it_names_exists_and_so_does_what_it_runs():
    makefile = (ROOT / "Makefile").read_text()
    for script in re.findall(r"\S+/\S+\.py", makefile):
        assert (ROOT / script).is_file(), script
    for target in set(re.findall(r"\bmake ([a-z]+)\b", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
