"""How tests are divided among several processes of pytest: those that share something stay in one."""

from __future__ import annotations

from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

SHARED = ("tests/cluster/life", "tests/cluster/room")
"""Folders of which all tests use one cluster, by a fixture of the package. Others share at most with their file."""


def together(nodeid: str) -> str:
    """What a test shares with others: a folder or a file, as the id of the test names it."""
    file = PurePosixPath(nodeid.partition("::")[0])
    return next((folder for folder in SHARED if file.is_relative_to(folder)), str(file))


class Together(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist ships no types
    """As pytest-xdist's `loadscope`, which knows no fixtures of packages.

    Where it keeps the order of the tests, every other process begins at its end: so tests of Ray, which compute, run
    beside tests of clusters, which wait.
    """

    def _split_scope(self, nodeid: str) -> str:
        return together(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        if not self.config.option.loadscopereorder and self.nodes.index(node) % 2:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)
