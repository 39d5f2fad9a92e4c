"""Thousands of requests that are wrong in some way: each gets a 4xx with a sentence, and the server goes on."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from headway_server.http.limits import HttpLimits
from hostile_requests import BODY, INFER, Hostile, hostile, judged
from wire_client import Reply, Wire, ask

from .conftest import Serve
from .test_app import OUTPUTS

REQUESTS = 3000


async def _answer(port: int, sent: Hostile) -> Reply | None:
    """Its answer. The client says that no more comes, as what was sent may look like a part of a request."""
    wire = await Wire.to(port)
    try:
        wire.send(sent.data)
        wire.writer.write_eof()
        return await wire.reply(head=sent.head)
    finally:
        await wire.close()


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_sent_is_answered_with_a_sentence_and_never_by_a_fault(seed: int, serve: Serve) -> None:
    draw = random.Random(seed)  # noqa: S311 - no secret
    statuses: dict[int, int] = {}
    async with serve(http=HttpLimits(max_request_bytes=100_000)) as server:
        for sent in islice(hostile(draw, rarely=False), REQUESTS // 3):
            reply = await _answer(server.port, sent)
            assert reply is not None, sent
            assert judged(sent, reply) is None, (sent, reply)
            statuses[reply.status] = statuses.get(reply.status, 0) + 1
        assert (await ask(server.port, "POST", INFER, BODY)).json["outputs"] == OUTPUTS
        assert server.service.batcher.in_flight == 0
        assert statuses[400] > REQUESTS // 6
        assert statuses.get(200, 0) < REQUESTS // 9
