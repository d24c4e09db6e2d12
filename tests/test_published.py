"""What is published: the source distribution has the repository, and the wheel has the package with types to read."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from tellapart.version import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MADE = shutil.ignore_patterns(".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info")
MADE_AT_THE_TOP = {"build", "dist", "runs", "shared", "site"}
HOME = "https://example.org/me/tellapart"
BUILD = "from setuptools import build_meta; build_meta.build_sdist('dist'); build_meta.build_wheel('dist')"
# A program of a user's. Each line that ends with `# wrong` has to be refused, and no other.
PROGRAM = """
from typing import assert_type

from torch import Tensor, nn, randn

import tellapart
from tellapart import InfoNCE, LearnedTemperature, Relation, Terms, diagnostics, info_nce, info_nce_terms, nt_xent, same
from tellapart.api import Trained
from tellapart.gradient_cache import chunked
from tellapart.negatives import KeyQueue
from tellapart.variants import sup_con

queries, keys = randn(4, 8), randn(4, 8)
assert_type(same([1, 2, 3, 3]), Relation)
assert_type(info_nce(queries, keys, positives=same([1, 2, 3, 3]), symmetric=True), Tensor)
assert_type(info_nce_terms(queries, keys), Terms)
assert_type(info_nce_terms(queries, keys).positive, Tensor)
assert_type(nt_xent(queries, keys), Tensor)
assert_type(sup_con(queries, [1, 1, 2, 2]), Tensor)
assert_type(LearnedTemperature(0.07).forward(), Tensor)
assert_type(InfoNCE().forward(queries, keys), Tensor)
assert_type(chunked(nn.Linear(8, 4), queries, chunk=2), Tensor)
assert_type(diagnostics.effective_rank(queries), Tensor)
assert_type(KeyQueue(8, 4).read(), tuple[Tensor, Tensor])
assert_type(tellapart.load("runs/mine"), Trained)
info_nce("queries", keys)  # wrong
info_nce(queries, keys, positives=[1, 2, 3, 3])  # wrong
info_nce(queries, keys, temprature=0.1)  # wrong
"""
# mypy reads of torch what the program names: with all that this imports it takes minutes.
READ = "jaxtyping.*,tellapart.*,torch,torch._C.*,torch._tensor,torch.nn,torch.nn.modules,torch.nn.modules.*"
MYPY = f"[mypy]\nstrict = True\nfollow_imports = skip\n[mypy-{READ}]\nfollow_imports = normal\n"
WRONG = {number for number, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith("# wrong")}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The folder with a source distribution and a wheel of a copy of the repository, which has an address."""
    copy = tmp_path_factory.mktemp("published") / "tellapart"

    def made(folder, names):
        return MADE(folder, names) | (MADE_AT_THE_TOP if Path(folder) == ROOT else set())

    shutil.copytree(ROOT, copy, ignore=made)
    subprocess.run([sys.executable, "docs/at_home.py", ".", HOME], cwd=copy, check=True)
    subprocess.run([sys.executable, "-c", BUILD], cwd=copy, check=True, capture_output=True)
    return copy / "dist"


@pytest.fixture(scope="module")
def user(published, tmp_path_factory):
    """A user's Python: that of the tests, with the wheel unpacked where it is found first, and a program to check."""
    home = tmp_path_factory.mktemp("user")
    venv.create(home / "venv", with_pip=False)
    python = home / "venv" / "bin" / "python"
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip())
    with zipfile.ZipFile(next(published.glob("*.whl"))) as wheel:
        wheel.extractall(packages)
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    (home / "program.py").write_text(PROGRAM, encoding="utf-8")
    (home / "mypy.ini").write_text(MYPY, encoding="utf-8")
    return python


def environment():
    """That of the tests, without paths to the repository's own sources."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def test_the_source_distribution_has_all_files_of_the_repository(published):
    copy = published.parent
    made = (copy / "dist", copy / "build")
    files = {
        path.relative_to(copy).as_posix()
        for path in copy.rglob("*")
        if path.is_file() and not any(path.is_relative_to(place) for place in made) and ".egg-info" not in str(path)
    }
    with tarfile.open(next(published.glob("*.tar.gz"))) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert len(files) > 500
    assert files - inside == set()
    assert not [name for name in inside if "__pycache__" in name]


def test_the_wheel_has_the_package_with_its_pages_and_types_and_nothing_else(published):
    with zipfile.ZipFile(next(published.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        about = wheel.read(f"tellapart-{__version__}.dist-info/METADATA").decode()
    source = ROOT / "src" / "tellapart"
    wanted = {f"tellapart/{path.relative_to(source)}" for path in source.rglob("*") if path.suffix in (".py", ".html")}
    assert wanted | {"tellapart/py.typed"} <= names
    assert {name.partition("/")[0] for name in names} == {"tellapart", f"tellapart-{__version__}.dist-info"}
    needed = re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", about, re.MULTILINE)
    assert set(needed) == {"torch", "numpy", "jaxtyping"}  # the last for the types alone


def test_what_is_published_says_where_the_repository_is_and_has_no_relative_link(published):
    with zipfile.ZipFile(next(published.glob("*.whl"))) as wheel:
        about = wheel.read(f"tellapart-{__version__}.dist-info/METADATA").decode()
    urls = dict(re.findall(r"^Project-URL: (\w+), (\S+)$", about, re.MULTILINE))
    assert urls["Homepage"] == HOME
    assert urls["Issues"] == f"{HOME}/issues"
    links = re.findall(r"\]\(([^)\s]+)\)", about)
    assert f"{HOME}/blob/main/docs/gpu.md" in links
    assert f"{HOME}/raw/main/docs/images/report.png" in links
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    citation = yaml.safe_load((published.parent / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == HOME


def test_an_address_that_is_none_is_refused(tmp_path):
    command = [sys.executable, ROOT / "docs" / "at_home.py", tmp_path, "me/tellapart"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "`HOME_URL` must begin with https://. Got me/tellapart." in done.stderr


def test_the_wheel_can_be_imported(user):
    program = "import tellapart; print(tellapart.__file__)"
    said = subprocess.run([user, "-c", program], env=environment(), check=True, capture_output=True, text=True).stdout
    assert Path(said.strip()).is_relative_to(user.parents[1])


def test_mypy_knows_the_types_of_the_wheel(user):
    program = user.parents[2] / "program.py"
    command = [sys.executable, "-m", "mypy", "--python-executable", user, "--no-error-summary", program]
    done = subprocess.run(command, env=environment(), cwd=program.parent, capture_output=True, text=True)
    lines = re.findall(r"^program\.py:(\d+): error:", done.stdout, re.MULTILINE)
    assert {int(line) for line in lines} == WRONG, done.stdout + done.stderr


def test_pyright_knows_the_types_of_the_wheel(user):
    if shutil.which("node") is None:
        pytest.skip("pyright needs node, and would fetch it")
    program = user.parents[2] / "program.py"
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", user, program]
    quiet = {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "PYRIGHT_PYTHON_GLOBAL_NODE": "1"}
    done = subprocess.run(command, env=environment() | quiet, cwd=program.parent, capture_output=True, text=True)
    found = json.loads(done.stdout)["generalDiagnostics"]
    lines = {entry["range"]["start"]["line"] + 1 for entry in found if entry["severity"] == "error"}
    assert lines == WRONG, done.stdout


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert citation["license"] == PROJECT["license"]
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest[1] == __version__


def test_the_workflow_runs_the_two_commands_with_each_python_that_the_package_is_for():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["commands"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert {"make demo", "make test"} <= set(commands)
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert job["strategy"]["matrix"]["python"] == named
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for step in (step for job in workflow["jobs"].values() for step in job["steps"]):
        for target in re.findall(r"make ([a-z-]+)", step.get("run", "")):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_forms_for_issues_ask_what_can_be_answered():
    forms = [path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"]
    assert len(forms) == 3
    for path in forms:
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= form.keys()
        assert len({field["id"] for field in form["body"]}) == len(form["body"])
