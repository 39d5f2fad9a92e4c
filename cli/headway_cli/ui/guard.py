"""Who may ask: a browser of this machine's user, for this machine's name, and nobody whom another web page sends."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from types import MappingProxyType

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from multidict import MultiMapping

HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
        "Server": "headway",
    }
)
"""On every answer."""
COOKIE = "headway-ui"
_NAME = r"(127\.0\.0\.1|localhost|\[::1\])"
_HOST = re.compile(rf"{_NAME}(:\d{{1,5}})?", re.ASCII)
_HOST_WITH_PORT = re.compile(rf"{_NAME}:\d{{1,5}}", re.ASCII)
"""What a browser calls us, also through a forwarded port. Another name that leads here is an attacker's."""
_ENTER = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Headway</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<p><a href="/">Continue to Headway</a></p></html>
"""


class Keys:
    """The key of the first address, and what a browser has afterwards in its place. Both are lost with the process."""

    def __init__(self) -> None:
        self.first = secrets.token_urlsafe(24)
        self._session = secrets.token_urlsafe(24)

    def opens(self, query: MultiMapping[str]) -> bool:
        """Whether the address has the key."""
        return _same(query.get("key", ""), self.first)

    def knows(self, cookies: Mapping[str, str], host: str) -> bool:
        """Whether the browser was let in before. host: what it calls us."""
        return _same(cookies.get(cookie_at(host), ""), self._session)

    def enter(self, host: str) -> web.Response:
        """Let a browser in, and have it leave the address with the key. host: what it calls us.

        Not by a redirect: after a click on a link elsewhere a browser would follow that without the cookie.
        """
        answer = web.Response(text=_ENTER, content_type="text/html", headers={"Refresh": "0; url=/"})
        answer.set_cookie(cookie_at(host), self._session, httponly=True, samesite="Strict", path="/")
        return answer


def cookie_at(host: str) -> str:
    """The name of the cookie of a server that a browser calls so.

    Browsers send a cookie to all ports of a host, so two of these servers must not put out each other's; and a name
    that is another one each time would leave one more with every start, until no request has room for them.
    """
    return f"{COOKIE}-{host.rpartition(':')[2] if _HOST_WITH_PORT.fullmatch(host) else 80}"


def _same(given: str, wanted: str) -> bool:
    """Whether a secret is the one, which takes as long where it is not. given: whatever bytes have come."""
    return secrets.compare_digest(given.encode(errors="surrogateescape"), wanted.encode())


def guard(keys: Keys) -> Middleware:
    """The middleware that lets in nobody else. Static files need no key: they are the same for all."""

    @web.middleware
    async def judged(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        if not _HOST.fullmatch(host):
            raise web.HTTPMisdirectedRequest(text="this server answers for 127.0.0.1 and localhost alone")
        if request.method not in ("GET", "HEAD"):
            raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD"], text="this server is only read")
        if keys.opens(request.query):
            return keys.enter(host)
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            # Pages at other ports of this machine are of the same site, so their requests would have the cookie.
            raise web.HTTPForbidden(text="another web page has sent this request: type the address yourself")
        if not request.path.startswith("/static/") and not keys.knows(request.cookies, host):
            raise web.HTTPUnauthorized(text="open the address that `headway ui` has printed: it has a key in it")
        return await handler(request)

    return judged
