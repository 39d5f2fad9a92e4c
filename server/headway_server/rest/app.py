"""The ASGI application of the data port: from a path and a body to an answer, and every error as `{"error": ...}`."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote

import orjson

from headway_api.rollout_wire import HOP_HEADER, ROUTE_HEADER, VERSION_HEADER, Route
from headway_server import explain
from headway_server.about import server_version
from headway_server.errors import InvalidRequest, MethodNotAllowed, NotFound, RequestError
from headway_server.http.answering import Header, Send, error_headers
from headway_server.model import Tensors
from headway_server.rest import body, documents, instances
from headway_server.rest.answer import Answer, encode
from headway_server.rest.request import decode, document, request_id
from headway_server.service import Service
from headway_server.split.splitter import Splitter

Scope = MutableMapping[str, Any]
Handler = Callable[[Scope, body.Receive], Awaitable[Answer]]
Run = Callable[[float | None], Awaitable[Answer]]
_LEAST_COMPRESSED = 1024
"""Answers that are shorter gain nothing."""
_MOST_DIGITS = 12
_VERSION, _HOP = VERSION_HEADER.encode(), HOP_HEADER.encode()
_WANTED = frozenset(
    {
        *(b"content-length", b"content-encoding", b"accept-encoding", b"inference-header-content-length"),
        *(_HOP, ROUTE_HEADER.encode()),
    }
)
_PROBES = ("/live", "/ready")
_ALLOWED = {True: b"GET, HEAD", False: b"POST"}
logger = logging.getLogger(__name__)


class App:
    """Answers the requests of one port. access: is told of each request: method, path, status, seconds, bytes."""

    def __init__(self, service: Service, access: Callable[[str, str, int, float, int], None] | None = None) -> None:
        self._service = service
        self._model = service.model
        self._access = access
        self._memory = body.Memory(service.settings.http)
        self._columns = instances.Columns(service.model)
        self._explainer = explain.Explainer(service.model)
        self._version = server_version()
        self._number = service.model.version.encode()
        self._by_version = f"/v2/models/{service.model.name}/versions/{service.model.version}/infer"
        self._get, self._post = self._routes()
        self._load = service.batcher.load

    async def __call__(self, scope: Scope, receive: body.Receive, send: Send) -> None:
        """Answer one request."""
        start = time.perf_counter()
        headers = {name: value for name, value in scope["headers"] if name in _WANTED}
        scope["wanted"] = headers
        extra: list[Header] = []
        try:
            answer = await self._handler(scope)(scope, receive)
        except RequestError as error:
            answer = self._failed(error, extra)
        except body.Gone:
            return
        except Exception:
            logger.exception("a request could not be answered")
            answer = self._failed(RequestError("the server has a fault, which its log tells"), extra)
        data = answer.body
        if len(data) >= _LEAST_COMPRESSED and b"accept-encoding" in headers:
            data, name = body.compressed(data, headers[b"accept-encoding"])
            if name is not None:
                extra.append((b"content-encoding", name))
        if answer.header_length is not None:
            extra.append((b"inference-header-content-length", b"%d" % answer.header_length))
        if self._service.draining:
            extra.append((b"connection", b"close"))
        told = [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", b"%d" % len(data)),
            (_VERSION, answer.version or self._number),
            *answer.more,
            *extra,
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": told})
        await send({"type": "http.response.body", "body": data})
        if self._access is not None:
            self._access(scope["method"], scope["path"], answer.status, time.perf_counter() - start, len(data))

    def _failed(self, error: RequestError, headers: list[Header]) -> Answer:
        self._service.metrics.failed("rest", error)
        headers += error_headers(error)
        return Answer(orjson.dumps({"error": str(error)}), status=error.status)

    def _routes(self) -> tuple[dict[str, Handler], dict[str, Handler]]:
        model, records = self._model, self._service.recorder is not None
        get: dict[str, Handler] = {
            "/v2": self._told(lambda: documents.server_metadata(self._version)),
            "/v2/health/live": self._told(lambda: {"live": True}),
            "/v2/health/ready": self._told(lambda: {"live": True, "ready": True}, ready=True),
            "/v2/models": self._told(lambda: {"models": [model.name]}),
            "/openapi.json": self._told(lambda: documents.openapi(model, self._version, records=records)),
        }
        post: dict[str, Handler] = {
            "/v2/repository/index": self._index,
            f"/v1/models/{model.name}:predict": self._predict,
        }
        get["/v2/"] = get["/v2"]
        for base in (f"/v2/models/{model.name}", f"/v2/models/{model.name}/versions/{model.version}"):
            get[base] = self._told(lambda: documents.model_metadata(model))
            get[f"{base}/ready"] = self._told(lambda: {"name": model.name, "ready": True}, ready=True)
            post[f"{base}/infer"] = self._infer
            post[f"{base}/feedback"] = self._feedback
        return get, post

    def _handler(self, scope: Scope) -> Handler:
        """Raises NotFound or MethodNotAllowed."""
        method, path = scope["method"], scope["path"]
        found = self._post.get(path) if method == "POST" else self._get.get(path) if method in ("GET", "HEAD") else None
        if found is not None:
            # Probes are no traffic: what is only looked at may be taken for idle.
            if not path.endswith(_PROBES):
                self._load.asked += 1
            return found
        split = self._service.split
        if split is not None and method == "POST" and (route := split.named(scope)) is not None:
            self._load.asked += 1
            return partial(self._relay, split, route)
        if path in self._get or path in self._post:
            allowed = _ALLOWED[path in self._get].decode()
            raise MethodNotAllowed(f"{quote(path)} is for {allowed}", allowed)
        shown = quote(path[:200])
        parts = path.split("/")
        if parts[:3] == ["", "v2", "models"] and len(parts) > 3:  # noqa: PLR2004 - /v2/models/name
            if parts[3] != self._model.name:
                raise NotFound(f"{shown}: the model that is served here is {self._model.name}")
            if parts[4:5] == ["versions"]:
                raise NotFound(
                    f"{shown}: the version of {self._model.name} that is served here is {self._model.version}"
                )
        raise NotFound(f"{shown} is no path of this server: /openapi.json tells which there are")

    def _told(self, tell: Callable[[], Any], *, ready: bool = False) -> Handler:
        """A document. ready: only where new requests are welcome."""

        async def handler(scope: Scope, receive: body.Receive) -> Answer:  # noqa: ARG001 - a Handler
            if ready:
                self._service.check_ready()
            return Answer(orjson.dumps(tell()))

        return handler

    async def _infer(self, scope: Scope, receive: body.Receive) -> Answer:
        start = time.perf_counter()
        service, model = self._service, self._model
        service.check_taking()
        service.batcher.admit()
        wanted = scope["wanted"]
        header_length = wanted.get(b"inference-header-content-length")
        data, held = await self._read(wanted, receive)
        try:
            json_bytes = None if header_length is None else _whole(header_length, "Inference-Header-Content-Length")
            request = decode(data, json_bytes, model, service.settings.bounds)
            if (name := service.named(request.id)) != request.id:
                request = replace(request, id=name)

            async def run(seconds: float | None) -> Answer:
                outputs = await service.submit(request.feeds, request.rows, seconds)
                answer = encode(request, outputs, model)
                service.record("rest", start, request.id, request.feeds, outputs)
                return answer

            answer = await self._answer(scope, data, (request.feeds, request.rows), request.timeout, run)
        finally:
            self._memory.held -= held
        service.metrics.answered("rest", time.perf_counter() - start)
        return answer

    async def _predict(self, scope: Scope, receive: body.Receive) -> Answer:
        start = time.perf_counter()
        service = self._service
        service.check_taking()
        service.batcher.admit()
        data, held = await self._read(scope["wanted"], receive)
        try:
            told = document(data, service.settings.bounds)
            feeds, rows = self._columns.feeds(told, service.settings.bounds)
            name = service.named(request_id(told))
            wide = self._explainer.widened(feeds, rows) if explain.asked(told) else None

            async def run(seconds: float | None) -> Answer:
                outputs, effects = await self._explained(feeds, rows, seconds, wide)
                said: dict[str, Any] = {"predictions": instances.predictions(outputs, self._model)}
                if effects is not None:
                    said["explanations"] = effects
                if name is not None:
                    said["id"] = name
                service.record("rest", start, name, feeds, outputs)
                return Answer(orjson.dumps(said))

            answer = await self._answer(scope, data, (wide or feeds, rows), None, run)
        finally:
            self._memory.held -= held
        service.metrics.answered("rest", time.perf_counter() - start)
        return answer

    async def _explained(
        self, feeds: Tensors, rows: int, seconds: float | None, wide: Tensors | None
    ) -> tuple[Tensors, list[explain.Effects] | None]:
        """The outputs for these rows, and what each column does to them where that is asked for."""
        if wide is None:
            return await self._service.submit(feeds, rows, seconds), None
        outputs = await self._service.submit(wide, len(next(iter(wide.values()))), seconds)
        return explain.first(outputs, rows), self._explainer.effects(outputs, rows)

    async def _answer(
        self, scope: Scope, data: bytes, asked: tuple[Tensors, int], given: float | None, run: Run
    ) -> Answer:
        """The answer of the version that the request is for: this one, where it says so itself.

        asked: the tensors that the own model would be run on, and their rows. given: the seconds that the client gives.
        run: the own model.
        """
        split = self._service.split
        if split is None or scope["path"] == self._by_version:
            return await run(given)
        feeds, rows = asked
        return await split.rest(scope, data, rows, given, run, remembered=self._service.remembers(feeds))

    async def _relay(self, split: Splitter, route: Route, scope: Scope, receive: body.Receive) -> Answer:
        """What the candidate says to a request that names it."""
        self._service.check_taking()
        data, held = await self._read(scope["wanted"], receive)
        try:
            return await split.relay(route, scope, data)
        finally:
            self._memory.held -= held

    async def _feedback(self, scope: Scope, receive: body.Receive) -> Answer:
        """Labels that come later, for requests by their ids."""
        recorder = self._service.recorder
        if recorder is None:
            raise NotFound("labels are not taken here, as no records of requests are kept: turn records on")
        data, held = await self._read(scope["wanted"], receive)
        try:
            taken = recorder.labelled(data)
        finally:
            self._memory.held -= held
        return Answer(orjson.dumps({"accepted": taken}), status=202)

    async def _index(self, scope: Scope, receive: body.Receive) -> Answer:
        data, held = await self._read(scope["wanted"], receive)
        try:
            only_ready = bool(document(data, self._service.settings.bounds).get("ready")) if data else False
        finally:
            self._memory.held -= held
        ready = self._service.ready
        return Answer(orjson.dumps(documents.index(self._model, ready=ready) if ready or not only_ready else []))

    async def _read(self, wanted: Mapping[bytes, bytes], receive: body.Receive) -> tuple[bytes, int]:
        """The body, decompressed, and how many bytes are held for it, to be given back."""
        length = wanted.get(b"content-length")
        data, held = await body.read(
            receive, None if length is None else _whole(length, "Content-Length"), self._memory
        )
        encoding = wanted.get(b"content-encoding")
        if encoding is None:
            return data, held
        try:
            data = body.decompressed(data, encoding, self._memory.limits.max_request_bytes)
            self._memory.take(len(data))
        except BaseException:
            self._memory.held -= held
            raise
        return data, held + len(data)


def _whole(value: bytes, name: str) -> int:
    if not value.isdigit() or len(value) > _MOST_DIGITS:
        raise InvalidRequest(f"{name} must be a whole number, not {value[:40].decode('latin-1')!r}")
    return int(value)
