"""Which worker runs which tests, and in what order: those of a file together, the longest files first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadGroupScheduling

if TYPE_CHECKING:
    import pytest

# Files and groups that take more than ten seconds, the longest first: what comes last is short, so that workers end
# together. Other tests load what those of word2vec compile, hence they are among the first.
LONGEST = (
    "tests/federation/test_deployed.py",
    "system word2vec",
    "tests/export/test_formats.py",
    "tests/training/test_train_on.py",
    "tests/training/test_resume.py",
    "tests/cli/test_cli.py",
    "tests/systems/test_pictures.py",
    "tests/systems/test_pictures_stored.py",
    "tests/test_api.py",
    "tests/sklearn/test_estimators.py",
    "tests/cli/test_as_it_lies.py",
    "tests/systems/test_federated.py",
    "tests/report/test_looks.py",
    "explain",
    "tests/test_pytorch_tools.py",
    "tests/_engine/test_tiled.py",
    "tests/federation/test_rounds.py",
    "tests/_engine/test_kernel_harness.py",
    "tests/test_published.py",
    "tests/training/test_init.py",
)


class FileByFile(LoadGroupScheduling):
    """Gives the tests of a file to one worker, unless they have a group: what they share is made and imported once."""

    def _split_scope(self, nodeid: str) -> str:
        group: str = super()._split_scope(nodeid)
        return group.partition("::")[0]


def longest_first(items: list[pytest.Item]) -> None:
    """Sort tests by the place of their group, or else of their file, among `LONGEST`."""
    places = {name: place for place, name in enumerate(LONGEST)}

    def place(item: pytest.Item) -> int:
        marker = item.get_closest_marker("xdist_group")
        name = marker.args[0] if marker else item.nodeid.partition("::")[0]
        return places.get(name, len(LONGEST))

    items.sort(key=place)
