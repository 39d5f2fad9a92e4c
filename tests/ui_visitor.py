"""Who visits the pages of `headway ui` in unit tests: asks over HTTP, and reads what a page has."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from headway_cli.ui.guard import Keys

VOID = frozenset({"meta", "link", "input", "br", "hr", "img", "col"})


@dataclass
class Element:
    """An element of a page."""

    tag: str
    attributes: dict[str, str]
    inner: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in it, with single spaces."""
        parts = [each if isinstance(each, str) else each.text for each in self.inner]
        return " ".join(" ".join(parts).split())

    def all(self, tag: str = "", **attributes: str) -> list[Element]:
        """The elements in it, in their order, with a tag and with words in attributes (`class_` for class)."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        found = []
        for each in self.inner:
            if isinstance(each, Element):
                fits = all(value in each.attributes.get(name, "").split() for name, value in wanted.items())
                found += [each] if fits and (not tag or each.tag == tag) else []
                found += each.all(tag, **attributes)
        return found

    def one(self, tag: str = "", **attributes: str) -> Element:
        """The only one."""
        (found,) = self.all(tag, **attributes)
        return found

    def rows(self) -> list[list[str]]:
        """The cells of a table's rows, the heads first."""
        return [[cell.text for cell in row.inner if isinstance(cell, Element)] for row in self.all("tr")]


class _Reader(HTMLParser):
    """Reads a page, and fails where its elements do not close each other in order."""

    def __init__(self) -> None:
        super().__init__()
        self.top = Element("", {})
        self._open = [self.top]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].inner.append(made)
        if tag not in VOID:
            self._open.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].inner.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        last = self._open.pop()
        assert last.tag == tag, f"<{last.tag}> is closed by </{tag}>"

    def handle_data(self, data: str) -> None:
        self._open[-1].inner.append(data)


def read(page: str) -> Element:
    """A page's elements."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.top


@dataclass
class Visitor:
    """Asks for pages."""

    client: TestClient[Any, Any]
    keys: Keys

    async def enter(self) -> None:
        """Open the address that was printed."""
        answer = await self.ask(f"/?key={self.keys.first}")
        assert answer.status == 200

    async def ask(self, path: str, method: str = "GET", **headers: str) -> ClientResponse:
        """An answer, its text read."""
        answer = await self.client.request(
            method, path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        await answer.read()
        return answer

    async def page(self, path: str, status: int = 200) -> Element:
        """A page of HTML, in which no element is broken."""
        answer = await self.ask(path)
        text = await answer.text()
        assert answer.status == status, text
        assert answer.content_type == "text/html"
        return read(text)
