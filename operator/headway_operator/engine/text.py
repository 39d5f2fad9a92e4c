"""Texts that are cut to what a field holds."""

from __future__ import annotations

MESSAGE_LIMIT = 1024


def bounded(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """The text, cut to `limit` characters."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def bounded_bytes(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """The text, cut to `limit` bytes of UTF-8, which is how the API server counts the note of an Event."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode()
    return data[: limit - 3].decode("utf-8", "ignore") + "..."
