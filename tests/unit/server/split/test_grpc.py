"""Requests by gRPC are handed over on several connections, which a Service leads to several pods."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from headway_server.settings import Settings
from headway_server.split.grpc import CONNECTIONS, METHOD, Link


@dataclass
class Candidate:
    """A server that answers with what it gets, and notes by which connection that came."""

    port: int = 0
    came: Counter[str] = field(default_factory=Counter)
    let: asyncio.Event = field(default_factory=asyncio.Event)
    """Answers wait for it."""

    async def answer(self, data: bytes, context: Any) -> bytes:
        """One request."""
        self.came[context.peer()] += 1
        await self.let.wait()
        return data


@asynccontextmanager
async def listening() -> AsyncIterator[Candidate]:
    """A candidate that answers at once."""
    candidate, server = Candidate(), grpc.aio.server()
    candidate.let.set()
    service, method = METHOD.strip("/").split("/")
    handlers = {method: grpc.unary_unary_rpc_method_handler(candidate.answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    candidate.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield candidate
    finally:
        await server.stop(0)


async def ask(link: Link, candidate: Candidate, data: bytes = b"x") -> bytes:
    """What a candidate answers."""
    reply, _ = await link.call(f"127.0.0.1:{candidate.port}", data, 30.0, ())
    return reply


async def test_requests_take_the_connections_to_the_candidate_in_turn() -> None:
    link = Link(Settings("/nowhere"))
    async with listening() as candidate:
        for turn in range(5 * CONNECTIONS):
            assert await ask(link, candidate, str(turn).encode()) == str(turn).encode()
        await link.close()
    assert sorted(candidate.came.values()) == [5] * CONNECTIONS


async def test_requests_on_their_way_to_a_candidate_that_was_left_are_answered() -> None:
    link = Link(Settings("/nowhere"))
    async with listening() as before, listening() as after:
        before.let.clear()
        waiting = [asyncio.create_task(ask(link, before)) for _ in range(2 * CONNECTIONS)]
        async with asyncio.timeout(30):
            while before.came.total() < len(waiting):  # noqa: ASYNC110 - the server's side has no event for it
                await asyncio.sleep(0.01)
        assert await ask(link, after) == b"x"
        before.let.set()
        assert await asyncio.gather(*waiting) == [b"x"] * len(waiting)
        await link.close()
    assert (len(before.came), len(after.came)) == (CONNECTIONS, 1)
