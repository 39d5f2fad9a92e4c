"""Texts within bounds: what is said of a job ends up in objects that take only so much."""

from __future__ import annotations

MESSAGE_LIMIT = 1024
LAST_WORDS = 600
"""How much of the end of a log is told."""


def bounded(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """The text, cut to `limit` characters."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def bounded_bytes(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """The text, cut to `limit` bytes of UTF-8, which is how Kubernetes counts the note of an Event."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode()
    return data[: limit - 3].decode("utf-8", "ignore") + "..."
