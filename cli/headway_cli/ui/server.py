"""The server of the pages: who is let in, which page answers, and what becomes of errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from headway_cli.cluster.errors import (
    ClusterError,
    ForbiddenError,
    NotFoundError,
    NotInstalledError,
    TimedOutError,
    UnreachedError,
)
from headway_cli.cluster.kubectl import is_name
from headway_cli.ui.asking import Asked, BadQuestionError, Data, Plain, Route, Site, View
from headway_cli.ui.guard import HEADERS, Keys, guard
from headway_cli.ui.pages import ROUTES
from headway_cli.ui.templating import environment, rendered

STATIC = Path(__file__).parent / "static"
MOST_WAITING = 64
"""Requests that are being answered, or wait for that; a browser with many tabs has a dozen."""
MOST_WORDS, MOST_WORD = 24, 300
"""Of a query string: words, and characters of one."""
_STATUS: tuple[tuple[type[ClusterError], int], ...] = (
    (BadQuestionError, 400),
    (NotFoundError, 404),
    (ForbiddenError, 403),
    (NotInstalledError, 501),
    (UnreachedError, 502),
    (TimedOutError, 504),
)
_TITLES = {
    400: "This address cannot be meant",
    401: "This page needs its key",
    403: "This is not allowed",
    404: "This is not there",
    405: "This page can only be read",
    421: "This is not the server that is meant",
    501: "Headway is not installed in this cluster",
    502: "The cluster was not reached",
    503: "Too much is asked for at once",
    504: "The cluster did not answer in time",
}
_OTHERWISE = "This went wrong"
_LOG = logging.getLogger("headway.ui")


class Pages:
    """The pages of a site."""

    def __init__(self, site: Site, keys: Keys, executor: Executor, now: Callable[[], datetime]) -> None:
        self._site, self._keys, self._executor, self._now = site, keys, executor, now
        self._templates = environment(self._address, [route.name for route in ROUTES])
        self._by_name = {route.name: route for route in ROUTES}
        self._asked = 0

    def app(self) -> web.Application:
        """The application."""
        made = web.Application(
            middlewares=[self._told, guard(self._keys)],
            client_max_size=1,  # nobody sends a body
        )
        made.on_response_prepare.append(_with_headers)
        for route in ROUTES:
            made.router.add_get(route.path, self._handler(route))
        made.router.add_static("/static", STATIC)
        return made

    def _address(self, route: str, /, **names: str) -> str:
        return self._by_name[route].address(**names)

    def _handler(self, route: Route) -> Callable[[web.Request], Any]:
        async def answer(request: web.Request) -> web.Response:
            if self._asked >= MOST_WAITING:
                raise web.HTTPServiceUnavailable(text="close some tabs, and ask again", headers={"Retry-After": "2"})
            self._asked += 1
            try:
                asked = self._judged(request)
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._executor, self._answer, route, asked)
            finally:
                self._asked -= 1

        return answer

    def _judged(self, request: web.Request) -> Asked:
        names = dict(request.match_info)
        if bad := [name for name in names.values() if not is_name(name)]:
            raise web.HTTPNotFound(text=f"{bad[0][:64]!r} is no name of an object")
        query = request.query
        if len(query) > MOST_WORDS or any(len(name) + len(value) > MOST_WORD for name, value in query.items()):
            raise web.HTTPBadRequest(text="the address is too long: go on from the page before")
        return Asked(self._site, self._now(), request.path, names, dict(query))

    def _answer(self, route: Route, asked: Asked) -> web.Response:
        """In a thread."""
        try:
            found = route.page(asked)
            if isinstance(found, View):
                return self._page(found, asked)
        except ClusterError as error:
            status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
            if route.data:
                found = Data({"error": str(error)}, status)
            else:
                return self._page(failed(status, str(error)), asked)
        if isinstance(found, Data):
            return web.json_response(text=found.text(), status=found.status)
        assert isinstance(found, Plain)  # noqa: S101 - the types say so
        return web.Response(text=found.text, content_type="text/plain", charset="utf-8")

    def _page(self, view: View, asked: Asked | None) -> web.Response:
        data = {
            **view.data,
            "title": view.title,
            "every": view.every,
            "context": self._site.context if asked is not None else "",
            "navigation": self._navigation(asked.path) if asked is not None else [],
            "path": asked.path if asked is not None else "",
        }
        return web.Response(
            text=rendered(self._templates, view.template, data), status=view.status, content_type="text/html"
        )

    def _navigation(self, path: str) -> list[dict[str, Any]]:
        return [{"label": each.nav, "path": each.path, "current": _current(each, path)} for each in ROUTES if each.nav]

    @property
    def _told(self) -> Middleware:
        """The middleware that makes a page of what went wrong, whoever found it."""

        @web.middleware
        async def told(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                return await handler(request)
            except web.HTTPException as error:
                if error.status < 400 or request.path.startswith("/static/"):  # noqa: PLR2004 - not an error
                    raise
                # Without the head of a page, for who may have no business here.
                page = self._page(failed(error.status, error.text or error.reason), None)
                page.headers.update(
                    {name: error.headers[name] for name in ("Allow", "Retry-After") if name in error.headers}
                )
                return page
            except Exception:
                _LOG.exception("%s failed", request.path)
                return self._page(failed(500, "an error of Headway's own: the terminal of `headway ui` has it"), None)

        return told


def _current(route: Route, path: str) -> str:
    """What `aria-current` of a link to a route is on the page of a path; "" for none."""
    if path == route.path or (path == "/" and route.name == "jobs"):
        return "page"
    return "true" if path.startswith(f"{route.path}/") else ""


def failed(status: int, said: str) -> View:
    """A page that says what went wrong: its first line, and then what to do."""
    first, *rest = said.splitlines() or [""]
    data = {"status": status, "said": first, "advice": rest}
    return View("error.html", _TITLES.get(status, _OTHERWISE), data, status)


async def _with_headers(_request: web.Request, answer: web.StreamResponse) -> None:
    answer.headers.update(HEADERS)
