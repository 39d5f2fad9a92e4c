"""Requests by gRPC as they are handed over, in the bytes that the client sent, and the candidate's answers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import grpc

from headway_api.rollout_wire import HOP_HEADER, ROUTE_HEADER, SECONDS_HEADER, VERSION_HEADER, Route, Unit
from headway_server.errors import DeadlineExceeded, NotReady, Overloaded
from headway_server.grpc import descriptors
from headway_server.settings import Settings
from headway_server.split import compare
from headway_server.split.draw import unit_value
from headway_server.split.handing import CandidateFailed
from headway_server.split.rest import seconds_told
from headway_server.split.splitter import Splitter
from headway_server.split.state import ALONE, ALONE_REMEMBERED

METHOD = f"/{descriptors.INFERENCE}/ModelInfer"
Metadata = tuple[tuple[str, str], ...]
_REFUSED = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)
"""What says that the request is at fault."""
_MOST_RECONNECT_MS = 2000
CONNECTIONS = 4
"""To the candidate. A Service leads to one of its pods for as long as a connection lives: over one connection one pod
would get all that a server hands over, at 50 % as much as all pods of the stable version's keep."""


class Called(NamedTuple):
    """An answer: a serialized message, and what goes behind it."""

    data: bytes
    more: Metadata = ()


Run = Callable[[float | None], Awaitable[Called]]


class Link:
    """The candidate's gRPC port, wherever it is at the moment: requests take its connections in turn.

    A connection lives as long as that server lets it, and is made once it has a request.
    """

    def __init__(self, settings: Settings) -> None:
        self._most_bytes = settings.http.max_bytes_in_flight
        self._seconds = settings.timeout_seconds
        self._closing: set[asyncio.Task[None]] = set()
        self._to = ""
        self._channels: list[Any] = []

    async def call(self, to: str, data: bytes, seconds: float, metadata: Metadata) -> tuple[bytes, dict[str, Any]]:
        """The reply and its trailing metadata. Raises grpc.aio.AioRpcError."""
        if to != self._to:
            self._leave()
            options = [
                ("grpc.max_receive_message_length", self._most_bytes),
                ("grpc.max_send_message_length", -1),
                # Else a candidate that was away for some minutes is not looked for again for some more.
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.min_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", _MOST_RECONNECT_MS),
                # Else channels to one address share a connection.
                ("grpc.use_local_subchannel_pool", 1),
            ]
            self._to = to
            self._channels = [grpc.aio.insecure_channel(to, options=options) for _ in range(CONNECTIONS)]
            self._methods = itertools.cycle([channel.unary_unary(METHOD) for channel in self._channels])
        call = next(self._methods)(data, timeout=seconds, metadata=metadata)
        reply = await call
        return reply, dict(await call.trailing_metadata())

    def _leave(self) -> None:
        """Close the connections once the requests on them have had their time."""
        channels, self._to, self._channels = self._channels, "", []
        for channel in channels:
            task = asyncio.get_running_loop().create_task(channel.close(self._seconds))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close all connections. No request may be under way."""
        self._seconds = 0.0
        self._leave()
        await asyncio.gather(*self._closing, return_exceptions=True)


@dataclass(slots=True)
class GrpcAsked:
    """A request for tensors. sent: its metadata."""

    link: Link
    version: int
    """Of this server."""
    data: bytes
    sent: Iterable[tuple[str, str | bytes]]
    rows: int
    timeout: float | None
    hop: bool
    run: Run
    """The own model."""

    def unit(self, told: Unit) -> bytes | None:
        """What it is assigned by."""
        return unit_value(told, ((name.encode(), _bytes(value)) for name, value in self.sent))

    def given_unit(self, _told: Unit) -> bytes | None:
        """None: a client of gRPC keeps no cookies."""
        return None

    def reaches(self, route: Route) -> bool:
        """Whether the candidate takes requests by gRPC."""
        return bool(route.candidate_grpc)

    async def own(self, given: float | None) -> Called:
        """The own model's answer."""
        return await self.run(given)

    async def theirs(self, route: Route, seconds: float) -> tuple[Called, float]:
        """The candidate's answer, if it has one."""
        called, told = await self._called(route, seconds)
        if told.get(VERSION_HEADER) != str(route.candidate):
            raise CandidateFailed("another version is where it should be")
        return called, seconds_told(_bytes(told.get(SECONDS_HEADER, "")))

    async def relayed(self, route: Route, seconds: float) -> Called:
        """What the candidate says to a request that names it. Raises grpc.aio.AioRpcError, which is its answer, or
        NotReady or DeadlineExceeded."""
        try:
            return (await self._called(route, seconds))[0]
        except CandidateFailed as failure:
            if isinstance(failure.__cause__, grpc.aio.AioRpcError) and failure.refused:
                raise failure.__cause__ from None
            kind = DeadlineExceeded if failure.late else NotReady
            raise kind(f"version {route.candidate} gives no answer: {failure}") from None

    def copied(self) -> GrpcAsked:
        """What is needed to send it once more, without what it was read into."""
        return replace(self, sent=(), run=_nobody)

    def size(self, answer: Called | None) -> int:
        """Its bytes, with those of its answer if it has one."""
        return len(self.data) + (0 if answer is None else len(answer.data))

    def alike(self, own: Called, theirs: Called, tolerance: float) -> bool | None:
        """Whether two answers are; None where they are too large to be compared."""
        if max(len(own.data), len(theirs.data)) > compare.MOST_BYTES:
            return None
        said = _seen(own.data)
        try:
            return compare.alike(said, _seen(theirs.data), tolerance)
        except ValueError:
            return False

    def timed(self, answer: Called, seconds: float) -> Called:
        """The answer to another server."""
        return answer._replace(more=(*answer.more, (SECONDS_HEADER, f"{seconds:.9f}")))

    async def _called(self, route: Route, seconds: float) -> tuple[Called, dict[str, Any]]:
        metadata = ((HOP_HEADER, str(self.version)),)
        try:
            data, told = await self.link.call(route.candidate_grpc, self.data, seconds, metadata)
        except grpc.aio.AioRpcError as error:
            code = error.code()
            raise CandidateFailed(
                f"{code.name}: {(error.details() or '')[:200]}",
                connected=code is not grpc.StatusCode.UNAVAILABLE,
                late=code is grpc.StatusCode.DEADLINE_EXCEEDED,
                refused=code in _REFUSED,
            ) from error
        version = str(told.get(VERSION_HEADER, ""))
        return Called(data, ((VERSION_HEADER, version),) if version else ()), told


class GrpcSplit:
    """Splits the requests of one gRPC port."""

    def __init__(self, splitter: Splitter, settings: Settings) -> None:
        self._splitter = splitter
        self._timeout = settings.timeout_seconds
        self._link = Link(settings)

    async def answer(
        self,
        data: bytes,
        context: Any,
        rows: int,
        given: float | None,
        run: Run,
        *,
        drawn: bool,
        remembered: bool = False,
    ) -> Called:
        """The answer of the version that the request is for. drawn: unless it names this one. remembered: as in Choice.
        Raises RequestError."""
        asked, splitting = self._asked(data, context, rows, given, run), self._splitter.splitting
        if not drawn:
            return await asked.own(given)
        if not asked.hop and not self._splitter.state.drawn(_stamp(context)):
            return await splitting.own(asked.own, given, ALONE_REMEMBERED if remembered else ALONE)
        return await splitting.answer(asked, remembered=remembered)

    def named(self, version: str, context: Any) -> Route | None:
        """The route, where a request names the candidate, and nobody has handed it over."""
        route = self._splitter.candidate(version)
        return None if route is None or not route.candidate_grpc or _hop(context) else route

    async def relay(self, route: Route, data: bytes, context: Any) -> Called:
        """Whatever the candidate says to a request that names it: it is not counted."""
        splitting = self._splitter.splitting
        if not splitting.room:
            raise Overloaded("as many requests as this server hands over at once are with the candidate: try again")
        given = context.time_remaining()
        seconds = self._timeout if given is None else min(given, self._timeout)
        asked = self._asked(data, context, 1, None, _nobody)
        return await splitting.send(1, lambda: asked.relayed(route, seconds))

    async def close(self) -> None:
        """Leave the candidate."""
        await self._link.close()

    def _asked(self, data: bytes, context: Any, rows: int, given: float | None, run: Run) -> GrpcAsked:
        sent = context.invocation_metadata() or ()
        return GrpcAsked(self._link, self._splitter.state.version, data, sent, rows, given, _hop(context), run)


def _hop(context: Any) -> bool:
    return any(name == HOP_HEADER for name, _ in context.invocation_metadata() or ())


def _stamp(context: Any) -> bytes | None:
    return next((_bytes(value) for name, value in context.invocation_metadata() or () if name == ROUTE_HEADER), None)


async def _nobody(_given: float | None) -> Called:
    raise AssertionError("the candidate alone answers this")


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def _seen(data: bytes) -> compare.Seen:
    """What a ModelInferResponse says. Raises ValueError."""
    try:
        message = descriptors.ModelInferResponse.FromString(data)
    except Exception as error:  # protobuf's runtimes differ in what they raise
        raise ValueError("the answer cannot be read") from error
    raw = message.raw_output_contents
    if len(raw) != len(message.outputs):
        raise ValueError("an answer has raw contents for each output")
    return compare.of_tensors(
        {
            one.name: compare.tensor(one.name, one.datatype, list(one.shape), memoryview(contents))
            for one, contents in zip(message.outputs, raw, strict=True)
        }
    )
