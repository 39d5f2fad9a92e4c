"""JSON in memory: compressed where it is large, left out where it is larger than anything that could be acted upon."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

COMPRESSED_FROM = 4096
LARGEST = 512 * 1024
"""In bytes. Twice what the templates and options of a valid spec may add up to: what is larger is not kept."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A JSON value."""

    data: bytes
    size: int
    """Of the text, in bytes."""

    @property
    def too_large(self) -> bool:
        """Whether the value was left out for its size."""
        return self.size > LARGEST

    def text(self) -> str:
        """The JSON text; that of an empty mapping where the value was left out."""
        if self.too_large:
            return "{}"
        return (zlib.decompress(self.data) if self.size >= COMPRESSED_FROM else self.data).decode()

    def value(self) -> Any:
        """The value."""
        return json.loads(self.text())


def pack(value: Any) -> Packed:
    """Pack a value."""
    return packed_text(json.dumps(value, separators=(",", ":")))


def packed_text(text: str) -> Packed:
    """Pack a JSON text."""
    data = text.encode()
    if len(data) > LARGEST:
        return Packed(b"", len(data))
    return Packed(zlib.compress(data, 1) if len(data) >= COMPRESSED_FROM else data, len(data))
