"""Which image a row of a table means by the name that it has for it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from headway_trainer.data.content import Parts
from headway_trainer.data.read.files import SourceFile


@dataclass(frozen=True)
class _Image:
    """An image by its path."""

    number: int
    path: str
    """Below the source's folder."""
    whole: str
    """With the folder before it."""
    part: int | None


class ImageNames:
    """Images by the names that rows may have for them."""

    def __init__(self, files: Sequence[SourceFile], *, by_part: bool) -> None:
        """by_part: whether rows speak of the images of their own part alone."""
        self._by_part = by_part
        self._by_name: dict[str, list[_Image]] = {}
        self._by_stem: dict[str, list[_Image]] = {}
        for number, file in enumerate(files):
            known = _Image(number, file.path or file.uri.rpartition("/")[2], f"/{file.uri}", file.part)
            path = PurePosixPath(known.path)
            self._by_name.setdefault(path.name, []).append(known)
            self._by_stem.setdefault(path.stem, []).append(known)
        self.paths = [file.uri for file in files]
        """The images' own, for messages."""

    def find(self, names: Sequence[str | None], parts: Parts | None = None) -> list[list[int]]:
        """The numbers of the images that each name may mean: one, where all is well."""
        known = parts if self._by_part else None
        return [self._one(name, None if known is None else int(known[row])) for row, name in enumerate(names)]

    def _one(self, name: str | None, part: int | None) -> list[int]:
        if name is None:
            return []
        asked = name.strip().replace("\\", "/").removeprefix("./").lstrip("/")
        last = asked.rpartition("/")[2]
        if exact := [one.number for one in self._of(self._by_name, last, part) if one.path == asked]:
            return exact
        if found := [one.number for one in self._of(self._by_name, last, part) if one.whole.endswith(f"/{asked}")]:
            return found
        stems = self._of(self._by_stem, last, part)
        return [one.number for one in stems if str(PurePosixPath(one.whole).with_suffix("")).endswith(f"/{asked}")]

    @staticmethod
    def _of(index: Mapping[str, list[_Image]], name: str, part: int | None) -> list[_Image]:
        return [one for one in index.get(name, ()) if part is None or one.part == part]
