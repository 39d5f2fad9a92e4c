"""Dashboards drawn to pictures by hack/dashboards/render: Grafana's published parts in a headless Chromium."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from headway_dashboards.parts import Json

RENDER = Path(__file__).resolve().parents[1] / "render"
INSTALL_SECONDS, BUNDLE_SECONDS, DRAW_SECONDS = 900, 300, 240
WIDTH, ROW, MARGIN = 1616, 38, 60
"""Pixels: of the window, of a unit of the grid, and of what is above and below it; main.jsx has the same."""
VIRTUAL_MILLISECONDS = 60_000
"""Of the page's own time, within which it has to be done. It stands still while answers are waited for."""
COLOURS = 128
"""Of a picture: half the size of one with all colours, and nobody sees it."""
_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What is drawn: from when to when, in seconds since the epoch, and what is chosen at the top."""

    since: int
    until: int
    step: int = 30
    scrape: int = 30
    """Seconds between two points, and between two scrapes."""
    values: Mapping[str, str] = field(default_factory=dict)


def why_not() -> str | None:
    """What keeps this machine from drawing; None where nothing does."""
    for words in (("node",), ("npm",), _CHROMIUMS):
        if not any(shutil.which(word) for word in words):
            return f"drawing dashboards needs {words[0]}, and there is none on PATH"
    return None


def draw(
    page: Path, dashboard: Json, prometheus: str, moment: Moment, picture: Path, *, may_be_empty: Sequence[str] = ()
) -> list[str]:
    """Draw a dashboard into a PNG; what was wrong, each with the panel's title.

    page: what `bundled` gives. prometheus: its address. may_be_empty: titles of panels that may find nothing.
    """
    config = {
        "dashboard": dashboard, "prometheus": prometheus, "from": moment.since, "to": moment.until,
        "step": moment.step, "scrape": moment.scrape, "values": dict(moment.values), "mayBeEmpty": list(may_be_empty),
    }  # fmt: skip
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"]) * ROW + MARGIN
    chromium = next(found for name in _CHROMIUMS if (found := shutil.which(name)))
    with _served(page, json.dumps(config)) as served, tempfile.TemporaryDirectory() as profile:
        words = [
            chromium, "--headless=new", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
            f"--user-data-dir={profile}", f"--window-size={WIDTH},{height}", f"--screenshot={picture}",
            f"--virtual-time-budget={VIRTUAL_MILLISECONDS}", *(["--no-sandbox"] if os.geteuid() == 0 else []),
            f"http://127.0.0.1:{served.server_address[1]}/index.html",
        ]  # fmt: skip
        done = subprocess.run(words, capture_output=True, text=True, timeout=DRAW_SECONDS, check=False)
        told = served.told
    if told is None or not picture.is_file():
        return [f"page: nothing was drawn\n{done.stderr[-4000:]}"]
    _shrink(picture)
    return [f"{one['where']}: {one['what']}" for one in json.loads(told)]


def bundled(cache: Path) -> Path:
    """The page that draws, in one folder; its packages are installed first, if they are not in the cache yet."""
    parts = _installed(cache)
    sources = sorted(path for path in RENDER.iterdir() if path.suffix in (".js", ".jsx", ".html"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    page = parts / f"page-{digest}"
    with _locked(parts / "page.lock"):
        if not (page / "index.html").is_file():
            esbuild = next(parts.glob("node_modules/@esbuild/*/bin/esbuild"))
            words = [
                str(esbuild), str(RENDER / "main.jsx"), "--bundle", "--minify", "--log-level=error",
                f"--outfile={page / 'page.js'}", "--define:process.env.NODE_ENV=\"production\"",
                "--loader:.svg=dataurl", "--loader:.ttf=empty",
            ]  # fmt: skip
            _run(words, BUNDLE_SECONDS, cwd=parts, NODE_PATH=str(parts / "node_modules"))
            shutil.copy(RENDER / "index.html", page / "index.html")
    return page


def _installed(cache: Path) -> Path:
    lock = RENDER / "package-lock.json"
    parts = cache / f"grafana-parts-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    parts.mkdir(parents=True, exist_ok=True)
    with _locked(parts / "install.lock"):
        if not (parts / "installed").is_file():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(RENDER / name, parts / name)
            _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], INSTALL_SECONDS, cwd=parts)
            (parts / "installed").touch()
    return parts


def _run(words: list[str], seconds: float, *, cwd: Path, **environment: str) -> None:
    done = subprocess.run(
        words, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=seconds, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words[:2])} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Server(ThreadingHTTPServer):
    """Serves the page and what it is to draw, and takes what it tells."""

    def __init__(self, page: Path, config: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.page, self.config = page, config
        self.told: str | None = None


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """A file of the page, or what it is to draw."""
        name = self.path.partition("?")[0].strip("/")
        if name == "config.json":
            self._answer(200, "application/json", self.server.config.encode())
        elif name in ("index.html", "page.js", "page.css"):
            file = self.server.page / name
            self._answer(200, _TYPES[file.suffix], file.read_bytes())
        else:
            self._answer(404, "text/plain", b"")

    def do_POST(self) -> None:
        """What was wrong."""
        self.server.told = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer(204, "text/plain", b"")

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""

    def _answer(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def _served(page: Path, config: str) -> Iterator[_Server]:
    server = _Server(page, config)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _shrink(picture: Path) -> None:
    from PIL import Image

    with Image.open(picture) as image:
        small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(picture, optimize=True)
