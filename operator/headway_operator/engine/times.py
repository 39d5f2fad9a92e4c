"""Times: seconds since the epoch inside, RFC 3339 in UTC with whole seconds in a status."""

from __future__ import annotations

from datetime import UTC, datetime


def to_text(seconds: float) -> str:
    """RFC 3339, rounded down to the second."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_seconds(text: str | None) -> float | None:
    """The time as seconds since the epoch; None for an absent or unreadable time."""
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
