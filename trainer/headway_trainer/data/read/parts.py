"""Whether a folder says by its names which rows train: `train/` and `test/`, or `train.csv` and `test.csv`. Pure."""

from __future__ import annotations

import re
from dataclasses import replace

from headway_trainer.data.read.files import SourceFile, SourceFiles
from headway_trainer.errors import UserError

NAMES = ("training", "validation", "test")
"""What the parts are called, by their numbers."""
_WORDS = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "dev": 1, "test": 2, "testing": 2}
_STEM = re.compile(r"^(" + "|".join(_WORDS) + r")([-_.]?\d[\d_.-]*(of[-_]?\d+)?)?$")
"""As `train`, `train-00000-of-00003` or `test_1`."""


def divided(files: SourceFiles) -> SourceFiles:
    """The files with their parts, where the names of folders or files tell them; as they are, where not.

    Raises UserError where some names tell of parts and others do not, so that it is uncertain.
    """
    if files.has_parts or len(files.files) < 2:  # noqa: PLR2004 - a single file has no parts
        return files
    found = [_part(file) for file in files.files]
    parts = {part for part, _ in found if part is not None}
    if 0 not in parts or len(parts) == 1:
        return files
    others = [name for part, name in found if part is None]
    if others:
        words = sorted({name for part, name in found if part is not None})
        raise UserError(
            f"data.source: {files.uri} has {' and '.join(words)}, which look like parts, beside {others[0]!r}, which "
            "does not: name the parts in data.source.parts, or rename what is none"
        )
    return replace(files, files=[replace(file, part=part) for file, (part, _) in zip(files.files, found, strict=True)])


def _part(file: SourceFile) -> tuple[int | None, str]:
    """The number of the part, and the name that it is told from."""
    folder, mark, _ = file.path.partition("/")
    name = folder if mark else folder.split(".")[0]
    return part_of(name), name


def part_of(name: str) -> int | None:
    """The number of the part that a name tells of."""
    fits = _STEM.match(name.lower())
    return _WORDS[fits[1]] if fits else None


def below_part(file: SourceFile) -> str:
    """The path of a file below the folder of its part."""
    part, _ = _part(file)
    return (
        file.path.partition("/")[2] if file.part is not None and part == file.part and "/" in file.path else file.path
    )
