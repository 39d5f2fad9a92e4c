"""Thousands of requests that are wrong in some way: each gets a 4xx with a sentence, and the server goes on."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from typing import Any

import pytest

from headway_server.settings import HttpLimits
from wire_client import Reply, Wire, ask, request

from .conftest import Serve
from .test_app import BODY, INFER, OUTPUTS

REQUESTS = 3000
Draw = random.Random
ODD: list[Any] = [
    None, True, -1, 0, 1, 2, 2**31, 2**63, -(2**63), 2**64, 1e308, 1.5, "", "a", "1", "\0", "é" * 300, [], {}, [[]],
    [[1], [2, 3]], [None], ["a", 1], {"a": {"b": []}}, [[[[[[1]]]]]], [1e300] * 3, "FP32", "BF16",
]  # fmt: skip
"""Values that stand where others should."""


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, one in pairs for place in ((*path, key), *_places(one, (*path, key)))]


def _edited(draw: Draw) -> Any:
    """A right request with some of its values replaced, taken out or put elsewhere."""
    told = json.loads(BODY)
    for _ in range(draw.randint(1, 3)):
        *path, last = draw.choice(_places(told) or [("inputs",)])
        place = told
        try:
            for key in path:
                place = place[key]
            if draw.random() < 0.3:
                del place[last]
            else:
                place[last] = draw.choice(ODD)
        except (LookupError, TypeError):
            continue  # an edit before took the place away
    return told


def _json(draw: Draw) -> bytes:
    return request("POST", INFER, json.dumps(_edited(draw)).encode())


def _cut(draw: Draw) -> bytes:
    data = bytearray(BODY)
    for _ in range(draw.randint(1, 8)):
        data[draw.randrange(len(data))] = draw.randrange(256)
    return request("POST", INFER, bytes(data[: draw.randint(0, len(data))]))


def _binary(draw: Draw) -> bytes:
    """JSON with binary tensors behind it, whose lengths, sizes and bytes are wrong."""
    size, town = struct.pack("<2d", 1.5, 2), b"\4\0\0\0Kobe\0\0\0\0"
    sizes = [draw.choice([16, 12, 0, -1, 2**40, 17, "16", None]) for _ in range(2)]
    inputs = [
        {"name": name, "shape": [2, 1], "datatype": kind, "parameters": {"binary_data_size": one}}
        for name, kind, one in zip(("size", "town"), ("FP64", "BYTES"), sizes, strict=True)
    ]
    head = json.dumps({"inputs": inputs}).encode()
    length = draw.choice([len(head), len(head) + 1, len(head) - 1, 0, -1, 2**70, "x", ""])
    tail = bytearray(size + town)
    tail[draw.randrange(len(tail))] ^= 1 << draw.randrange(8)
    return request("POST", INFER, head + bytes(tail), Inference_Header_Content_Length=str(length))


def _nested(draw: Draw) -> bytes:
    depth = draw.choice([50, 1000, 1025, 30_000])
    return request("POST", INFER, b'{"inputs":' + b"[" * depth + b"]" * draw.choice([depth, 0]) + b"}")


def _encoded(draw: Draw) -> bytes:
    return request(
        "POST", INFER, draw.randbytes(draw.randint(0, 80)), Content_Encoding=draw.choice(["gzip", "br", "x"])
    )


def _path(draw: Draw) -> bytes:
    words = [
        "v2",
        "v1",
        "models",
        "churn",
        "infer",
        "versions",
        "1",
        "..",
        "%00",
        "%ff",
        "",
        "a" * 300,
        "health",
        "ready",
    ]
    path = "/" + "/".join(draw.choice(words) for _ in range(draw.randint(1, 6)))
    return request(draw.choice(["POST", "PUT", "DELETE", "PATCH"]), path, draw.choice([b"", b"{}", BODY[:40]]))


def _rows(draw: Draw) -> bytes:
    rows = [{draw.choice(["size", "town", "x"]): draw.choice(ODD)} for _ in range(draw.randint(0, 3))]
    return request("POST", "/v1/models/churn:predict", json.dumps({"instances": rows}).encode())


def _wire(draw: Draw) -> bytes:
    """No HTTP, or nearly."""
    data = bytearray(request("POST", INFER, BODY[:40]))
    for _ in range(draw.randint(1, 4)):
        data[draw.randrange(60)] = draw.randrange(256)
    return bytes(data)


KINDS: list[Callable[[Draw], bytes]] = [_json, _json, _cut, _binary, _nested, _encoded, _path, _rows, _wire]


async def _answer(port: int, data: bytes) -> Reply | None:
    """Its answer. The client says that no more comes, as what was sent may look like a part of a request."""
    wire = await Wire.to(port)
    try:
        wire.send(data)
        wire.writer.write_eof()
        return await wire.reply()
    finally:
        await wire.close()


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_sent_is_answered_with_a_sentence_and_never_by_a_fault(seed: int, serve: Serve) -> None:
    draw = random.Random(seed)  # noqa: S311 - no secret
    statuses: dict[int, int] = {}
    async with serve(http=HttpLimits(max_request_bytes=100_000)) as server:
        for index in range(REQUESTS // 3):
            data = KINDS[index % len(KINDS)](draw)
            reply = await _answer(server.port, data)
            assert reply is not None, data
            statuses[reply.status] = statuses.get(reply.status, 0) + 1
            if reply.status == 200:
                assert reply.json  # an edit may have left the request right
            else:
                assert 400 <= reply.status < 500, (data, reply)
                assert len(reply.error) < 2000
        assert (await ask(server.port, "POST", INFER, BODY)).json["outputs"] == OUTPUTS
        assert server.service.batcher.in_flight == 0
        assert statuses[400] > REQUESTS // 6
        assert statuses.get(200, 0) < REQUESTS // 6
