"""What the columns of a source are: the record of each one's kind, role and values. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from headway_api.base import StatusSection
from headway_api.columns import Kind, Role


class TopValue(StatusSection):
    """One of a column's most frequent values."""

    value: str
    """The value as text, cut where it is long."""
    rows: int
    """The rows that have it."""


class ColumnStats(StatusSection):
    """What the values of a column are like, over all rows of the source. Its size is bounded."""

    rows: int
    """All rows."""
    missing: int = 0
    """Rows without a value."""
    distinct: int | None = None
    """How many different values there are; none for vectors and arrays."""
    min: float | str | None = None
    """The least value: a number, or a time as ISO 8601; none for other kinds."""
    max: float | str | None = None
    """The greatest value."""
    mean: float | None = None
    """The mean of the numbers."""
    top: list[TopValue] = Field(default_factory=list)
    """The most frequent values of text and booleans, the most frequent first."""

    @property
    def known(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing


class Written(StatusSection):
    """How the text of a column was written, as all its values told: text of new rows is read alike, as fewer of them
    may tell nothing, or something else. `2.345` alone is no thousands, and `01/02/2024` no certain day."""

    decimal: str | None = None
    """What stands before the decimals of its numbers."""
    thousands: str | None = None
    """What groups their digits, where something does."""
    day_first: bool | None = None
    """Of dates whose year is last, whether the day comes before the month."""


class Column(StatusSection):
    """One column of the source: what it is, why it is held to be that, and what was done with it."""

    name: str
    """Its name in the source; of npz, the array's."""
    kind: Kind
    """What its values mean."""
    role: Role = "feature"
    """What it is for; `ignore` leaves it out."""
    dtype: str = ""
    """The type that it was read as."""
    nullable: bool = False
    """Whether a value is missing in any row."""
    why: str = ""
    """`given`, or what the guess of kind and role rests on."""
    stats: ColumnStats
    """What its values are like."""
    done: str = ""
    """What became of it, as one sentence."""


class Schema(StatusSection):
    """All columns of a source, in its order."""

    columns: list[Column] = Field(default_factory=list)
    """The columns."""

    def of(self, *roles: Role) -> list[Column]:
        """The columns with one of these roles."""
        return [column for column in self.columns if column.role in roles]

    def named(self, name: str) -> Column:
        """The column of that name. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def __len__(self) -> int:
        return len(self.columns)

    def names(self, *roles: Role) -> Iterator[str]:
        """The names of the columns with one of these roles."""
        return (column.name for column in self.of(*roles))
