"""What each call of the two gRPC services answers. Every mistake has a status with a sentence; none is an exception."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import grpc

from headway_api.rollout_wire import VERSION_HEADER, Route
from headway_server.about import PLATFORM, SERVER_NAME, server_version
from headway_server.access import access_log
from headway_server.errors import NotFound, Overloaded, RequestError
from headway_server.grpc import descriptors
from headway_server.grpc.codec import Codec, InferRequest, parsed
from headway_server.grpc.descriptors import Message
from headway_server.model import ServedModel, TensorInfo
from headway_server.service import Service
from headway_server.split.grpc import Called, GrpcSplit
from headway_server.tensors import shown

LOG = logging.getLogger(__name__)
# grpc.aio passes its own context, whose type is not exported.
Context = Any
Answer = Callable[[bytes, Context], Awaitable[bytes]]
_PROBES = ("/ServerLive", "/ServerReady", "/ModelReady", "/Check")
ANSWERED = 200
"""In the access log, which has the statuses of HTTP for both protocols."""
PUSHBACK = "grpc-retry-pushback-ms"
"""Trailing metadata that a client's retry policy obeys: how long to wait before the next attempt (gRPC proposal A6)."""


class Services:
    """Answers for one model: the Open Inference Protocol v2, and gRPC's health checks, which kubelet's probes ask.

    Requests are answered as long as they come, also by a server that is about to end: those that were on their way must
    not fail.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._model = service.model
        self._codec = Codec(service.model, service.settings.bounds.rows)
        self._metadata = _metadata(service.model)
        self._split = None if service.split is None else GrpcSplit(service.split, service.settings)

    async def close(self) -> None:
        """When no request is under way any more."""
        if self._split is not None:
            await self._split.close()

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """What a grpc.aio server is given. Bytes go in and out: a message that cannot be read is our error to tell."""
        inference = {
            "ServerLive": self._live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._infer,
        }
        return (
            self._handler(descriptors.INFERENCE, inference),
            self._handler(descriptors.HEALTH, {"Check": self._check}),
        )

    def _handler(self, name: str, methods: Mapping[str, Answer]) -> grpc.GenericRpcHandler:
        handlers = {
            method: grpc.unary_unary_rpc_method_handler(self._guarded(answer, f"/{name}/{method}"))
            for method, answer in methods.items()
        }
        return grpc.method_handlers_generic_handler(name, handlers)

    def _guarded(self, answer: Answer, path: str) -> Answer:
        """The same, with a status for whatever it raises, and a line in the access log if there is one."""
        service = self._service
        logged = service.settings.access_log
        load, probe = service.batcher.load, path.endswith(_PROBES)

        async def guarded(data: bytes, context: Context) -> bytes:
            start = time.perf_counter()
            if not probe:
                load.asked += 1
            try:
                reply = await answer(data, context)
            except RequestError as error:
                # Its frames hold the message, which is not to wait until the client has heard of the error.
                problem = error.with_traceback(None)
                problem.__context__ = problem.__cause__ = None
            except Exception:
                LOG.exception("a gRPC request could not be answered")
                problem = RequestError("the server has a fault, which its log tells")
            else:
                if logged:
                    access_log("GRPC", path, ANSWERED, time.perf_counter() - start, len(reply))
                return reply
            service.metrics.failed("grpc", problem)
            if logged:
                access_log("GRPC", path, problem.status, time.perf_counter() - start, 0)
            return _refused(context, problem)

        return guarded

    async def _infer(self, data: bytes, context: Context) -> bytes:
        start = time.perf_counter()
        service = self._service
        service.check_taking()
        service.batcher.admit()
        split = self._split
        read = self._request(data, context)
        if isinstance(read, Route):
            reply = await self._relayed(read, data, context)
        else:
            request, drawn = read
            given = [seconds for seconds in (context.time_remaining(), request.timeout) if seconds is not None]
            most = min(given, default=None)
            if split is None:
                reply = await self._run(start, request, most)
            else:
                reply = await self._answered(split, data, context, (start, request, most), drawn=drawn)
        service.metrics.answered("grpc", time.perf_counter() - start)
        return reply

    async def _run(self, start: float, request: InferRequest, given: float | None) -> bytes:
        """The own model's reply."""
        service = self._service
        request = request._replace(id=service.named(request.id) or "")
        outputs = await service.submit(request.feeds, request.rows, given)
        reply = self._codec.reply(request, outputs)
        service.record("grpc", start, request.id, request.feeds, outputs)
        return reply

    async def _answered(
        self,
        split: GrpcSplit,
        data: bytes,
        context: Context,
        read: tuple[float, InferRequest, float | None],
        *,
        drawn: bool,
    ) -> bytes:
        """The reply of the version that the request is for, with the metadata that tells of it."""
        start, request, given = read

        async def run(seconds: float | None) -> Called:
            return Called(await self._run(start, request, seconds), ((VERSION_HEADER, self._model.version),))

        remembered = self._service.remembers(request.feeds)
        called = await split.answer(data, context, request.rows, given, run, drawn=drawn, remembered=remembered)
        context.set_trailing_metadata(called.more)
        return called.data

    async def _relayed(self, route: Route, data: bytes, context: Context) -> bytes:
        """What the candidate says to a request that names it, errors among it."""
        try:
            called = await cast("GrpcSplit", self._split).relay(route, data, context)
        except grpc.aio.AioRpcError as error:
            context.set_code(error.code())
            context.set_details(error.details() or "")
            return b""
        context.set_trailing_metadata(called.more)
        return called.data

    def _request(self, data: bytes, context: Context) -> tuple[InferRequest, bool] | Route:
        """Read: the message is not kept while its request waits, since it is a second copy of the tensors.

        With whether it may be any version's; or the route of the version that it names, which is not this one.
        """
        message = self._codec.parse(data)
        name, version = message.model_name, message.model_version
        if self._split is not None and version and name == self._model.name:
            route = self._split.named(version, context)
            if route is not None:
                return route
        self._check_names(name, version)
        return self._codec.read(message), not version

    async def _live(self, _data: bytes, _context: Context) -> bytes:
        return _bytes(descriptors.ServerLiveResponse(live=True))

    async def _server_ready(self, _data: bytes, _context: Context) -> bytes:
        return _bytes(descriptors.ServerReadyResponse(ready=self._service.ready))

    async def _model_ready(self, data: bytes, _context: Context) -> bytes:
        asked = parsed(descriptors.ModelReadyRequest, data)
        self._check_names(asked.name, asked.version)
        return _bytes(descriptors.ModelReadyResponse(ready=self._service.ready))

    async def _server_metadata(self, _data: bytes, _context: Context) -> bytes:
        return _bytes(descriptors.ServerMetadataResponse(name=SERVER_NAME, version=server_version()))

    async def _model_metadata(self, data: bytes, _context: Context) -> bytes:
        asked = parsed(descriptors.ModelMetadataRequest, data)
        self._check_names(asked.name, asked.version)
        return self._metadata

    async def _check(self, data: bytes, _context: Context) -> bytes:
        """`service`: empty for the whole server, or the inference service's name."""
        service = parsed(descriptors.HealthCheckRequest, data).service
        if service not in ("", descriptors.INFERENCE):
            raise NotFound(f"no service {shown(service)} here: ask for '' or {descriptors.INFERENCE!r}")
        status = "SERVING" if self._service.ready else "NOT_SERVING"
        return _bytes(descriptors.HealthCheckResponse(status=descriptors.SERVING_STATUS[status]))

    def _check_names(self, name: str, version: str) -> None:
        if name != self._model.name:
            raise NotFound(f"no model {shown(name)} here; the model is {self._model.name!r}")
        if version not in ("", self._model.version):
            raise NotFound(f"no version {shown(version)} of {name!r} here; it is {self._model.version!r}")


def _refused(context: Context, error: RequestError) -> bytes:
    """The call's status becomes the error's; the reply that goes with it, which gRPC does not send.

    `context.abort` would do it, too, with an exception that the context keeps: a cycle of frames, which holds the
    message until the collector comes.
    """
    if isinstance(error, Overloaded):
        context.set_trailing_metadata(((PUSHBACK, str(round(error.retry_after * 1000))),))
    context.set_code(getattr(grpc.StatusCode, error.grpc_code))
    context.set_details(str(error))
    return b""


def _metadata(model: ServedModel) -> bytes:
    message = descriptors.ModelMetadataResponse(name=model.name, versions=[model.version], platform=PLATFORM)
    _describe(message.inputs, model.inputs)
    _describe(message.outputs, model.outputs)
    return _bytes(message)


def _describe(tensors: Any, told: tuple[TensorInfo, ...]) -> None:
    for one in told:
        tensors.add(name=one.name, datatype=one.datatype, shape=one.shape)


def _bytes(message: Message) -> bytes:
    return bytes(message.SerializeToString())
