"""The README and the pages of docs/ do what they say: code runs, commands parse, figures are a benchmark's."""

import re
import shlex
from pathlib import Path

import pytest

from tellapart.cli.parser import build

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]}
CODE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    words
    for text in PAGES.values()
    for words in re.findall(r"^    (?:\.venv/bin/)?tellapart (.*?)(?: {2,}#.*)?$", text, re.MULTILINE)
]
TABLES = [
    pytest.param(mark, table, id=mark)
    for text in PAGES.values()
    for mark, table in re.findall(r"<!-- (\w+) -->\n(.*?)<!-- /\1 -->", text, re.DOTALL)
]


def test_there_is_code_and_there_are_commands():
    assert len(CODE) == 3
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize("code", CODE)
def test_its_code_runs(code, capsys):
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.count("tensor(") >= 1


@pytest.mark.parametrize("words", COMMANDS)
def test_its_commands_parse(words):
    assert build().parse_args(shlex.split(words)).command in words


def test_no_table_of_figures_lacks_its_marks():
    """A table of numbers stands between the marks that name the benchmark's result."""
    for path, text in PAGES.items():
        rest = re.sub(r"<!-- (\w+) -->\n.*?<!-- /\1 -->", "", text, flags=re.DOTALL)
        assert not re.findall(r"^\|.*\| *[0-9.]+.*\|$", rest, re.MULTILINE), path.name


@pytest.mark.parametrize(("mark", "table"), TABLES)
def test_tables_are_what_the_benchmarks_printed(mark, table):
    printed = (ROOT / "benchmarks" / "results" / f"{mark}.md").read_text(encoding="utf-8")
    assert table.strip() == printed.strip()


def test_links_lead_somewhere():
    for path, text in PAGES.items():
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_make_target_it_names_exists_and_so_does_what_it_runs():
    makefile = (ROOT / "Makefile").read_text()
    for script in re.findall(r"\S+/\S+\.py", makefile):
        assert (ROOT / script).is_file(), script
    for target in set(re.findall(r"\bmake ([a-z]+)\b", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
