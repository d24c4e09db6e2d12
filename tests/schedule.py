"""Which worker runs which tests, and in what order: those of a file together, the longest files first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadGroupScheduling

if TYPE_CHECKING:
    import pytest

# Files and groups that take more than ten seconds, and one that waits; what comes last should be short, so that workers
# end together.
LONGEST = ("tests/federation/test_deployed.py",)


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
