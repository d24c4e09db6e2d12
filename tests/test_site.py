"""The site: every page is in its navigation, links are followed, notebooks run, and the search works from the disk."""

import importlib
import shutil
from pathlib import Path

import nbformat
import pytest
import yaml
from docs.building import links, notebooks, reference
from docs.building.habits import Habits, fenced_doctests, separated
from markdown import Markdown
from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


def in_navigation(entries):
    for entry in entries:
        for target in entry.values():
            yield from in_navigation(target) if isinstance(target, list) else [target]


def test_every_page_is_in_the_navigation_and_nothing_else():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    named = list(in_navigation(config["nav"]))
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    made = {f"notebooks/{path.stem}.md" for path in NOTEBOOKS} | set(links.PAGES.values())
    assert set(named) == pages | made
    assert len(named) == len(set(named))


def test_the_reference_has_each_system_and_domain_and_modules_that_say_what_they_are():
    modules = [module for group in reference.GROUPS.values() for module in group]
    assert {"tellapart.systems.simclr", "tellapart.domains.pictures"} <= set(modules)
    for name in modules:
        assert importlib.import_module(name).__doc__, name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(path):
    kept = nbformat.read(path, as_version=4)
    assert all(not cell.outputs and cell.execution_count is None for cell in kept.cells if cell.cell_type == "code")


def test_a_notebook_that_is_run_shows_what_its_cells_print_and_draw(tmp_path):
    """A short one; those of the site are run by `make site`."""
    cells = ["# Title", "print(6 * 7)", "'returned'", "from PIL import Image\nImage.new('L', (2, 2))"]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.cells[0].cell_type = "markdown"
    nbformat.write(made, tmp_path / "short.ipynb")
    page = notebooks.shown(notebooks.run(tmp_path / "short.ipynb", tmp_path), "short")
    assert page.text.count("{ .text .output }") == 2
    assert "\n42\n" in page.text
    assert page.text.count("![") == len(page.pictures) == 1


def test_links_to_files_outside_of_the_pages_lead_to_pages_of_the_site():
    theory, task = DOCS / "theory.md", DOCS / "tasks" / "collapsed.md"
    assert links.followed("[x](../src/tellapart/scores.py)", theory) == "[x](source/src/tellapart/scores.py.md)"
    assert links.followed("[x](../theory.md#a-b)", task) == "[x](../theory.md#a-b)"
    assert links.followed("[x](../../CHANGELOG.md)", task) == "[x](../changelog.md)"
    assert links.followed("![x](../benchmarks/results/loss.png)", theory) == "![x](source/benchmarks/results/loss.png)"
    assert links.followed("[x](../notebooks/log.ipynb)", task) == "[x](../notebooks/log.md)"
    assert links.followed("[x](docs/data.md)", ROOT / "CONTRIBUTING.md") == "[x](data.md)"
    assert links.followed("[x](no/such.md) [y](https://a.org)", theory) == "[x](no/such.md) [y](https://a.org)"
    assert ROOT / "src" / "tellapart" / "objective.py" in set(links.outside([theory]))


def test_a_source_file_is_shown_as_it_is_and_a_folder_by_what_its_files_say():
    assert (ROOT / "src/tellapart/scores.py").read_text() in links.shown(ROOT / "src/tellapart/scores.py")
    assert "| `test_sniff.py` |" in links.shown(ROOT / "tests" / "domains")


def test_lists_and_doctests_are_rendered_as_they_are_meant():
    html = Markdown(extensions=[Habits(), "pymdownx.superfences"]).convert(
        "Either\n- one\n- two\n\n>>> 1 + 1\n2\n\nend"
    )
    assert "<li>one</li>" in html
    assert "blockquote" not in html
    assert html.rstrip().endswith("<p>end</p>")
    fenced = ["```", "- no list", ">>> no doctest", "```"]
    assert fenced_doctests(fenced) == separated(fenced) == fenced


def test_the_search_of_the_site_works_from_the_disk_and_asks_for_nothing_elsewhere(tmp_path, browser):
    """A site of one page with the theme of the whole one."""
    shutil.copytree(DOCS / "assets", tmp_path / "docs" / "assets")
    (tmp_path / "docs" / "index.md").write_text("# Zebras\n\nA quagga has fewer stripes.\n", encoding="utf-8")
    change = {"docs_dir": str(tmp_path / "docs"), "site_dir": str(tmp_path / "site"), "nav": [{"Home": "index.md"}]}
    build(load_config(str(ROOT / "mkdocs.yml"), **change, hooks=[], plugins=["search", "offline"], strict=True))
    page, asked = browser.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "site" / "index.html").as_uri())
    page.keyboard.press("/")
    page.keyboard.type("quagga", delay=20)
    page.wait_for_selector(".md-search-result__item", timeout=20_000)
    assert "fewer stripes" in page.inner_text(".md-search-result__list")
    page.close()
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "about"}
