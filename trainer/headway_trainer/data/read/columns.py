"""What a column of text holds: numbers, times, true and false, or text; told from all its values. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from headway_trainer.data.content import ColumnFacts
from headway_trainer.data.read import notations, times
from headway_trainer.data.read.notations import Notation
from headway_trainer.data.read.options import Options
from headway_trainer.data.read.text_bytes import TextBytes
from headway_trainer.data.read.times import TimeFormat
from headway_trainer.data.schema import Written

_SAMPLE = 64
_FEW = 4
_WORDS = pa.array(["true", "false"])
_AS_TEXT = frozenset(("text", "category", "id"))
_LONG = 16
"""Digits from which on whole numbers may be beyond 2^53."""


@dataclass(frozen=True)
class Reading:
    """How a column of text becomes values."""

    kind: pa.DataType
    """int64, double, bool, timestamp[us], string, or null where it has no value."""
    read: Callable[[pa.Array], pa.Array] | None = None
    """From trimmed text, null where it is empty, to kind; none where Arrow's own reader does it."""
    facts: ColumnFacts = field(default_factory=ColumnFacts)

    def apply(self, values: pa.Array, words: pa.Array) -> pa.Array:
        """The values; words stand for an empty value, but in text, where the reader of the file tells that."""
        if pa.types.is_null(self.kind):
            return pa.nulls(len(values))
        if not pa.types.is_string(values.type):
            return values
        values = pc.utf8_trim_whitespace(values)
        values = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
        if pa.types.is_string(self.kind):
            return values
        values = pc.if_else(pc.is_in(values, words), pa.scalar(None, pa.string()), values)
        return self.read(values) if self.read is not None else values.cast(self.kind)


class TextColumn:
    """Is shown the values of a column, and tells then how to read all of them.

    Levels, each for what does not fit the one before: `int`, `double`, `other` (times, true and false, numbers as
    people write them), `text`.
    """

    def __init__(self, options: Options, kind: str | None = None) -> None:
        """kind: the job's kind for this column, where it gives one."""
        self._kind = kind
        self._words, self._empty = _words(options.null_words)
        self._plain = options.decimal in (None, ".") and options.thousands != "."
        self._level = "text" if kind in _AS_TEXT else "int"
        self._given = times.given(options.date_format) if options.date_format else None
        self._times: list[TimeFormat] = times.formats(options.day_first)
        self._notations = list(notations.notations(options.decimal, options.thousands))
        self._bare = notations.NOTHING
        self._booleans = True
        self._whole = True
        self._dotted = True
        self._plus = False
        self._padded = False
        self._zeros = 0
        self._long = 0
        self.known = 0
        """Values that are there."""
        self.nulls = 0
        """Values that are nothing at all."""
        self.blanks = 0
        """Values of blanks alone, or of quotes with nothing between them."""
        self.empty_words = 0
        """Values that are words for an empty value, quoted or not."""
        self.words: set[str] = set()
        """Which words these are."""

    def see(self, values: pa.Array) -> None:
        """Take in a block of values: text as it stands in the file, null where there is nothing."""
        self.nulls += values.null_count
        values = values.drop_null() if values.null_count else values
        # Words for empty values are looked for only where not all values are numbers.
        if not self._take_numbers(values, self._level):
            values = self._without_empty(values)
            if not self._take_numbers(values, "double") and self._level != "text":
                self._narrow(values)
        self.known += len(values)

    def _without_empty(self, values: pa.Array) -> pa.Array:
        stands, values = values, pc.utf8_trim_whitespace(values)
        self._padded = self._padded or bool(pc.any(pc.not_equal(stands, values)).as_py())
        empty = pc.is_in(values, self._empty)
        if not empty.true_count:
            return values
        word = pc.is_in(values, self._words)
        self.blanks += pc.equal(values, "").true_count
        self.empty_words += word.true_count
        if word.true_count:
            self.words |= set(pc.unique(values.filter(word)).to_pylist())
        return values.filter(pc.invert(empty))

    def _take_numbers(self, values: pa.Array, up_to: str) -> bool:
        """Whether the values are numbers as programs write them; what tells codes and dates from these is kept."""
        if self._level not in ("int", "double"):
            return False
        if not len(values):
            return True
        level = _number_level(values, self._level, plain=self._plain and up_to == "double")
        if level is None:
            return False
        self._level = level
        # Patterns cost more than these looks, most of all where each of many columns has few rows.
        told = TextBytes(values)
        self._zeros += told.leading_zeros
        if level == "double":
            self._see_digits(values, told)
        if self._given is not None and self._given.read(values) is None:
            self._given = None
        return True

    def _see_digits(self, values: pa.Array, told: TextBytes) -> None:
        if self._whole:
            if told.longest >= _LONG:
                self._long += pc.sum(pc.match_substring_regex(values, rf"^[+-]?\d{{{_LONG},}}$")).as_py()
            if told.has_point:
                self._whole = False
            else:
                self._plus = self._plus or told.has_plus
                self._whole = _all(values, r"^[+-]?\d+$")
        self._dotted = self._dotted and _all(values, r"^-?([1-9]\d{0,2}(\.\d{3})+|\d+)$")

    def _narrow(self, values: pa.Array) -> None:
        """Some values are no plain numbers: what all of them can be."""
        if self._level != "other" and self.known:
            self._times, self._booleans = [], False
            self._notations = [
                n for n in self._notations if not self._zeros and (self._level == "int" or n.decimal == ".")
            ]
            self._bare = notations.NOTHING.beside(percents=frozenset((False,)))
        self._level = "other"
        unique = pc.unique(values)
        for part in (unique[:_SAMPLE], unique):
            self._try(part)
        if self._notations:
            self._bare = self._bare.beside(notations.strip(unique))
        if not (self._booleans or self._times or self._notations or self._given):
            self._level = "text"

    def _try(self, values: pa.Array) -> None:
        if self._given is not None and self._given.read(values) is None:
            self._given = None
        if self._booleans:
            self._booleans = bool(pc.all(pc.is_in(pc.utf8_lower(values), _WORDS)).as_py())
        self._times = [form for form in self._times if form.read(values) is not None]
        if self._notations:
            bare = notations.strip(values).values
            self._notations = [notation for notation in self._notations if notation.read(bare).null_count == 0]

    def decide(self) -> Reading:
        """How to read the column, after all its values were seen."""
        if self._level == "text" or not self.known:
            return Reading(pa.string() if self._level == "text" else pa.null())
        if self._given is not None:
            return _times(self._given)
        return self._as_written() if self._level == "other" else self._plain_numbers()

    def _plain_numbers(self) -> Reading:
        codes = self._zeros or (self._whole and self._long)
        if codes and self._kind != "number":
            return Reading(pa.string(), facts=ColumnFacts(leading_zeros=self._zeros, inexact=self._long))
        if self._level == "int" or (self._whole and self._plus and not self._long):
            written = "whole numbers with a plus sign" if self._plus else ""
            return Reading(pa.int64(), self._cast(pa.int64()), ColumnFacts(written=written))
        return Reading(pa.float64(), self._cast(pa.float64()), ColumnFacts(inexact=self._long))

    def _cast(self, kind: pa.DataType) -> Callable[[pa.Array], pa.Array] | None:
        """None where Arrow's own reader of numbers does it."""
        if self._plus:
            return lambda values: pc.replace_substring_regex(values, r"^\+", "").cast(kind)
        # Arrow's own reader knows no blank but the space and the tab.
        return (lambda values: values.cast(kind)) if self.blanks or self.empty_words or self._padded else None

    def _as_written(self) -> Reading:
        if self._booleans:
            return Reading(pa.bool_(), lambda values: pc.equal(pc.utf8_lower(values), "true"))
        if (form := times.choose(self._times)) is not None:
            return _times(form)
        notation = self._notation()
        if notation is None:
            return Reading(pa.string())
        kind = pa.float64() if notation.decimal in self._bare.signs else pa.int64()
        return Reading(
            kind,
            lambda values: notation.read(notations.strip(values).values).cast(kind),
            ColumnFacts(
                written=f"numbers {notations.words(notation, self._bare)}",
                form=Written(
                    decimal=notation.decimal,
                    thousands=notation.thousands if notation.thousands in self._bare.signs else None,
                ),
            ),
        )

    def _notation(self) -> Notation | None:
        """The one way in which all values are numbers; none where there are two, or two units."""
        if len(self._bare.currencies) > 1 or len(self._bare.percents) > 1:
            return None
        return notations.choose(self._notations, self._bare.signs)

    @property
    def has_decimal_comma(self) -> bool:
        """Whether the values are numbers with a decimal comma, and nothing else."""
        notation = self._notation() if self._level == "other" else None
        return notation is not None and notation.decimal == "," in self._bare.signs

    @property
    def may_have_thousands(self) -> bool:
        """Whether all decimal points of a column of numbers stand where points between thousands would."""
        return self._level == "double" and self._dotted and not self._whole


def _number_level(values: pa.Array, level: str, *, plain: bool) -> str | None:
    """`int` or `double`, from level on, if the values are such numbers. plain: whether the point is a decimal point."""
    # Most numbers that are not whole show it at once, and an error costs as much as reading some hundred values.
    if level == "int" and "." not in values[0].as_py():
        try:
            values.cast(pa.int64())
        except pa.ArrowInvalid:
            pass
        else:
            return "int"
    if plain:
        try:
            values.cast(pa.float64())
        except pa.ArrowInvalid:
            return None
        return "double"
    return None


def _times(form: TimeFormat) -> Reading:
    first = True if form in times.DAY_FIRST else False if form in times.MONTH_FIRST else None
    facts = ColumnFacts(
        written=f"times {form.name}" if form.name else "", form=None if first is None else Written(day_first=first)
    )
    return Reading(form.kind, _with_nulls(form.read), facts)


def _with_nulls(read: Callable[[pa.Array], pa.Array | None]) -> Callable[[pa.Array], pa.Array]:
    """A reader of values that all fit, as one of values with null between them."""

    def whole(values: pa.Array) -> pa.Array:
        valid = values.is_valid()
        made = read(values.drop_null())
        if made is None:
            raise ValueError("the file changed while it was read")
        places = pc.subtract(pc.cumulative_sum(valid.cast(pa.int64())), 1)
        return made.take(pc.if_else(valid, places, pa.scalar(None, pa.int64())))

    return whole


def _all(values: pa.Array, pattern: str) -> bool:
    """Whether all numbers fit; most often the first few tell."""
    first = values[:_FEW].to_pylist()
    return all(re.match(pattern, value, re.ASCII) for value in first) and bool(
        pc.all(pc.match_substring_regex(values, pattern)).as_py()
    )


@cache
def _words(words: tuple[str, ...]) -> tuple[pa.Array, pa.Array]:
    """Words for an empty value, and all that is none: with the empty text beside them."""
    return pa.array(words, pa.string()), pa.array({*words, ""}, pa.string())
