"""What a reader of a page sees, as words: by GitHub's rules from its Markdown, and from a page of the built site."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

from markdown_it import MarkdownIt

COUNTED = ("h1", "h2", "h3", "li", "pre", "tr", "a", "img", "strong")
"""What makes a page's form."""
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src"}
"""Elements that a browser fetches something for, and the attribute that says what."""


class _Reader(HTMLParser):
    """words: the text, without the site's own marks; elements: how often each of COUNTED is there; loaded: what the
    page has a browser fetch. article: whether to read the element `article` alone."""

    def __init__(self, *, article: bool) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: Counter[str] = Counter()
        self.loaded: list[str] = []
        self._on = not article
        self._skipped = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag in LOADED and named.get(LOADED[tag]):
            self.loaded.append(named[LOADED[tag]] or "")
        if tag == "article":
            self._on = True
        if not self._on:
            return
        classes = (named.get("class") or "").split()
        if self._skipped or {"headerlink", "filename", "md-path"} & set(classes):
            self._skipped += tag not in ("img", "br", "hr", "path")
        elif tag in COUNTED and (tag != "a" or "href" in named):
            self.elements[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self._on = False
        if self._skipped:
            self._skipped -= 1

    def handle_data(self, data: str) -> None:
        if self._on and not self._skipped:
            self.words += data.split()


def _read(html: str, *, article: bool) -> _Reader:
    reader = _Reader(article=article)
    reader.feed(html)
    return reader


def on_github(page: Path) -> tuple[str, Counter[str]]:
    """A page's text without spaces, and how often each of COUNTED is in it."""
    html = MarkdownIt("commonmark").enable("table").render(page.read_text())
    reader = _read(html, article=False)
    return "".join(reader.words), reader.elements


def in_the_site(page: Path) -> tuple[str, Counter[str]]:
    """The same of a page's article in the site."""
    reader = _read(page.read_text(), article=True)
    return "".join(reader.words), reader.elements


def loaded(page: Path) -> list[str]:
    """What a browser fetches to show a page of the site."""
    return _read(page.read_text(), article=False).loaded
