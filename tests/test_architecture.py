"""The house: imports only go down, systems are neighbours who do not talk, the core stays light."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import tellapart

SOURCE = Path(tellapart.__file__).parent

# From the ground up. `_html` makes tables for notebooks, `files` writes files, `reading` accounts for what is read,
# `pages` fills templates, `pretrained` reads models of transformers, `progress` shows how far a long task is.
FLOORS = {
    "_traced": 0,  # below the errors, which ask it whether values can be read
    "version": 0,
    "_room": 0,
    "_html": 0,
    "errors": 1,
    "files": 2,
    "pretrained": 2,
    "progress": 2,
    "reading": 2,
    "relations": 2,
    "scores": 2,
    "temperature": 2,
    "_engine": 3,
    "objective": 4,
    "negatives": 4,
    "distributed": 4,
    "gradient_cache": 4,
    "variants": 5,
    "skip_gram": 5,  # the loss of `variants.sgns` and `info_nce` again, compiled
    "compat": 6,
    "diagnostics": 7,
    "evaluation": 7,
    "pages": 8,
    "runs": 8,
    "theory": 8,
    "training": 9,
    "explain": 9,
    "heads": 9,
    "federation": 10,
    "domains": 11,
    "report": 12,
    "planning": 12,
    "export": 12,
    "systems": 13,
    "api": 14,
    "flower_apps": 14,
    "sentence_module": 15,
    "sklearn": 15,
    "cli": 15,
    "__main__": 16,
    "__init__": 17,  # the package's face, which a program imports and nothing in here
}
# Modules that other packages may import as they are, not through their package: they are heavy, or for few.
PUBLIC_MODULES = {
    "domains.archives",
    "domains.kept",
    "domains.ranges",
    "domains.shards",
    "domains.text_store",
    "domains.texts",
    "variants.options",  # what the variants share, for diagnostics and adapters
    "domains.features",
    "domains.folders",
    "domains.given",
    "domains.held_out",
    "domains.parquet_rows",
    "domains.picture_files",
    "domains.queries",
    "domains.sniff",
    "domains.tables",
    "federation.deployed",  # need flwr
    "federation.flower",
    "systems.federated",  # of the apps that Flower runs
    "systems.options",  # jsonargparse is of the tool
}
# What may look into the engine: the core, and the instruments that read its answers.
ENGINE_USERS = {"objective", "negatives", "distributed", "variants", "compat", "__init__", "diagnostics", "planning"}
LIGHT = {"torch", "numpy"}
# What an adapter imports where it is installed: a peer for its base class, or what a peer brings along.
OF_PEERS = {"pytorch_metric_learning", "tqdm"}
# Written in Triton's language, and imported when a block is computed with it; tests interpret them.
IN_TRITON = {f"triton_{name}.py" for name in ("entries", "tile", "forward", "backward", "rows", "ends")}
CORE = {
    "_traced",
    "errors",
    "_html",
    "_room",
    "relations",
    "scores",
    "temperature",
    "_engine",
    "objective",
    "negatives",
    "distributed",
    "gradient_cache",
    "variants",
    "compat",
    "__init__",
}


def unit_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path, at_runtime: bool = True):
    """Modules that a file imports; those under `if TYPE_CHECKING` only if not `at_runtime`."""
    tree = parsed(path)
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if at_runtime and id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "tellapart":
                yield from (f"tellapart.{alias.name}" for alias in node.names)
            else:
                yield node.module


FILES = sorted(SOURCE.rglob("*.py"))


def own_units(path: Path) -> set[str]:
    """The top-level parts of the package that a file imports, for types too."""
    found = set()
    for name in imports(path, at_runtime=False):
        if name == "tellapart" or name.startswith("tellapart."):
            part = name.removeprefix("tellapart").lstrip(".").split(".")[0]
            # What is no part is taken from the package itself, which is all of the core.
            found.add(part if part in FLOORS else "__init__")
    return found


def test_a_file_of_the_core_that_imports_the_package_is_found_out(tmp_path):
    for statement, unit in (
        ("from tellapart import info_nce", "__init__"),
        ("import tellapart", "__init__"),
        ("from tellapart import cli", "cli"),
        ("from tellapart.domains.pictures import Pairs", "domains"),
    ):
        path = tmp_path / f"{unit}-{len(statement)}.py"
        path.write_text(statement)
        assert unit in own_units(path)


def test_imports_only_go_down():
    pairs = [(path, other) for path in FILES for other in own_units(path) - {unit_of(path)}]
    assert pairs
    wrong = [f"{path.relative_to(SOURCE)}: {other}" for path, other in pairs if FLOORS[other] >= FLOORS[unit_of(path)]]
    assert not wrong, "\n".join(wrong)


def package_of(name: str) -> str:
    """The package of a module: a folder of `tellapart`, or of one domain."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "domains" and len(parts) > 1 else parts[0]


def test_other_packages_are_imported_by_what_they_make_public():
    """From another package come names of its `__all__`, or a module of PUBLIC_MODULES; `_engine` is the core's."""
    every = [(path, name) for path in FILES for name in imports(path, at_runtime=False)]
    wrong = [f"{path.relative_to(SOURCE)}: {name}" for path, name in every if is_private(path, name)]
    assert not wrong, "\n".join(wrong)


def is_private(path: Path, name: str) -> bool:
    """Whether a module is of another package, which does not make it public to this file."""
    me = package_of(".".join(path.relative_to(SOURCE).with_suffix("").parts))
    module = name.removeprefix("tellapart").lstrip(".")
    if not name.startswith("tellapart") or package_of(module) in (me, ""):
        return False
    if package_of(module) == "_engine":
        return unit_of(path) not in ENGINE_USERS
    is_folder = (SOURCE / package_of(module).replace(".", "/")).is_dir()
    return is_folder and module != package_of(module) and module not in PUBLIC_MODULES


def test_domains_never_import_each_other():
    for path in FILES:
        parts = path.relative_to(SOURCE).parts
        if parts[0] == "domains" and len(parts) > 2:
            others = {package_of(name.removeprefix("tellapart.")) for name in imports(path, at_runtime=False)}
            found = {other for other in others if other.startswith("domains.")} - {f"domains.{parts[1]}"}
            assert found <= PUBLIC_MODULES, path


def test_every_part_has_a_floor():
    assert {unit_of(path) for path in FILES} == set(FLOORS)


def test_systems_never_import_each_other():
    systems = [path for path in FILES if unit_of(path) == "systems" and path.name != "__init__.py"]
    assert systems
    for path in systems:
        found = {name for name in imports(path, at_runtime=False) if name.startswith("tellapart.systems")}
        assert found <= {"tellapart.systems.contract"} or path.stem == "options"


def test_the_core_needs_only_torch_and_numpy():
    for path in FILES:
        if unit_of(path) in CORE:
            third_party = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names) - {"tellapart"}
            more = OF_PEERS if unit_of(path) == "compat" else {"triton"} if path.name in IN_TRITON else set()
            assert third_party <= LIGHT | more, path


def test_importing_tellapart_imports_nothing_heavier_than_torch():
    code = "import torch, sys; before = set(sys.modules); import tellapart; print(*set(sys.modules) - before)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    new = {name.split(".")[0] for name in result.stdout.split()} - set(sys.stdlib_module_names)
    assert new == {"tellapart"}


def test_all_is_what_a_user_of_the_loss_needs_and_everything_in_it_is_documented():
    assert tellapart.__all__ == sorted(tellapart.__all__)
    for name in tellapart.__all__:
        assert getattr(tellapart, name) is not None
        if name != "__version__":
            assert (getattr(tellapart, name).__doc__ or "").strip(), name
    public = {name for name, value in vars(tellapart).items() if not name.startswith("_") and callable(value)}
    assert public == set(tellapart.__all__) - {"__version__", "variants", "train", "load"}


def test_every_public_function_of_the_core_has_a_docstring_with_a_doctest():
    for path in FILES:
        if unit_of(path) not in CORE or path.name in IN_TRITON:
            continue
        for node in parsed(path).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node.name != "evaluate":
                assert ">>>" in (ast.get_docstring(node) or ""), f"{path.name}: {node.name}"
