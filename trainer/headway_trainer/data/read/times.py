"""Dates and times as people write them, where it is certain what they mean. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

STAMP = pa.timestamp("us")
_CLOCK = r"([T ]\d{1,2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?"
_NAMED = ("%d %b %Y", "%d-%b-%Y", "%d. %B %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y")
_WITH_NAMES = tuple(form + clock for form in _NAMED for clock in ("", " %H:%M", " %H:%M:%S"))


@dataclass(frozen=True)
class TimeFormat:
    """One way to write a time."""

    name: str
    """As people are told: `as day.month.year`."""
    read: Callable[[pa.Array], pa.Array | None]
    """Text without null as kind, in UTC where it has a zone; none where one is written otherwise."""
    kind: pa.DataType = STAMP


def given(form: str) -> TimeFormat:
    """The format that the job gives, as of Python's strptime."""
    return TimeFormat(f"as {form}", lambda values: _python(values, (form,)))


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array | None:
    try:
        # Nanoseconds are read and cut: microseconds are what a float of days can tell apart anyway.
        return values.cast(pa.timestamp("ns", kind.tz)).cast(kind, safe=False).cast(STAMP)
    except pa.ArrowInvalid:
        try:
            return values.cast(kind).cast(STAMP)
        except pa.ArrowInvalid:
            return None


def _rewritten(pattern: str, iso: str) -> Callable[[pa.Array], pa.Array | None]:
    """A reader of dates of digits, whose groups in pattern iso orders; what is not in the calendar is no date."""

    def read(values: pa.Array) -> pa.Array | None:
        whole = rf"^{pattern}{_CLOCK}$"
        if not pc.all(pc.match_substring_regex(values, whole)).as_py():
            return None
        text = pc.replace_substring_regex(values, whole, rf"{iso}\4")
        text = pc.replace_substring_regex(text, r"-(\d)\b", r"-0\1")
        text = pc.replace_substring_regex(text, r"([T ])(\d):", r"\10\2:")
        return _cast(text, STAMP)

    return read


def _python(values: pa.Array, forms: Sequence[str]) -> pa.Array | None:
    unique = values.dictionary_encode()
    times = []
    for text in unique.dictionary:
        time = _first(text.as_py(), forms)
        if time is None:
            return None
        times.append(time)
    return pa.array(times, STAMP).take(unique.indices)


def _first(text: str, forms: Sequence[str]) -> datetime | None:
    for form in forms:
        try:
            time = datetime.strptime(text, form)  # noqa: DTZ007 - a zone is taken off below, where there is one
        except ValueError:
            continue
        return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)
    return None


def _months(values: pa.Array) -> pa.Array | None:
    if not pc.all(pc.match_substring_regex(values, r"^[12]\d{3}-(0[1-9]|1[0-2])$")).as_py():
        return None
    return _cast(pc.binary_join_element_wise(values, "-01", ""), STAMP)


def _clocks(values: pa.Array) -> pa.Array | None:
    """Times of the day as seconds since midnight, double."""
    found = pc.extract_regex(values, r"^(?P<h>[01]?\d|2[0-3]):(?P<m>[0-5]\d)(?::(?P<s>[0-5]\d(?:\.\d+)?))?$")
    if found.null_count:
        return None
    hours, minutes, seconds = (pc.struct_field(found, name) for name in "hms")
    seconds = pc.if_else(pc.equal(seconds, ""), "0", seconds)
    minutes = pc.add(pc.multiply(hours.cast(pa.float64()), 60.0), minutes.cast(pa.float64()))
    return pc.add(pc.multiply(minutes, 60.0), seconds.cast(pa.float64()))


DAY_FIRST = tuple(
    TimeFormat(
        f"as day{sign}month{sign}year", _rewritten(rf"(\d{{1,2}})[{sign}](\d{{1,2}})[{sign}](\d{{4}})", r"\3-\2-\1")
    )
    for sign in ("/", ".", "-")
)
MONTH_FIRST = tuple(
    TimeFormat(
        f"as month{sign}day{sign}year", _rewritten(rf"(\d{{1,2}})[{sign}](\d{{1,2}})[{sign}](\d{{4}})", r"\3-\1-\2")
    )
    for sign in ("/", "-")
)
FORMATS = (
    TimeFormat("", lambda values: _cast(values, STAMP)),
    TimeFormat("with time zones, now in UTC", lambda values: _cast(values, pa.timestamp("us", "UTC"))),
    TimeFormat("as year/month/day", _rewritten(r"(\d{4})[/.](\d{1,2})[/.](\d{1,2})", r"\1-\2-\3")),
    TimeFormat("as year-month", _months),
    TimeFormat("with names of months", lambda values: _python(values, _WITH_NAMES)),
    TimeFormat("as times of the day, now seconds since midnight", _clocks, pa.float64()),
    *DAY_FIRST,
    *MONTH_FIRST,
)  # fmt: skip
"""Those that are tried where the job gives none; at most one of each two that could mean different days is certain."""


def formats(day_first: bool | None) -> list[TimeFormat]:
    """Those that are tried; where it is known whether the day comes before the month, none that says otherwise."""
    other = () if day_first is None else MONTH_FIRST if day_first else DAY_FIRST
    return [form for form in FORMATS if form not in other]


def choose(alive: Sequence[TimeFormat]) -> TimeFormat | None:
    """The one of the formats that fit all values; none where day and month may be either way round."""
    if any(form in MONTH_FIRST for form in alive) and any(form in DAY_FIRST for form in alive):
        return None
    return alive[0] if alive else None
