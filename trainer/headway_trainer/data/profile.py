"""The data profile: what was read, what each column was taken for and why, and what people should know. Pure.

It goes into the report, result.json, the model's record and what `headway profile` prints, so its size is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from headway_api.base import StatusSection
from headway_trainer.data.schema import Column

MOST_COLUMNS = 200
"""Columns that a profile shows; the others are counted."""
MOST_SENTENCES = 50
"""Warnings, and notes, that a profile shows."""
_TOP_SHOWN = 3


class Profile(StatusSection):
    """What a source holds, and what was made of it."""

    source: str = ""
    """Where it was read from."""
    rows: int
    """Rows that were read."""
    lines: int | None = None
    """Lines of the files that hold them, headers included; none where files have no lines."""
    files: int = 0
    """Files that were read; 0 where the source is none, or arrays."""
    files_left_out: int = 0
    """Files of the source that were not read."""
    dialect: str = ""
    """How the text is written, as told from it or given."""
    task: str | None = None
    """What is learnt; none where no target is named."""
    task_why: str = ""
    """`given`, or what the task was told from."""
    columns: list[Column] = Field(default_factory=list)
    """The first columns, in the order of the source, and among them all that predict, weigh or divide rows."""
    column_count: int = 0
    """All columns."""
    warnings: list[str] = Field(default_factory=list)
    """What may cost people something: each a sentence that names what it is about and the way out."""
    notes: list[str] = Field(default_factory=list)
    """What else was done."""

    def with_note(self, note: str) -> Profile:
        """The profile with one note more."""
        return self.model_copy(update={"notes": [*self.notes, note]})


def bounded_columns(columns: Sequence[Column], most: int = MOST_COLUMNS) -> list[Column]:
    """The columns with a special role, and then the first others, at most `most`, in the order of the source."""
    if len(columns) <= most:
        return list(columns)
    special = [index for index, column in enumerate(columns) if column.role not in ("feature", "ignore")]
    others = [index for index, column in enumerate(columns) if column.role in ("feature", "ignore")]
    chosen = sorted([*special, *others][:most])
    return [columns[index] for index in chosen]


def bounded(sentences: Sequence[str], most: int = MOST_SENTENCES) -> list[str]:
    """Each sentence once, at most `most`, and how many there are beyond."""
    once = list(dict.fromkeys(sentences))
    more = len(once) - most
    return [*once[:most], f"And {more} more of this kind."] if more > 0 else once


HEADINGS = ("column", "kind", "role", "why", "missing", "distinct", "values", "what was done")
"""Of the table of columns, wherever people read it."""


def summary(profile: Profile) -> str:
    """What was read and what is learnt, in one or two sentences."""
    told = [f"{_counted(profile.rows, 'row')} and {_counted(profile.column_count, 'column')}"]
    if profile.lines is not None:
        dialect = f" ({profile.dialect})" if profile.dialect else ""
        told.append(f"{_counted(profile.lines, 'line')} of {_counted(profile.files, 'file')}{dialect}")
    if profile.files_left_out:
        told.append(f"{_counted(profile.files_left_out, 'file')} not read")
    learnt = f" What is learnt: {profile.task} ({profile.task_why})." if profile.task else ""
    more = profile.column_count - len(profile.columns)
    cut = f" {more} more columns are not shown." if more > 0 else ""
    return f"{', '.join(told)}.{learnt}{cut}"


def cells(column: Column) -> tuple[str, ...]:
    """A column as a row of the table, under HEADINGS."""
    stats = column.stats
    distinct = "" if stats.distinct is None else f"{stats.distinct:,}"
    name = column.name or "(no name)"
    return name, column.kind, column.role, column.why, f"{stats.missing:,}", distinct, values_of(column), column.done


def values_of(column: Column) -> str:
    """The range of numbers and times; the most frequent values of what is counted."""
    stats = column.stats
    if stats.top:
        return ", ".join(f"{one.value} {_share(one.rows / max(1, stats.known))}" for one in stats.top[:_TOP_SHOWN])
    if stats.min is None or stats.max is None:
        return ""
    mean = f", mean {_number(stats.mean)}" if stats.mean is not None else ""
    return f"{_number(stats.min)} to {_number(stats.max)}{mean}"


def _share(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "<1%"  # noqa: PLR2004 - a per cent


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
