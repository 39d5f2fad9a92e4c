"""A proxy before a server that lets in whoever has a token, as those before real trackers do; it can be closed."""

from __future__ import annotations

import http.client
import http.server
import threading
from urllib.parse import urlsplit

from ports import free_port


class _Handler(http.server.BaseHTTPRequestHandler):
    """Hands requests on as they are, the name by which the server was called among it."""

    upstream: str
    token: str

    def do_GET(self) -> None:
        """See http.server."""
        self._hand_on()

    def do_POST(self) -> None:
        """See http.server."""
        self._hand_on()

    def _hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != f"Bearer {self.token}":
            self._answer(401, "text/plain", b"who are you?")
            return
        connection = http.client.HTTPConnection(self.upstream, timeout=30)
        try:
            kept = {name: self.headers[name] for name in ("Host", "Content-Type") if name in self.headers}
            connection.request(self.command, self.path, body or None, kept)
            answer = connection.getresponse()
            self._answer(answer.status, answer.getheader("Content-Type") or "text/plain", answer.read())
        finally:
            connection.close()

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


class Gate:
    """The way to a server: open to those with the token, or closed to all."""

    def __init__(self, host: str, upstream: str, token: str) -> None:
        """host: the address of this machine that it listens at. upstream: the server's URI."""
        self._address = (host, free_port())
        self._handler = type("Handler", (_Handler,), {"upstream": urlsplit(upstream).netloc, "token": token})
        self._server: http.server.ThreadingHTTPServer | None = None

    @property
    def port(self) -> int:
        """Where it listens while it is open."""
        return self._address[1]

    def open(self) -> None:
        """Let requests in, unless it does already."""
        if self._server is None:
            self._server = http.server.ThreadingHTTPServer(self._address, self._handler)
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections, as where no server runs."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
