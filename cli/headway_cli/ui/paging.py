"""Long tables in pages. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
SIZE = 50
"""Rows of a page."""


@dataclass(frozen=True)
class Pager(Generic[Item]):
    """A page of a table."""

    items: Sequence[Item]
    number: int
    """Counted from 1."""
    pages: int
    """At least 1."""
    first: int
    """The number of its first row, counted from 1; 0 where there is none."""
    total: int

    @property
    def last(self) -> int:
        """The number of its last row."""
        return self.first + len(self.items) - 1 if self.items else 0


def page_of(items: Sequence[Item], number: int, size: int = SIZE) -> Pager[Item]:
    """The page of a number, or the last one where there are fewer."""
    pages = max(1, -(-len(items) // size))
    number = min(max(number, 1), pages)
    start = (number - 1) * size
    return Pager(items[start : start + size], number, pages, start + 1 if items else 0, len(items))
