"""Times and numbers in words."""

from __future__ import annotations

from datetime import UTC, datetime

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
_KIB = 1 << 10


def instant(text: str) -> datetime | None:
    """A time of the API; None where it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def seconds_since(text: str, now: datetime) -> float | None:
    """How long ago a time of the API is; never less than 0, as clocks differ. None where it is no time."""
    found = instant(text)
    return max(0.0, (now - found).total_seconds()) if found is not None else None


def duration(seconds: float) -> str:
    """How long, in the two largest units: `41 min`, `1 h 12 min`, `3 d 4 h`."""
    whole = int(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min"
    if whole < DAY:
        minutes = whole % HOUR // MINUTE
        return f"{whole // HOUR} h {minutes} min" if minutes else f"{whole // HOUR} h"
    hours = whole % DAY // HOUR
    return f"{whole // DAY} d {hours} h" if hours else f"{whole // DAY} d"


def short(seconds: float | None) -> str:
    """How long, as kubectl's column AGE has it: `41m`, `72m`, `5h`, `3d`."""
    if seconds is None:
        return "<unknown>"
    whole = int(seconds)
    for size, sign, least in ((DAY, "d", 2 * DAY), (HOUR, "h", 3 * HOUR), (MINUTE, "m", 2 * MINUTE)):
        if whole >= least:
            return f"{whole // size}{sign}"
    return f"{whole}s"


def ago(text: str, now: datetime) -> str:
    """When a time of the API was; "" where it is no time."""
    seconds = seconds_since(text, now)
    return "" if seconds is None else f"{duration(seconds)} ago" if seconds >= 1 else "just now"


def grouped(value: float) -> str:
    """A number that people read: 10,480 or 3.2."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits


def in_bytes(size: float) -> str:
    """A number of bytes: 1.5 KiB."""
    units = iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    for larger in units:
        if size < _KIB - 0.5:  # else it would be rounded to 1024
            break
        size, unit = size / _KIB, larger
    return f"{grouped(size)} {unit}"


def brief(value: str) -> str:
    """A metric's value, which the API has as text, with four digits."""
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value
