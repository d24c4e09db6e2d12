"""The README and the pages of docs/ do what they say: code runs, commands parse, figures are a benchmark's."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from tellapart import api
from tellapart.cli.parser import build
from tellapart.systems.options import read_options
from tests.test_architecture import FLOORS
from tests.tiny.pictures import draw, write_pairs

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PAGES = {path: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]}
CODE = {path: re.findall(r"```python\n(.*?)```", text, re.DOTALL) for path, text in PAGES.items()}
TRAINING = [code for code in CODE[ROOT / "README.md"] if "tellapart.train(" in code]
OF_LOSS = [
    pytest.param(code, id=f"{path.stem}: {code.splitlines()[3]}")
    for path, blocks in CODE.items()
    for code in blocks
    if code.startswith("import torch\n")
]
CALLS = [
    pytest.param(node, id=f"{path.name}: {ast.unparse(node)}")
    for path, blocks in CODE.items()
    for code in blocks
    for node in ast.walk(ast.parse(code))
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "tellapart.train"
]
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
    assert len(OF_LOSS) >= 8
    assert len(TRAINING) == 1
    assert len(CALLS) >= 5
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize("code", OF_LOSS)
def test_code_that_begins_with_torch_is_a_program_that_prints_something(code, capsys):
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("code", TRAINING)
def test_its_code_trains_and_uses_a_run(code, tmp_path, monkeypatch, capsys):
    """The code names a folder of pictures and a table, of which it needs two files by their names."""
    folder = write_pairs(tmp_path / "pictures")
    for name in re.findall(r'"pictures/(.+?)"', code):
        (folder / name).parent.mkdir()
        draw("red", "dot").save(folder / name)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert "tensor(" in out
    assert len(re.findall(r"^\S+\.png -?[0-9.e-]+$", out, re.MULTILINE)) == 3
    assert "\nTrue\n3 runs/mine/report.html\n" in out
    assert (tmp_path / "runs" / "mine" / "report.html").is_file()


@pytest.mark.parametrize("call", CALLS)
def test_trainings_from_python_have_options_of_their_system(call):
    (system,) = map(ast.literal_eval, call.args)
    given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    assert given.pop("run").startswith("runs/")
    config, _ = read_options(system, given)
    assert str(config.data) == given["data"]


@pytest.mark.parametrize("path", [path for path in CODE if path.name != "README.md"], ids=lambda path: path.stem)
def test_code_of_the_pages_calls_what_a_run_has(path):
    calls = {
        node.attr
        for code in CODE[path]
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "run"
    }
    assert all(hasattr(api.Trained, name) for name in calls)


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


def test_the_floors_of_the_house_are_those_that_the_architecture_test_enforces():
    named = re.findall(r"^(\d+)\. (.+)$", CONTRIBUTING, re.MULTILINE)
    floors = {name.rstrip("/"): int(number) - 1 for number, names in named for name in re.findall(r"`(\w+/?)`", names)}
    assert floors == {name: floor for name, floor in FLOORS.items() if not name.startswith("__")}


def test_links_lead_somewhere():
    for path, text in [*PAGES.items(), (ROOT / "CONTRIBUTING.md", CONTRIBUTING)]:
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_make_target_it_names_exists_and_so_does_what_it_runs():
    makefile = (ROOT / "Makefile").read_text()
    for script in re.findall(r"\S+/\S+\.py", makefile):
        assert (ROOT / script).is_file(), script
    for target in set(re.findall(r"(?:`|    )make ([a-z-]+)", README + CONTRIBUTING)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
