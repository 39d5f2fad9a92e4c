"""The judge's two ports as ASGI applications: reports of servers, and health with metrics."""

from __future__ import annotations

import hmac
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import ValidationError

from headway_api import drift_wire
from headway_api import rollout_wire as wire
from headway_server.errors import InvalidRequest, MethodNotAllowed, NotFound, Overloaded, RequestError
from headway_server.http.answering import JSON, Header, Send, error_headers, send_whole
from headway_server.http.limits import MIB, HttpLimits
from headway_server.judge.drift.windows import CountsError
from headway_server.judge.metrics import Metrics
from headway_server.judge.rollout import Judge, WrongDeployment
from headway_server.rest import body

Scope = MutableMapping[str, Any]
Clock = Callable[[], float]
LIMITS = HttpLimits(
    max_request_bytes=256 * 1024, max_bytes_in_flight=16 * MIB, header_seconds=5.0, body_seconds=5.0, idle_seconds=15.0
)
"""The longest report that a server makes has some 120 KiB; of what it counts of rows, drift_wire.BATCH_MAX_BYTES."""
MOST_REPORTS_A_SECOND = 2000


class Unauthorized(RequestError):  # noqa: N818 - what the report is
    """The report does not bear the token."""

    kind, status, grpc_code = "unauthorized", 401, "UNAUTHENTICATED"


class Token:
    """What servers have to bear: the file may change, and is read again for a token that does not fit."""

    def __init__(self, path: Path | None, clock: Clock) -> None:
        """path: None where none is asked for. Raises OSError, and ValueError for an empty file."""
        self._path, self._clock = path, clock
        self._value = self._read() if path else b""
        self._read_at = clock()
        if path and not self._value:
            raise ValueError(f"{path} is empty: reports need a token")

    def fits(self, authorization: bytes) -> bool:
        """Whether it is the one."""
        if self._path is None:
            return True
        if self._same(authorization):
            return True
        if self._clock() - self._read_at < 1.0:
            return False
        self._read_at = self._clock()
        try:
            self._value = self._read() or self._value
        except OSError:
            return False
        return self._same(authorization)

    def _same(self, authorization: bytes) -> bool:
        scheme, _, value = authorization.partition(b" ")
        return hmac.compare_digest(value.strip(), self._value) and scheme.lower() == b"bearer"

    def _read(self) -> bytes:
        return self._path.read_bytes().strip() if self._path else b""


class Reports:
    """Takes reports."""

    def __init__(
        self, judge: Judge, token: Token, metrics: Metrics, clock: Clock, urgent: Callable[[], None] = lambda: None
    ) -> None:
        """urgent: is called when a report has made something that is to be written at once."""
        self._judge, self._token, self._metrics = judge, token, metrics
        self._clock, self._urgent = clock, urgent
        self._memory = body.Memory(LIMITS)
        self._second, self._in_second = 0, 0

    async def __call__(self, scope: Scope, receive: body.Receive, send: Send) -> None:
        """Answer one request."""
        more: list[Header] = []
        try:
            status, told = 200, await self._taken(scope, receive)
            self._metrics.took("taken")
        except body.Gone:
            return
        except RequestError as error:
            status, told = error.status, _error(str(error))
            self._metrics.took(error.kind)
            more = [(b"www-authenticate", b"Bearer")] if isinstance(error, Unauthorized) else error_headers(error)
        await send_whole(send, status, told, JSON, more)
        if self._judge.urgent:
            self._urgent()

    async def _taken(self, scope: Scope, receive: body.Receive) -> bytes:
        """The reply to a report that was taken. Raises RequestError for all others."""
        path = scope["path"]
        if path not in (wire.REPORT_PATH, drift_wire.DRIFT_PATH):
            raise NotFound(f"servers report to {wire.REPORT_PATH} and {drift_wire.DRIFT_PATH}")
        if scope["method"] != "POST":
            raise MethodNotAllowed(f"{path} is for POST", "POST")
        headers = dict(scope["headers"])
        if not self._token.fits(headers.get(b"authorization", b"")):
            raise Unauthorized("a report needs the header Authorization: Bearer with the token of the rollout's Secret")
        if not self._in_time():
            raise Overloaded(f"more than {MOST_REPORTS_A_SECOND} reports came in a second: report again later")
        length = headers.get(b"content-length", b"")
        text, held = await body.read(receive, int(length) if length.isdigit() else None, self._memory)
        try:
            if path == drift_wire.DRIFT_PATH:
                return self._judge.take_batch(drift_wire.Batch.model_validate_json(text), self._clock())
            return self._judge.take(wire.Report.model_validate_json(text), self._clock())
        except ValidationError as error:
            raise InvalidRequest(_wrong(error)) from error
        except (WrongDeployment, CountsError) as error:
            raise InvalidRequest(str(error)) from error
        finally:
            self._memory.held -= held

    def _in_time(self) -> bool:
        """Whether there is time for one more report in this second."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        return self._in_second <= MOST_REPORTS_A_SECOND


class Admin:
    """Answers probes and Prometheus."""

    def __init__(self, judge: Judge, metrics: Metrics) -> None:
        self._judge, self._metrics = judge, metrics

    async def __call__(self, scope: Scope, receive: body.Receive, send: Send) -> None:  # noqa: ARG002 - an ASGI application
        """Answer one request."""
        status, told, kind = self._answer(scope["method"], scope["path"])
        await send_whole(send, status, told, kind)

    def _answer(self, method: str, path: str) -> tuple[int, bytes, bytes]:
        if method not in ("GET", "HEAD"):
            return 405, _error("this port is for GET"), JSON
        if path == "/metrics":
            self._metrics.tell(self._judge.verdict)
            self._metrics.tell_drift(self._judge.drifts.word())
            return 200, self._metrics.text(), CONTENT_TYPE_LATEST.encode()
        if path == wire.JUDGE_READY_PATH and self._judge.deposed:
            return 503, _error("another judge of this deployment is newer"), JSON
        if path in (wire.JUDGE_LIVE_PATH, wire.JUDGE_READY_PATH):
            return 200, orjson.dumps({"live": True, "judging": self._judge.route is not None}), JSON
        return 404, _error(f"this port has {wire.JUDGE_LIVE_PATH}, {wire.JUDGE_READY_PATH} and /metrics"), JSON


def _error(words: str) -> bytes:
    return orjson.dumps({"error": words})


def _wrong(error: ValidationError) -> str:
    """The first thing that is wrong with a report."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the body"
    return f"{where}: {first['msg']}"
