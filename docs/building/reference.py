"""The pages of the API reference: which modules they are of, in which order."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
_SOURCE = ROOT / "src" / "tellapart"
_NO_SYSTEMS = ("__init__", "contract", "options")

GROUPS = {
    "The loss": [
        "tellapart",
        "tellapart.relations",
        "tellapart.scores",
        "tellapart.temperature",
        "tellapart.variants",
        "tellapart.negatives",
        "tellapart.gradient_cache",
        "tellapart.distributed",
        "tellapart.compat",
    ],
    "Instruments": ["tellapart.diagnostics", "tellapart.evaluation", "tellapart.theory", "tellapart.planning"],
    "Runs": ["tellapart.api", "tellapart.runs", "tellapart.training", "tellapart.systems.contract"],
    "Systems": sorted(
        f"tellapart.systems.{path.stem}" for path in (_SOURCE / "systems").glob("*.py") if path.stem not in _NO_SYSTEMS
    ),
    "Domains": sorted(f"tellapart.domains.{path.parent.name}" for path in (_SOURCE / "domains").glob("*/__init__.py")),
}


def address(module: str) -> str:
    """The page of a module, relative to `docs/`."""
    return f"reference/{module}.md"


def page(module: str) -> str:
    """The Markdown of a module's page, which mkdocstrings fills."""
    inherited = "    options:\n      inherited_members: true\n" if module == "tellapart.api" else ""
    return f"# `{module}`\n\n::: {module}\n{inherited}"


def navigation() -> list[dict[str, list[dict[str, str]]]]:
    """The groups and their pages, as mkdocs.yml would have them."""
    return [{group: [{_label(module): address(module)} for module in modules]} for group, modules in GROUPS.items()]


def _label(module: str) -> str:
    """What the navigation calls a module: without the names that its group has in common."""
    for prefix in ("tellapart.systems.", "tellapart.domains.", "tellapart."):
        module = module.removeprefix(prefix)
    return module
