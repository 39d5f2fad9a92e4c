"""Requests by REST that are wrong in some way, for a server of the echo of `served.py`: drawn from a seed.

Each is a `Hostile`: its bytes, and what may come back. `judged` says whether what came back is as it has to be: an
answer where the request is right after all, else a 4xx with a sentence.
"""

from __future__ import annotations

import copy
import functools
import gzip
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from wire_client import Reply, request

INFER = "/v2/models/churn/infer"
PREDICT = "/v1/models/churn:predict"
FEEDBACK = "/v2/models/churn/feedback"
RIGHT: dict[str, Any] = {
    "id": "a",
    "inputs": [
        {"name": "size", "shape": [2, 1], "datatype": "FP64", "data": [1.5, 2]},
        {"name": "town", "shape": [2, 1], "datatype": "BYTES", "data": ["Kobe", "Łódź"]},
    ],
}
BODY = json.dumps(RIGHT).encode()
MOST_BODY = 16 * 1024 * 1024
"""What the server reads at most, by default."""
Draw = random.Random
ODD: list[Any] = [
    None, True, -1, 0, 1, 2, 2**31, 2**63, -(2**63), 2**64, 1e308, 1.5, "", "a", "1", "\0", "é" * 300, [], {}, [[]],
    [[1], [2, 3]], [None], ["a", 1], {"a": {"b": []}}, [[[[[[1]]]]]], [1e300] * 3, "FP32", "BF16", -0.0, "NaN", [True],
    "\U0001f600" * 99, {"": ""}, ["\x7f"], 10**30, "9" * 400,
]  # fmt: skip
"""Values that stand where others should."""
_SHAPES: list[Any] = [
    [], [2], [-1, 1], [2, -1], [0, 1], [2, 0], [2**31, 2**33], [2**63, 2], [65_537, 1], [1] * 17, [2.0, 1], ["2", 1],
    [True, 1], [[2, 1]], None, "2,1", [1, 2], [2, 1, 1], [10**40, 1],
]  # fmt: skip
_TYPES = ["FP16", "BF16", "FP32", "INT8", "UINT8", "INT64", "BOOL", "STRING", "fp64", "", None, 7, ["FP64"]]
_TEXTS = [
    b'{"inputs": NaN}', b'{"inputs": [Infinity]}', b'{"id": "\\ud800"}', b"\xef\xbb\xbf{}", b'{"a": 1, "a": 2}', b"",
    b'{"id": "\xff\xfe"}', b"[]", b"null", b'"x"', b"1e999", b'{"inputs": 1' + b"0" * 5000 + b"}", b"{" * 2000,
    b"\0" * 64,
    b'{"inputs":[' + b"[]," * 300_000 + b"[]]}", b'{"inputs":' + b'{"a":' * 900 + b"1" + b"}" * 901, b"{}{}", b"'a'",
    b'{"inputs":[' + b"0," * 5000 + b"0]}",
]  # fmt: skip


@dataclass(frozen=True)
class Hostile:
    """What a client sends."""

    data: bytes
    kind: str
    framed: bool = True
    """Whether it is whole by HTTP's rules: then others may follow it. Else the client says that it ends."""
    replies: int = 1
    """How many may come: more where requests stand one behind the other, or may look like that."""
    head: bool = False
    """Whether the answer has no body."""


def judged(sent: Hostile, reply: Reply) -> str | None:
    """What is wrong with a reply; None if nothing is."""
    if reply.status == 200:
        if sent.head:
            return None
        length = reply.headers.get("inference-header-content-length")
        text = reply.body if length is None else reply.body[: int(length)]
        return None if isinstance(json.loads(text), dict | list) else "an answer that is no document"
    if not 400 <= reply.status < 500:
        return f"status {reply.status}"
    if sent.head:
        return None
    return None if len(reply.error) < 2000 else "a sentence without an end"


def hostile(draw: Draw, *, rarely: bool = True) -> Iterator[Hostile]:
    """One after the other, of every kind in turn. rarely: whether some take milliseconds to refuse, as bombs do."""
    while True:
        for make in KINDS:
            yield make(draw)
        if rarely and draw.random() < 0.1:
            yield draw.choice(COSTLY)(draw)


def costly(draw: Draw, times: int) -> Iterator[Hostile]:
    """Those that take milliseconds to refuse, and megabytes."""
    return (make(draw) for _ in range(times) for make in COSTLY)


def _post(kind: str, body: bytes, path: str = INFER, **headers: str) -> Hostile:
    return Hostile(request("POST", path, body, **headers), kind)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, one in pairs for place in ((*path, key), *_places(one, (*path, key)))]


def edited(draw: Draw) -> Any:
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
                place[last] = copy.deepcopy(draw.choice(ODD))
        except (LookupError, TypeError):
            continue  # an edit before took the place away
    return told


def _json(draw: Draw) -> Hostile:
    return _post("json", json.dumps(edited(draw)).encode())


def _tensors(draw: Draw) -> Hostile:
    """Shapes, datatypes, parameters and outputs that do not fit."""
    told = json.loads(BODY)
    one = draw.choice(told["inputs"])
    what = draw.randrange(4)
    if what == 0:
        one["shape"] = draw.choice(_SHAPES)
    elif what == 1:
        one["datatype"] = draw.choice(_TYPES)
    elif what == 2:
        key = draw.choice(["binary_data_size", "classification", "shared_memory_region", "x" * 300, "binary_data"])
        draw.choice([told, one])["parameters"] = {key: draw.choice(ODD)}
    else:
        names = ["label", "probabilities", "label", "none", "", None, 3]
        told["outputs"] = [
            {"name": draw.choice(names), "parameters": draw.choice([{}, {"binary_data": draw.choice(ODD)}])}
        ]
        told["outputs"] *= draw.choice([1, 2, 3000])
    return _post("tensors", json.dumps(told).encode())


def _text(draw: Draw) -> Hostile:
    return _post("text", draw.choice(_TEXTS), draw.choice([INFER, PREDICT, FEEDBACK, "/v2/repository/index"]))


def _cut(draw: Draw) -> Hostile:
    data = bytearray(BODY)
    for _ in range(draw.randint(1, 8)):
        data[draw.randrange(len(data))] = draw.randrange(256)
    return _post("cut", bytes(data[: draw.randint(0, len(data))]))


def _binary(draw: Draw) -> Hostile:
    """JSON with binary tensors behind it, whose lengths, sizes and bytes are wrong."""
    size, town = (
        struct.pack("<2d", 1.5, 2),
        b"\4\0\0\0Kobe" + draw.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\1\0\0\0"]),
    )
    right = [16, len(town)]
    sizes = [draw.choice([one, one, 12, 0, -1, 2**40, 17, "16", None, True, 16.0]) for one in right]
    inputs = [
        {"name": name, "shape": draw.choice([[2, 1], [2, 1], *_SHAPES]), "datatype": kind}
        | {"parameters": {"binary_data_size": one}}
        for name, kind, one in zip(("size", "town"), ("FP64", "BYTES"), sizes, strict=True)
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": draw.choice([True, False, 1])}}).encode()
    length = draw.choice(
        [len(head), len(head), len(head) + 1, len(head) - 1, 0, -1, 2**70, "x", "", "+3", "0x10", "1 2", "²"]
    )
    tail = bytearray(size + town)
    tail[draw.randrange(len(tail))] ^= 1 << draw.randrange(8)
    return _post("binary", head + bytes(tail), Inference_Header_Content_Length=str(length))


def _nested(draw: Draw) -> Hostile:
    depth = draw.choice([50, 1000, 1025, 30_000])
    return _post("nested", b'{"inputs":' + b"[" * depth + b"]" * draw.choice([depth, 0]) + b"}")


def _encoded(draw: Draw) -> Hostile:
    """Bodies that are compressed, cut, joined, wrapped, or no such thing."""
    packed = gzip.compress(BODY, 1)
    body = draw.choice(
        [
            packed, packed[: draw.randint(0, len(packed))], packed + packed, packed + b"x", b"",
            gzip.compress(packed, 1),
            zlib.compress(BODY), draw.randbytes(draw.randint(0, 80)), BODY, gzip.compress(b""),
            zlib.compress(BODY)[2:-4], packed[:10],
        ]
    )  # fmt: skip
    names = ["gzip", "gzip", "deflate", "br", "x", "gzip, gzip", "identity", "GZIP", "x-gzip", "zstd", "", "gzip;q=1"]
    wanted = draw.choice(["gzip", "deflate", "*", "gzip;q=0", ",,,;q=,", "\x80", "br"])
    return _post("encoded", body, Content_Encoding=draw.choice(names), Accept_Encoding=wanted)


def _path(draw: Draw) -> Hostile:
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
    path = (
        "/"
        + "/".join(draw.choice(words) for _ in range(draw.randint(1, 6)))
        + draw.choice(["", "?a=b", "?" + "&" * 99])
    )
    method = draw.choice(["POST", "PUT", "DELETE", "PATCH", "GET", "HEAD", "OPTIONS", "TRACE"])
    return Hostile(request(method, path, draw.choice([b"", b"{}", BODY[:40]])), "path", head=method == "HEAD")


def _rows(draw: Draw) -> Hostile:
    rows = [{draw.choice(["size", "town", "x"]): draw.choice(ODD)} for _ in range(draw.randint(0, 3))]
    return _post("rows", json.dumps({"instances": draw.choice([rows, rows, rows, *ODD])}).encode(), PREDICT)


def _chunked(draw: Draw) -> Hostile:
    """Chunks, right in a third of them."""
    parts, at = [], 0
    while at < len(BODY):
        size = draw.randint(1, 90)
        part = BODY[at : at + size]
        parts.append(b"%x%s\r\n%s\r\n" % (len(part), draw.choice([b"", b"", b";a=b", b";" + b"x" * 200]), part))
        at += size
    whole = b"".join(parts) + b"0\r\n" + draw.choice([b"", b"a: b\r\n"]) + b"\r\n"
    head = f"POST {INFER} HTTP/1.1\r\nhost: test\r\n"
    if draw.random() < 0.3:
        return Hostile(f"{head}transfer-encoding: chunked\r\n\r\n".encode() + whole, "chunked", framed=False)
    coding = draw.choice(
        ["chunked", "chunked", "gzip, chunked", "chunked, chunked", "identity", "x", "chunked\x0b", "Chunked"]
    )
    extra = draw.choice(["", "content-length: 5\r\n", "transfer-encoding: chunked\r\n"])
    broken = bytearray(whole)
    for _ in range(draw.randint(0, 3)):
        broken[draw.randrange(len(broken))] = draw.randrange(256)
    sizes = [
        b"-1\r\n",
        b"g\r\n",
        b"ffffffffffffffff1\r\n",
        b"7fffffffffffffff\r\nabc",
        b"\r\n",
        b"1;\r\na\r\n",
        b"5\nabc",
    ]
    body = draw.choice([bytes(broken), draw.choice(sizes) + whole, whole[: draw.randint(0, len(whole))]])
    return Hostile(
        f"{head}{extra}transfer-encoding: {coding}\r\n\r\n".encode("latin-1") + body, "chunked", framed=False
    )


def _headers(draw: Draw) -> Hostile:
    """Headers as no client writes them."""
    odd = draw.choice(
        [
            "content-length: +5", "content-length: 0x10", "content-length: 5, 5", "content-length: ",
            "content-length: 5\x00",
            "content-length: 99999999999999999999", f"content-length: {MOST_BODY + 1}", "content-length: 999",
            "a" * 40_000,
            "content-length: 5\r\ncontent-length: 5", "content-length: 5\r\ncontent-length: 6", "\r\n x: folded", "x",
            "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13",
            "connection: upgrade\r\nupgrade: h2c",
            "expect: 100-continue", "expect: nonsense", "host: \x80\xff", ": empty", "a b: c", "a:" + "b" * 31_000,
            "transfer-encoding: chunked\r\ncontent-length: 5", "\x00: a", "a: \x01", "connection: close, keep-alive, x",
            "\r\n".join(f"a{at}: b" for at in range(150)), "inference-header-content-length: 1\r\ncontent-length: 1",
            "inference-header-content-length: 3\r\ninference-header-content-length: 99",
        ]
    )  # fmt: skip
    first = draw.choice(
        [
            f"POST {INFER} HTTP/1.1", f"POST {INFER} HTTP/1.0", f"POST http://x{INFER} HTTP/1.1",
            f"POST {INFER} HTTP/2.0",
            f"post {INFER} HTTP/1.1", f"POST  {INFER} HTTP/1.1", f"POST {INFER}", "PRI * HTTP/2.0",
            "CONNECT x:1 HTTP/1.1",
            f"BREW {INFER} HTTP/1.1", f"POST {INFER} HTTP/1.1 x", f"{'A' * 50} / HTTP/1.1", "GET \\ HTTP/1.1", "* * *",
        ]
    )  # fmt: skip
    text = f"{first}\r\n{odd}\r\n\r\n".encode("latin-1") + draw.choice([b"", b"{}", BODY[:5], BODY])
    return Hostile(text, "headers", framed=False, replies=3)


def _wire(draw: Draw) -> Hostile:
    """No HTTP, or nearly."""
    data = bytearray(request("POST", INFER, BODY[:40]))
    for _ in range(draw.randint(1, 4)):
        data[draw.randrange(60)] = draw.randrange(256)
    return Hostile(bytes(data), "wire", framed=False, replies=3)


def _piped(draw: Draw) -> Hostile:
    """Requests one behind the other, some of them wrong, up to more than are taken."""
    makers = (_json, _rows, _tensors, _path, _encoded, lambda _: _post("right", BODY))
    count = draw.choice([2, 3, 5, 20, 63, 200])
    parts = [made.data for made in (draw.choice(makers)(draw) for _ in range(count)) if not made.head]
    tail = draw.choice([b"", b"", b"nonsense\r\n\r\n", b"POST / HT", BODY])
    return Hostile(b"".join(parts) + tail, "piped", framed=False, replies=len(parts) + 1)


@functools.cache
def _bombs() -> list[bytes]:
    """Small bodies that become large: too large by a byte, 64 MiB, gzip in gzip, JSON just within its bound."""
    zeros = gzip.compress(b"\0" * (64 * 1024 * 1024), 9)
    texts = b'{"inputs":[' + b"0," * 2_000_000 + b"0]}"
    return [gzip.compress(b"[" * (MOST_BODY + 1), 9), zeros, gzip.compress(zeros, 9), gzip.compress(texts, 9)]


def _bomb(draw: Draw) -> Hostile:
    return _post("bomb", draw.choice(_bombs()), draw.choice([INFER, PREDICT]), Content_Encoding="gzip")


def _large(draw: Draw) -> Hostile:
    """Bodies near and beyond what is read, most of which never comes."""
    length = draw.choice([MOST_BODY + 1, 2**40, 4 * 1024 * 1024 + 1, 100_000])
    body = b'{"inputs":["' + b"x" * min(length, draw.choice([10, 100_000, 4 * 1024 * 1024 + 1]))
    return Hostile(request("POST", INFER, body[:length], content_length=str(length)), "large", framed=False)


def _rows_without_end(draw: Draw) -> Hostile:
    count = draw.choice([65_536, 65_537, 200_000])
    if draw.random() < 0.5:
        return _post("many", b'{"instances":[' + b"{}," * (count - 1) + b"{}]}", PREDICT)
    told = {"inputs": [{"name": "size", "shape": [count, 1], "datatype": "FP64", "data": [0] * count}]}
    return _post("many", json.dumps(told).encode())


KINDS: list[Callable[[Draw], Hostile]] = [
    _json, _json, _tensors, _text, _cut, _binary, _binary, _nested, _encoded, _path, _rows, _chunked, _headers, _wire,
    _json, _tensors, _rows, _cut, _piped,
]  # fmt: skip
COSTLY: list[Callable[[Draw], Hostile]] = [_bomb, _large, _rows_without_end]
