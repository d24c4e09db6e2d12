"""The report of a graph, whose nodes cannot be seen, opened offline in headless Chromium."""

import pytest

from tellapart.cli import main
from tests.tiny.graphs import graph_arguments, write_graph


@pytest.mark.parametrize("labelled", [True, False])
def test_it_names_nodes_where_it_cannot_show_them(visit, tmp_path, labelled):
    words = graph_arguments(data=write_graph(tmp_path / "data", labelled=labelled), epochs=2)
    assert main(["train", "graph", "--run", str(tmp_path / "run"), *words]) == 0
    page = visit(tmp_path / "run" / "report.html")
    page.wait_for_selector("#map .scatterlayer .point, #map .scatterlayer path")
    text = page.locator("main").inner_text()
    assert "The most similar of 60 nodes to one of them." in text
    assert "picture" not in text
    assert page.locator("main img, main .thumb").count() == 0
    hits = page.locator(".hit b")
    assert hits.count() == 45
    assert (page.locator(".hit.right").count() > 0) == labelled
    page.locator("#map .scatterlayer .point, #map .scatterlayer path").first.hover(force=True)
    page.wait_for_selector("#card:not([hidden])")
    assert "n" in page.locator("#card p").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200
    assert page.trouble == []
