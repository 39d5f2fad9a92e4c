"""A folder of this machine that is read as a job's storage is."""

from __future__ import annotations

from pathlib import Path


class Local:
    """See headway_cli.cluster.folders.Folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def files(self) -> dict[str, int]:
        """See Folder."""
        return {each.name: each.stat().st_size for each in self._path.iterdir()} if self._path.is_dir() else {}

    def read(self, name: str, start: int, most: int) -> bytes:
        """See Folder."""
        with (self._path / name).open("rb") as stream:
            stream.seek(start)
            return stream.read(most)
