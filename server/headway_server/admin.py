"""The ASGI application of the admin port: health and metrics, apart from what clients can fill."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson
from prometheus_client import CONTENT_TYPE_LATEST

from headway_server.errors import RequestError
from headway_server.http.answering import JSON, Send, send_whole
from headway_server.service import Service


class Admin:
    """Answers probes and Prometheus."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],  # noqa: ARG002 - an ASGI application
        send: Send,
    ) -> None:
        """Answer one request."""
        status, kind, data = self._answer(scope["method"], scope["path"])
        await send_whole(send, status, data, kind, [(b"connection", b"close")] if self._service.draining else [])

    def _answer(self, method: str, path: str) -> tuple[int, bytes, bytes]:
        if method not in ("GET", "HEAD"):
            return 405, JSON, orjson.dumps({"error": "this port is for GET"})
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST.encode(), self._service.metrics.text()
        if path == "/v2/health/live":
            return 200, JSON, orjson.dumps({"live": True})
        if path == "/v2/health/ready":
            try:
                self._service.check_ready()
            except RequestError as error:
                return error.status, JSON, orjson.dumps({"error": str(error)})
            return 200, JSON, orjson.dumps({"live": True, "ready": True})
        return 404, JSON, orjson.dumps({"error": "this port has /v2/health/live, /v2/health/ready and /metrics"})
