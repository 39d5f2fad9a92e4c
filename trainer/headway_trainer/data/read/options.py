"""What the job says about how files are read; what it leaves open is told from the files. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from headway_api.data import Data
from headway_api.reading import Read
from headway_trainer.data.schema import Written

NULL_WORDS = (
    "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NULL", "null", "NaN", "nan", "-NaN", "-nan",
    "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN",
)  # fmt: skip
"""What csv writers put where a value is missing: an empty value, where it stands without quotes."""


@dataclass(frozen=True)
class Options:
    """`data.read`, and of `data.columns` what concerns reading. None: told from the files."""

    delimiter: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    null_values: tuple[str, ...] | None = None
    quote: str | None = None
    header: bool | None = None
    comment: str | None = None
    date_format: str | None = None
    day_first: bool | None = None
    """Of dates whose year is last, whether the day comes before the month."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """The kind of each column that the job gives one."""
    written: Mapping[str, Written] = field(default_factory=dict)
    """How columns were written in training, for the rows of a finished model."""
    ignored: frozenset[str] = frozenset()
    """Columns with the role `ignore`: they are not read, so that nothing in them can be wrong."""

    @property
    def null_words(self) -> tuple[str, ...]:
        """What stands for an empty value beside nothing at all."""
        return NULL_WORDS if self.null_values is None else self.null_values

    def of_column(self, name: str) -> Options:
        """What is known of how a column is read."""
        told = self.written.get(name)
        if told is None:
            return self
        return replace(
            self,
            decimal=told.decimal or self.decimal,
            thousands=told.thousands or self.thousands,
            day_first=told.day_first,
        )

    @staticmethod
    def of(spec: Data) -> Options:
        """What the data section says."""
        columns = spec.columns or {}
        return replace(
            Options.of_read(spec.read or Read()),
            kinds={name: column.kind for name, column in columns.items() if column.kind is not None},
            ignored=frozenset(name for name, column in columns.items() if column.role == "ignore"),
        )

    @staticmethod
    def of_read(read: Read) -> Options:
        """What `data.read` says."""
        nulls = read.null_values
        return Options(
            delimiter=read.delimiter,
            encoding=read.encoding,
            decimal=read.decimal,
            thousands=read.thousands,
            null_values=None if nulls is None else tuple(nulls),
            quote=read.quote,
            header=read.header,
            comment=read.comment,
            date_format=read.date_format,
        )
