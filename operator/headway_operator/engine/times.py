"""Times: seconds since the epoch inside, RFC 3339 in UTC with whole seconds in a status."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

LONGEST = 64
"""In characters: what is longer is not kept, whoever wrote it."""
KEPT = 1024
"""So many times are kept at hand in either form: a status is full of the same ones, look after look."""


def to_text(seconds: float) -> str:
    """RFC 3339, rounded down to the second."""
    return _to_text(int(seconds))


@lru_cache(KEPT)
def _to_text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_seconds(text: str | None) -> float | None:
    """The time as seconds since the epoch; None for an absent or unreadable time."""
    if not text:
        return None
    return _to_seconds(text) if len(text) <= LONGEST else _parsed(text)


@lru_cache(KEPT)
def _to_seconds(text: str) -> float | None:
    return _parsed(text)


def _parsed(text: str) -> float | None:
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
