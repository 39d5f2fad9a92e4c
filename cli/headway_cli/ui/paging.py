"""Long tables in pages. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlencode

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


@dataclass(frozen=True)
class Link:
    """Addresses of the page that is shown, with another choice."""

    path: str
    query: Mapping[str, str]
    """The choice so far; empty words are left out."""

    def page(self, number: int) -> str:
        """The same choice, another page of the table."""
        return self.to(page=str(number))

    def to(self, **changed: str) -> str:
        """Another choice; the first page of it."""
        chosen = {name: value for name, value in {**self.query, **changed}.items() if value}
        return f"{self.path}?{urlencode(chosen)}" if chosen else self.path
