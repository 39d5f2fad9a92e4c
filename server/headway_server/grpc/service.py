"""What each call of the two gRPC services answers. Every mistake has a status with a sentence; none is an exception."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

import grpc

from headway_server.batching import Batcher
from headway_server.errors import NotFound, Overloaded, RequestError
from headway_server.grpc import descriptors
from headway_server.grpc.codec import Codec, parsed, shown
from headway_server.grpc.descriptors import Message
from headway_server.model import ServedModel, TensorInfo

LOG = logging.getLogger(__name__)
# grpc.aio passes its own context, whose type is not exported.
Context = Any
Answer = Callable[[bytes, Context], Awaitable[bytes]]
PLATFORM = "onnx_onnxv1"
PUSHBACK = "grpc-retry-pushback-ms"
"""Trailing metadata that a client's retry policy obeys: how long to wait before the next attempt (gRPC proposal A6)."""


class Services:
    """Answers for one model: the Open Inference Protocol v2, and gRPC's health checks, which kubelet's probes ask.

    ready: whether new requests should come here. Requests are answered as long as they come, since those that are on
    their way when a server begins to end must not fail. longest_seconds: the deadline of a request that sets none, and
    the longest that one may set. most_rows: of one request.
    """

    def __init__(
        self,
        model: ServedModel,
        batcher: Batcher,
        *,
        ready: Callable[[], bool],
        longest_seconds: float,
        most_rows: int,
        version: str,
        extensions: tuple[str, ...] = (),
    ) -> None:
        self._model = model
        self._batcher = batcher
        self._ready = ready
        self._longest_seconds = longest_seconds
        self._version = version
        self._extensions = extensions
        self._codec = Codec(model, most_rows)
        self._metadata = _metadata(model)

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
        return (_handler(descriptors.INFERENCE, inference), _handler(descriptors.HEALTH, {"Check": self._check}))

    async def _infer(self, data: bytes, context: Context) -> bytes:
        self._batcher.admit()
        message = self._codec.parse(data)
        self._check_names(message.model_name, message.model_version)
        request = self._codec.read(message)
        rows = self._model.check(request.feeds)
        outputs = await self._batcher.submit(request.feeds, rows, self._deadline(context, request.timeout))
        return self._codec.reply(request, outputs)

    def _deadline(self, context: Context, timeout: float | None) -> float:
        """The earliest of the call's own deadline, of what its parameter `timeout` says, and of ours."""
        given = [seconds for seconds in (context.time_remaining(), timeout) if seconds is not None]
        return asyncio.get_running_loop().time() + min([*given, self._longest_seconds])

    async def _live(self, _data: bytes, _context: Context) -> bytes:
        return _bytes(descriptors.ServerLiveResponse(live=True))

    async def _server_ready(self, _data: bytes, _context: Context) -> bytes:
        return _bytes(descriptors.ServerReadyResponse(ready=self._ready()))

    async def _model_ready(self, data: bytes, _context: Context) -> bytes:
        asked = parsed(descriptors.ModelReadyRequest, data)
        self._check_names(asked.name, asked.version)
        return _bytes(descriptors.ModelReadyResponse(ready=self._ready()))

    async def _server_metadata(self, _data: bytes, _context: Context) -> bytes:
        return _bytes(
            descriptors.ServerMetadataResponse(name="headway", version=self._version, extensions=self._extensions)
        )

    async def _model_metadata(self, data: bytes, _context: Context) -> bytes:
        asked = parsed(descriptors.ModelMetadataRequest, data)
        self._check_names(asked.name, asked.version)
        return self._metadata

    async def _check(self, data: bytes, _context: Context) -> bytes:
        """`service`: empty for the whole server, or the inference service's name."""
        service = parsed(descriptors.HealthCheckRequest, data).service
        if service not in ("", descriptors.INFERENCE):
            raise NotFound(f"no service {shown(service)} here: ask for '' or {descriptors.INFERENCE!r}")
        status = "SERVING" if self._ready() else "NOT_SERVING"
        return _bytes(descriptors.HealthCheckResponse(status=descriptors.SERVING_STATUS[status]))

    def _check_names(self, name: str, version: str) -> None:
        if name != self._model.name:
            raise NotFound(f"no model {shown(name)} here; the model is {self._model.name!r}")
        if version not in ("", self._model.version):
            raise NotFound(f"no version {shown(version)} of {name!r} here; it is {self._model.version!r}")


def _handler(service: str, methods: Mapping[str, Answer]) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(
        service, {name: grpc.unary_unary_rpc_method_handler(_guarded(answer)) for name, answer in methods.items()}
    )


def _guarded(answer: Answer) -> Answer:
    """The same, with a status for whatever it raises."""

    async def guarded(data: bytes, context: Context) -> bytes:
        try:
            return await answer(data, context)
        except RequestError as error:
            await _refuse(context, error)
        except Exception:
            LOG.exception("a gRPC request could not be answered")
            await context.abort(grpc.StatusCode.INTERNAL, "an error of the server; its log tells more")
            raise AssertionError("abort raises") from None

    return guarded


async def _refuse(context: Context, error: RequestError) -> NoReturn:
    trailing: tuple[tuple[str, str], ...] = ()
    if isinstance(error, Overloaded):
        trailing = ((PUSHBACK, str(round(error.retry_after * 1000))),)
    await context.abort(getattr(grpc.StatusCode, error.grpc_code), str(error), trailing)
    raise AssertionError("abort raises")


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
