"""The site in a real browser: its search finds a page, and reading it asks no other host."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from browser import Browser, Page, why_not
from headway_site.__main__ import build

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, as `python -m http.server` does, and prints nothing."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of http.server
        """Not told."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of the site."""
    build(tmp_path / "site")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path / "site")))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_reader_finds_a_page_by_the_search_and_no_other_host_is_asked(served: str, browser: Browser) -> None:
    page = Page(browser)
    page.goto(f"{served}/index.html?q=goodput")
    page.wait_for("document.querySelector('.md-search-result__link')")
    found = page.evaluate("[...document.querySelectorAll('.md-search-result__link')].map(one => one.href).join(' ')")
    assert "docs/explanation/clocks.html" in found
    page.size(390, 800)
    for path in ("index.html", "docs/tutorial.html", "docs/reference/cli.html", "docs/how-to/grafana.html"):
        page.goto(f"{served}/{path}")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, f"{path} is {width} pixels wide on a telephone"
        pictures = page.evaluate("[...document.images].filter(one => !one.naturalWidth).map(one => one.src).join(' ')")
        assert pictures == "", "pictures that are not shown"
    assert page.problems() == []
    asked = [
        event["params"]["request"]["url"]
        for event in browser.events
        if event.get("method") == "Network.requestWillBeSent"
    ]
    assert len(asked) > 10
    assert {urlsplit(url).hostname for url in asked if not url.startswith(("data:", "blob:"))} == {"127.0.0.1"}
