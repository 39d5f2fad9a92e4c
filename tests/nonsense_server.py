"""A server at a tracker's address that is none."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers of a server that is none of MLflow's."""

    asked: list[str]
    how: str

    def do_GET(self) -> None:
        self.asked.append(self.path)
        getattr(self, f"_{self.how}")()

    def _redirect(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/latest/meta-data/iam")
        self.end_headers()

    def _garbage(self) -> None:
        self._say(b"\x1b[2J\x00\xff" * 100_000)

    def _wrong(self) -> None:
        self._say(b'{"experiment": {"experiment_id": [1], "name": ' + b"[" * 5000 + b"]" * 5000 + b"}}")

    def _cut(self) -> None:
        self._say(b"{", length=10**10)

    def _say(self, body: bytes, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@contextlib.contextmanager
def answering(how: str) -> Iterator[tuple[str, list[str]]]:
    """The address of a server, and what it is asked."""
    asked: list[str] = []
    handler = type("Handler", (Answers,), {"asked": asked, "how": how})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()
