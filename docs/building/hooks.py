"""What mkdocs calls while it builds the site: the pages that are made, and the links that are followed.

mkdocs.yml names this file.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # mkdocs loads this file by its path

from docs.building import habits, links, notebooks, reference  # noqa: E402

_MARK = re.compile(r"^<!-- /?\w+ -->$", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Enter the reference in the navigation, and what Python-Markdown does not know of our pages."""
    assert config.nav is not None
    for entry in config.nav:
        if "API reference" in entry:
            entry["API reference"] += reference.navigation()
    config.markdown_extensions.append(habits.Habits())  # type: ignore[arg-type]  # it takes instances, too
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Make the pages of modules, notebooks and linked sources."""
    pages = [Path(file.abs_src_path) for file in files.documentation_pages() if file.abs_src_path]
    for path, name in links.PAGES.items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    for module in (module for group in reference.GROUPS.values() for module in group):
        files.append(File.generated(config, reference.address(module), content=reference.page(module)))
    for path in sorted(set(links.outside([*pages, *links.PAGES]))):
        files.append(_outside(path, config))
    for path in sorted((links.DOCS / "notebooks").glob("*.ipynb")):
        for file in _notebook(path, config):
            files.append(file)
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Follow the links of a page, and leave out the marks around its tables."""
    source = page.file.abs_src_path
    return _MARK.sub("", markdown if source is None else links.followed(markdown, Path(source)))


def _outside(path: Path, config: MkDocsConfig) -> File:
    name = links.address(path)
    if name.endswith(".md"):
        return File.generated(config, name, content=links.shown(path), inclusion=InclusionLevel.NOT_IN_NAV)
    return File.generated(config, name, abs_src_path=str(path))


def _notebook(path: Path, config: MkDocsConfig) -> list[File]:
    """The page of a notebook, which is run, and its pictures."""
    with tempfile.TemporaryDirectory() as folder:
        found = notebooks.shown(notebooks.run(path, Path(folder)), path.stem)
    download = f"\n\n[Download this notebook]({path.name}){{ .md-button }}\n"
    pictures = found.pictures.items()
    return [
        File.generated(config, f"notebooks/{path.stem}.md", content=found.text + download),
        *(File.generated(config, f"notebooks/{name}", content=picture) for name, picture in pictures),
    ]
