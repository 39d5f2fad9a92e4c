"""Files as tests write them, and what reading makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from headway_api.data import Data
from headway_trainer.data.content import TableContent
from headway_trainer.data.examine import Examined, examine, profile_of
from headway_trainer.data.profile import Profile
from headway_trainer.data.sources import load
from headway_trainer.errors import UserError

ROWS = 40
"""The rows of a file that says nothing else."""


def read_table(path: Path, **fields: Any) -> TableContent:
    """What reading makes of a file, or a folder of files, whose target is `y`; fields are those of `spec.data`."""
    spec = Data.model_validate({"source": {"uri": str(path)}, "target": "y", **fields})
    content = load(spec, volume_dir="/none", secret_dir="/none")  # noqa: S106 - a folder
    assert isinstance(content, TableContent)
    return content


def write_file(folder: Path, data: str | bytes, name: str = "data.csv") -> Path:
    """Write a file, text as UTF-8, and the folders that it lies in."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def day(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    """A time as tables have it: in UTC, without a zone."""
    return datetime(year, month, day, hour, minute)  # noqa: DTZ001 - as the table has it


def csv(cells: Sequence[str] | Callable[[int], str], end: str = "\n", sign: str = ",") -> str:
    """A table of the column `a`, in quotes where it needs them, a number x, and the classes y of two values."""
    made = [cells(index) for index in range(ROWS)] if callable(cells) else [cells[i % len(cells)] for i in range(ROWS)]
    quoted = ['"' + cell.replace('"', '""') + '"' if sign in cell or "\n" in cell else cell for cell in made]
    rows = [f"{cell}{sign}{index * 13 % 41}.25{sign}{'pq'[index // 2 % 2]}" for index, cell in enumerate(quoted)]
    return end.join([f"a{sign}x{sign}y", *rows]) + end


def cycled(values: Sequence[Any]) -> list[Any]:
    """The values again and again, for all rows."""
    return [values[index % len(values)] for index in range(ROWS)]


@dataclass(frozen=True)
class Right:
    """What a file must be taken for: the values of a column, and its kind, role and empty values where they matter."""

    column: str = "a"
    values: list[Any] | None = None
    kind: str | None = None
    role: str = "feature"
    missing: int | None = None
    rows: int | None = None
    said: tuple[str, ...] = ()
    """Words of the warnings."""
    noted: tuple[str, ...] = ()
    """Words of the notes."""
    quiet: bool = False
    """Whether there must be no warning."""


@dataclass(frozen=True)
class Refused:
    """Words of the one sentence that refuses a file."""

    words: tuple[str, ...]

    def __init__(self, *words: str) -> None:
        object.__setattr__(self, "words", words)


Outcome = Right | Refused


@dataclass(frozen=True)
class File:
    """An awkward file, and what is right for it."""

    title: str
    data: str | bytes
    outcome: Outcome
    name: str = "data.csv"
    fields: dict[str, Any] = field(default_factory=dict)


def outcome_of(path: Path, **fields: Any) -> tuple[Examined, Profile] | str:
    """What training would learn from a source, and its profile; or the sentence that refuses it."""
    spec = Data.model_validate({"source": {"uri": str(path)}, **fields})
    try:
        content = load(spec, volume_dir="/none", secret_dir="/none")  # noqa: S106 - a folder
        known = examine(spec, 0, content)
    except UserError as error:
        return str(error)
    return known, profile_of(known, content)


def check(path: Path, outcome: Outcome, **fields: Any) -> None:
    """Assert that a source has the outcome."""
    got = outcome_of(path, **fields)
    if isinstance(outcome, Refused):
        assert isinstance(got, str), f"it was taken: {got[1].warnings}"
        assert [word for word in outcome.words if word not in got] == [], got
        assert "\n" not in got
        return
    assert not isinstance(got, str), got
    known, profile = got
    column = known.schema.named(outcome.column)
    if outcome.values is not None:
        assert known.table is not None
        assert known.table[outcome.column].to_pylist() == outcome.values
    assert (column.kind, column.role) == (outcome.kind or column.kind, outcome.role), column.why
    assert outcome.missing is None or column.stats.missing == outcome.missing
    assert outcome.rows is None or profile.rows == outcome.rows
    assert [word for word in outcome.said if word not in " ".join(profile.warnings)] == [], profile.warnings
    assert [word for word in outcome.noted if word not in " ".join(profile.notes)] == [], profile.notes
    assert not outcome.quiet or profile.warnings == []
