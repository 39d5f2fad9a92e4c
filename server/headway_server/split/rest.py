"""Requests by REST as they are handed over, and the candidate's answers as clients get them."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace

from headway_api.rollout_wire import HOP_HEADER, SECONDS_HEADER, VERSION_HEADER, Route, Unit
from headway_server.errors import DeadlineExceeded, NotReady
from headway_server.rest.answer import Answer
from headway_server.split import compare
from headway_server.split.addresses import address
from headway_server.split.client import Client, NoReply, Reply
from headway_server.split.draw import set_cookie, unit_value
from headway_server.split.handing import CandidateFailed

_SECONDS, _VERSION = SECONDS_HEADER.encode(), VERSION_HEADER.encode()
_TYPE, _LENGTH, _AGAIN = b"content-type", b"inference-header-content-length", b"retry-after"
_MOST_WORD = 256
_NOT_THE_REQUEST_S = frozenset({408, 429})
"""Errors by number of the client's that say nothing of its request."""


@dataclass(slots=True)
class RestAsked:
    """A request for tensors or rows. path: below which the candidate takes it. sent: its headers."""

    client: Client
    version: int
    """Of this server."""
    path: str
    body: bytes
    header_length: bytes | None
    """How much of the body is JSON, as the client said it."""
    sent: Iterable[tuple[bytes, bytes]]
    rows: int
    timeout: float | None
    hop: bool
    run: Callable[[float | None], Awaitable[Answer]]
    """The own model."""
    cookie: bytes | None = None
    """What a browser is to send from now on."""

    def unit(self, told: Unit) -> bytes | None:
        """What it is assigned by."""
        return unit_value(told, self.sent)

    def given_unit(self, told: Unit) -> bytes | None:
        """A unit for a browser that has none yet."""
        if told.cookie is None:
            return None
        value = secrets.token_hex(16)
        try:
            self.cookie = set_cookie(told.cookie, value)
        except ValueError:
            return None
        return value.encode()

    def reaches(self, route: Route) -> bool:
        """Whether the candidate takes requests by REST."""
        return bool(route.candidate_url)

    async def own(self, given: float | None) -> Answer:
        """The own model's answer."""
        return self._marked(await self.run(given))

    async def theirs(self, route: Route, seconds: float) -> tuple[Answer, float]:
        """The candidate's answer, if it has one."""
        reply = await self._reply(route, self.path, seconds)
        if 400 <= reply.status < 500 and reply.status not in _NOT_THE_REQUEST_S:  # noqa: PLR2004 - the request's fault
            raise CandidateFailed(f"it refuses the request: {reply.status}", refused=True)
        if reply.status != 200:  # noqa: PLR2004 - there is no other that has an answer
            raise CandidateFailed(f"its status is {reply.status}")
        if reply.headers.get(_VERSION) != b"%d" % route.candidate:
            raise CandidateFailed("another version is where it should be")
        return self._marked(_answer(reply)), seconds_told(reply.headers.get(_SECONDS))

    async def relayed(self, route: Route, path: str, seconds: float) -> Answer:
        """Whatever the candidate says to a request that names it. Raises NotReady or DeadlineExceeded."""
        try:
            return _answer(await self._reply(route, path, seconds))
        except CandidateFailed as failure:
            kind = DeadlineExceeded if failure.late else NotReady
            raise kind(f"version {route.candidate} gives no answer: {failure}") from None

    def copied(self) -> RestAsked:
        """What is needed to send it once more, without what it was read into."""
        return replace(self, sent=(), run=nobody, cookie=None)

    def size(self, answer: Answer | None) -> int:
        """Its bytes, with those of its answer if it has one."""
        return len(self.body) + (0 if answer is None else len(answer.body))

    def alike(self, own: Answer, theirs: Answer, tolerance: float) -> bool | None:
        """Whether two answers are; None where they are too large to be compared."""
        if max(len(own.body), len(theirs.body)) > compare.MOST_BYTES:
            return None
        said = compare.of_json(own.body, own.header_length)
        try:
            return compare.alike(said, compare.of_json(theirs.body, theirs.header_length), tolerance)
        except (ValueError, TypeError):
            return False

    def timed(self, answer: Answer, seconds: float) -> Answer:
        """The answer to another server."""
        return answer._replace(more=(*answer.more, (_SECONDS, b"%.9f" % seconds)))

    async def _reply(self, route: Route, path: str, seconds: float) -> Reply:
        to = address(route.candidate_url)
        if to is None:
            raise CandidateFailed("it takes no requests by REST", connected=False)
        headers = {"content-type": "application/octet-stream", HOP_HEADER: str(self.version)}
        if self.header_length is not None:
            headers["inference-header-content-length"] = self.header_length.decode("latin-1")
        try:
            return await self.client.post(to, path, headers, self.body, seconds)
        except NoReply as error:
            raise CandidateFailed(str(error), connected=error.connected) from None
        except TimeoutError:
            raise CandidateFailed(f"it gives no answer within {seconds:.3g} s", late=True) from None

    def _marked(self, answer: Answer) -> Answer:
        return answer if self.cookie is None else answer._replace(more=(*answer.more, (b"set-cookie", self.cookie)))


async def nobody(_given: float | None) -> Answer:
    """The own model of requests that the candidate alone answers."""
    raise AssertionError("the candidate alone answers this")


def _answer(reply: Reply) -> Answer:
    """An answer that a client can be given. Raises CandidateFailed."""
    kind, length = reply.headers.get(_TYPE, b"application/json"), reply.headers.get(_LENGTH)
    version, again = reply.headers.get(_VERSION, b""), reply.headers.get(_AGAIN)
    if max(len(kind), len(version), len(again or b"")) > _MOST_WORD:
        raise CandidateFailed("its headers are too long")
    if length is not None and not (length.isdigit() and len(length) <= 12 and int(length) <= len(reply.body)):  # noqa: PLR2004 - digits
        raise CandidateFailed("it says that more of its answer is JSON than there is")
    return Answer(
        reply.body,
        kind.decode("latin-1"),
        None if length is None else int(length),
        reply.status,
        version,
        () if again is None else ((_AGAIN, again),),
    )


def seconds_told(told: bytes | None) -> float:
    """What the candidate says that it took; what cannot be read is as long as the whole way."""
    try:
        seconds = float(told or b"inf")
    except ValueError:
        return float("inf")
    return seconds if seconds >= 0 else float("inf")
