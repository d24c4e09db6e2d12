"""Which worker runs which tests, and in what order: those of a file together, the longest files first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from xdist.scheduler import LoadGroupScheduling

if TYPE_CHECKING:
    import pytest

# Units that take more than ten seconds, the longest first: what comes last is short, so that workers end
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
    "tests/explain/",
    "tests/test_pytorch_tools.py",
    "tests/_engine/test_tiled.py",
    "tests/federation/test_rounds.py",
    "tests/_engine/test_kernel_harness.py",
    "tests/test_published.py",
    "tests/training/test_init.py",
)


# Folders whose files share a pool of processes, a page or models.
_FOLDERS = ("tests/distributed/", "tests/explain/", "tests/heads/")
# Tests of all systems, which begin with a system's name, and files that compile what word2vec does.
_OF_SYSTEMS = re.compile(
    r"tests/systems/test_(?:harness|held_out)\.py::.*?\[(\w+)|tests/export/test_formats\.py::test_a_folder_of_the_hub.*?\[(\w+)"
)
_OF_WORD2VEC = ("tests/skip_gram/test_kernel.py", "tests/systems/test_word2vec.py")


def unit_of(nodeid: str) -> str:
    """What one worker runs with that test: the tests of its file, of its folder, or of its system.

    pytest 9.2 keeps an id as it is made, so that xdist 3.8 cannot write the mark `xdist_group` into it.

    >>> unit_of("tests/systems/test_harness.py::test_it[bilingual, transformer]")
    'system bilingual'
    >>> unit_of("tests/test_room.py::test_it"), unit_of("tests/heads/test_page.py::test_it")
    ('tests/test_room.py', 'tests/heads/')
    """
    file = nodeid.partition("::")[0]
    if found := _OF_SYSTEMS.match(nodeid):
        return f"system {found[1] or found[2]}"
    if file in _OF_WORD2VEC:
        return "system word2vec"
    return next((folder for folder in _FOLDERS if file.startswith(folder)), file)


class UnitByUnit(LoadGroupScheduling):
    """Gives each unit of tests to one worker: what they share is made and imported once."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def longest_first(items: list[pytest.Item]) -> None:
    """Sort tests by the place of their unit among `LONGEST`."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(unit_of(item.nodeid), len(LONGEST)))
