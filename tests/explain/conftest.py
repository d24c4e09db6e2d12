"""The page that explains the loss, written once by the command line."""

from dataclasses import asdict

import pytest

from tellapart.cli import main
from tellapart.theory import curves


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Where the page is, and the curves that were measured while it was written."""
    path, measure, found = tmp_path_factory.mktemp("explain") / "explain.html", curves.quick, []

    def quick():
        found.extend(measure())
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "quick", quick)
        assert main(["explain", "--output", str(path)]) == 0
    return path, [asdict(curve) for curve in found]


@pytest.fixture(scope="session")
def explained(written):
    return written[0]


@pytest.fixture
def page(visit, explained):
    return visit(explained)
