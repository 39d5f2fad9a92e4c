"""What clients of the data port get: the protocol's paths, and each error as {"error": ...} with its status."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from typing import Any

import pytest

from headway_server.batching import Limits
from headway_server.cache import CacheLimits
from headway_server.http.limits import HttpLimits
from headway_server.rest.request import Bounds
from wire_client import Reply, Wire, ask, request, when

from .conftest import Serve

INFER = "/v2/models/churn/infer"
BODY = json.dumps(
    {
        "id": "a",
        "inputs": [
            {"name": "size", "shape": [2, 1], "datatype": "FP64", "data": [1.5, 2]},
            {"name": "town", "shape": [2, 1], "datatype": "BYTES", "data": ["Kobe", "Łódź"]},
        ],
    }
).encode()
OUTPUTS = [
    {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["Kobe", "Łódź"]},
    {"name": "probabilities", "datatype": "FP32", "shape": [2, 2], "data": [1.5, 3.0, 2.0, 4.0]},
]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"live": True, "ready": True}),
        ("/v2/models/churn/ready", {"name": "churn", "ready": True}),
        ("/v2/models/churn/versions/1/ready", {"name": "churn", "ready": True}),
        ("/v2/models", {"models": ["churn"]}),
    ],
)
async def test_health_and_lists_have_bodies(path: str, told: Any, serve: Serve) -> None:
    async with serve() as server:
        reply = await ask(server.port, "GET", path)
        assert (reply.status, reply.json) == (200, told)


async def test_metadata_tells_the_extensions_and_the_tensors(serve: Serve) -> None:
    async with serve() as server:
        whole = await ask(server.port, "GET", "/v2")
        assert whole.json["name"] == "headway"
        assert "binary_tensor_data" in whole.json["extensions"]
        assert (await ask(server.port, "GET", "/v2/")).body == whole.body
        told = (await ask(server.port, "GET", "/v2/models/churn")).json
        assert (await ask(server.port, "GET", "/v2/models/churn/versions/1")).json == told
        assert told["versions"] == ["1"]
        assert told["inputs"] == [
            {"name": "size", "datatype": "FP64", "shape": [-1, 1]},
            {"name": "town", "datatype": "BYTES", "shape": [-1, 1]},
        ]
        assert [one["name"] for one in told["outputs"]] == ["label", "probabilities"]


@pytest.mark.parametrize("path", [INFER, "/v2/models/churn/versions/1/infer"])
async def test_a_request_is_answered_with_its_id(path: str, serve: Serve) -> None:
    async with serve() as server:
        reply = await ask(server.port, "POST", path, BODY)
        assert reply.status == 200
        assert reply.json == {"model_name": "churn", "model_version": "1", "id": "a", "outputs": OUTPUTS}


async def test_a_binary_request_gets_a_binary_answer(serve: Serve) -> None:
    towns = b"".join(struct.pack("<I", len(one)) + one for one in (b"Kobe", "Łódź".encode()))
    inputs = [
        {"name": "size", "shape": [2, 1], "datatype": "FP64", "parameters": {"binary_data_size": 16}},
        {"name": "town", "shape": [2, 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(towns)}},
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    async with serve() as server:
        body = head + struct.pack("<2d", 1.5, 2.0) + towns
        reply = await ask(server.port, "POST", INFER, body, Inference_Header_Content_Length=str(len(head)))
    assert reply.headers["content-type"] == "application/octet-stream"
    length = int(reply.headers["inference-header-content-length"])
    label, classes = json.loads(reply.body[:length])["outputs"]
    assert label == {
        "name": "label",
        "datatype": "BYTES",
        "shape": [2],
        "parameters": {"binary_data_size": len(towns)},
    }
    assert reply.body[length:] == towns + struct.pack("<4f", 1.5, 3.0, 2.0, 4.0)
    assert classes["parameters"] == {"binary_data_size": 16}


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_bodies_may_be_compressed_both_ways(name: str, pack: Any, serve: Serve) -> None:
    rows = 200
    inputs = [
        {"name": "size", "shape": [rows, 1], "datatype": "FP64", "data": [0.5] * rows},
        {"name": "town", "shape": [rows, 1], "datatype": "BYTES", "data": ["x"] * rows},
    ]
    body = json.dumps({"inputs": inputs}).encode()
    async with serve() as server:
        plain = await ask(server.port, "POST", INFER, body)
        reply = await ask(server.port, "POST", INFER, pack(body), Content_Encoding=name, Accept_Encoding=name)
        refused = await ask(server.port, "POST", INFER, body, Accept_Encoding=f"{name};q=0.0, br")
    assert reply.headers["content-encoding"] == name
    unpacked = gzip.decompress(reply.body) if name == "gzip" else zlib.decompress(reply.body)
    assert unpacked == plain.body
    assert len(reply.body) < len(plain.body) / 4
    assert "content-encoding" not in refused.headers


async def test_rows_of_raw_columns_get_predictions(serve: Serve) -> None:
    rows = [{"size": 1, "town": 7.0, "id": 3}, {"size": None, "town": None}]
    async with serve() as server:
        reply = await ask(server.port, "POST", "/v1/models/churn:predict", json.dumps({"instances": rows}).encode())
    assert reply.json == {
        "predictions": [
            {"label": "7", "probabilities": {"no": 1.0, "yes": 2.0}},
            {"label": "", "probabilities": {"no": None, "yes": None}},
        ]
    }


async def test_the_index_of_the_repository_tells_the_state(serve: Serve) -> None:
    async with serve() as server:
        path = "/v2/repository/index"
        told = [{"name": "churn", "version": "1", "state": "READY", "reason": ""}]
        assert (await ask(server.port, "POST", path)).json == told
        assert (await ask(server.port, "POST", path, b'{"ready": true}')).json == told
        server.service.drain()
        assert (await ask(server.port, "POST", path)).json[0]["state"] == "UNAVAILABLE"
        assert (await ask(server.port, "POST", path, b'{"ready": true}')).json == []


async def test_the_openapi_names_every_path_that_is_there_and_what_it_refers_to(serve: Serve) -> None:
    async with serve() as server:
        told = (await ask(server.port, "GET", "/openapi.json")).json
        for path, methods in told["paths"].items():
            for method in methods:
                body = BODY if path.endswith("infer") else b'{"instances": [{"size": 1, "town": "a"}]}'
                reply = await ask(server.port, method.upper(), path, body if method == "post" else b"")
                assert reply.status == 200, path
    for name in _references(told):
        assert name.removeprefix("#/components/schemas/") in told["components"]["schemas"]
    assert f"{INFER}" in told["paths"]


def _references(value: Any) -> list[str]:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    own = [value["$ref"]] if isinstance(value, dict) and "$ref" in value else []
    return own + [name for one in inner for name in _references(one)]


@pytest.mark.parametrize(
    ("asked", "body", "headers", "status", "words"),
    [
        (("GET", "/"), b"", {}, 404, "/openapi.json tells which there are"),
        (("GET", "/v2/models/other"), b"", {}, 404, "the model that is served here is churn"),
        (("POST", "/v2/models/churn/versions/2/infer"), b"{}", {}, 404, "that is served here is 1"),
        (("POST", "/v2/models/churn/explain"), b"{}", {}, 404, "is no path of this server"),
        (("GET", INFER), b"", {}, 405, "is for POST"),
        (("PUT", "/v2"), b"", {}, 405, "is for GET, HEAD"),
        (("POST", INFER), b"", {}, 400, "the body is no JSON"),
        (("POST", INFER), b"{", {}, 400, "the body is no JSON"),
        (("POST", INFER), BODY, {"Inference_Header_Content_Length": "-1"}, 400, "must be a whole number, not '-1'"),
        (("POST", INFER), BODY, {"Inference_Header_Content_Length": "9" * 99}, 400, "must be a whole number"),
        (("POST", INFER), BODY, {"Inference_Header_Content_Length": "9999"}, 400, "but the body has"),
        (("POST", INFER), BODY, {"Content_Encoding": "br"}, 415, "gzip and deflate are known here"),
        (("POST", INFER), BODY, {"Content_Encoding": "gzip"}, 400, "is not compressed as Content-Encoding says"),
        (("POST", INFER), gzip.compress(BODY)[:-9], {"Content_Encoding": "gzip"}, 400, "is cut off"),
        (("POST", INFER), gzip.compress(BODY) + b"x", {"Content_Encoding": "gzip"}, 400, "something follows it"),
        (("POST", INFER), b" " * 5000, {}, 413, "the body has more than 4096 bytes"),
        (("POST", INFER), gzip.compress(b" " * 5_000_000)[:4000], {"Content_Encoding": "gzip"}, 413, "more than 4096"),
        (("POST", INFER), BODY[:-1] + b" " * 2000 + b"}", {}, 413, "the JSON has"),
        (("POST", "/v1/models/churn:predict"), b"{}", {}, 400, "instances must be a list of rows"),
    ],
)
async def test_every_error_has_a_status_and_a_sentence(
    asked: tuple[str, str], body: bytes, headers: dict[str, str], *, status: int, words: str, serve: Serve
) -> None:
    async with serve(http=HttpLimits(max_request_bytes=4096), bounds=Bounds(json_bytes=2048)) as server:
        reply = await ask(server.port, *asked, body, **headers)
        assert reply.status == status
        assert words in reply.error
        assert (await ask(server.port, "POST", INFER, BODY)).status == 200


async def test_a_body_in_chunks_is_read_and_bounded(serve: Serve) -> None:
    def chunks(body: bytes, size: int) -> bytes:
        parts = [body[at : at + size] for at in range(0, len(body), size)]
        return b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in parts) + b"0\r\n\r\n"

    async with serve(http=HttpLimits(max_request_bytes=4096)) as server:
        whole = await ask(server.port, "POST", INFER, chunks(BODY, 7), transfer_encoding="chunked")
        assert whole.json["outputs"] == OUTPUTS
        large = await ask(server.port, "POST", INFER, chunks(b" " * 9000, 500), transfer_encoding="chunked")
        assert large.status == 413
        assert "more than 4096 bytes" in large.error


async def test_all_bodies_together_are_bounded_and_what_was_held_is_given_back(serve: Serve) -> None:
    limits = HttpLimits(max_request_bytes=4096, max_bytes_in_flight=5000)
    async with serve(http=limits) as server:
        half = await Wire.to(server.port)
        half.send(request("POST", INFER, b"x", content_length="4000"))
        await when(lambda: server.listener.peers.open and not server.listener.peers.idle)
        refused = await _until(server.port, 503)
        assert "all the memory" in refused.error
        assert refused.headers["retry-after"] == "1"
        await half.close()
        assert (await _until(server.port, 200)).json["outputs"][0]["data"] == ["Kobe", "Łódź"]


async def _until(port: int, status: int) -> Reply:
    """The answer to a request of 2,000 bytes that has this status, as soon as there is one."""
    for _ in range(1000):
        reply = await ask(port, "POST", INFER, BODY + b" " * (2000 - len(BODY)))
        if reply.status == status:
            return reply
    pytest.fail(f"no answer had the status {status}")


async def test_before_it_is_ready_and_while_it_drains_health_says_so_and_draining_answers_still(serve: Serve) -> None:
    async with serve(ready=False) as server:
        for method, path in (("GET", "/v2/health/ready"), ("GET", "/v2/models/churn/ready"), ("POST", INFER)):
            reply = await ask(server.port, method, path, BODY if method == "POST" else b"")
            assert (reply.status, reply.error) == (503, "the model churn is not ready yet")
        assert (await ask(server.port, "GET", "/v2/health/live")).status == 200
        server.service.begin()
        assert (await ask(server.port, "GET", "/v2/health/ready")).status == 200
        server.service.drain()
        assert (await ask(server.port, "GET", "/v2/health/ready")).error == "the server is about to end"
        reply = await ask(server.port, "POST", INFER, BODY)
        assert reply.status == 200
        assert reply.headers["connection"] == "close"


async def test_beyond_what_it_takes_requests_get_503_and_their_connections_stay(serve: Serve) -> None:
    async with serve(batching=Limits(max_in_flight=2, max_delay_seconds=3600, max_wait_seconds=7200)) as server:
        waiting = [await Wire.to(server.port) for _ in range(2)]
        for one in waiting:
            one.send(request("POST", INFER, BODY))
        await when(lambda: server.service.batcher.in_flight == 2)
        other = await Wire.to(server.port)
        for _ in range(3):
            reply = await other.ask("POST", INFER, BODY)
            assert reply.status == 503
            assert int(reply.headers["retry-after"]) >= 1
            assert "send it again later" in reply.error
        assert (await other.ask("GET", "/v2/health/ready")).status == 200
        for one in (*waiting, other):
            await one.close()
        server.service.batcher._drain()


async def test_rows_whose_answer_would_be_too_large_are_not_run(serve: Serve) -> None:
    async with serve(bounds=Bounds(values=5)) as server:
        reply = await ask(server.port, "POST", INFER, BODY)
        assert reply.status == 413
        assert "the answer for 2 rows would have 6 values, and at most 5" in reply.error
        assert server.service.batcher.in_flight == 0


async def test_a_request_that_gives_no_time_is_not_run(serve: Serve) -> None:
    told = json.loads(BODY) | {"parameters": {"timeout": 1}}
    async with serve(batching=Limits(max_delay_seconds=0.01)) as server:
        reply = await ask(server.port, "POST", INFER, json.dumps(told).encode())
        assert reply.status == 504
        assert "before the model could be run" in reply.error


async def test_metrics_count_answers_errors_and_runs(serve: Serve) -> None:
    async with serve() as server:
        for body in (BODY, BODY, b"{"):
            await ask(server.port, "POST", INFER, body)
        text = server.service.metrics.text().decode()
    labels = 'model="churn",protocol="rest",version="1"'
    assert f"headway_server_request_seconds_count{{{labels}}} 2.0" in text
    assert f'headway_server_errors_total{{kind="invalid",{labels}}} 1.0' in text
    assert 'headway_server_batch_rows_sum{model="churn",version="1"} 4.0' in text
    assert 'headway_server_in_flight{model="churn",version="1"} 0.0' in text


class Watched:
    """Stands where what counts rows for drift stands."""

    def __init__(self, share: float = 1.0) -> None:
        self.share = share
        self.rows: list[list[float]] = []

    def answered(self, feeds: Any, outputs: Any) -> None:
        """As Watching does."""
        assert len(outputs["label"]) == len(feeds["size"])
        self.rows.append(feeds["size"].ravel().tolist())


class TestWatchedForDrift:
    """Rows are counted as clients have sent them, once for each request that the model has an answer for."""

    async def test_answers_are_counted_by_either_path_with_and_without_a_run(self, serve: Serve) -> None:
        async with serve(cache=CacheLimits(100, 60.0)) as server:
            watched: Any = Watched()
            server.service.watching = watched
            for _ in range(2):  # the second time from the cache
                assert (await ask(server.port, "POST", INFER, BODY)).status == 200
            rows = json.dumps({"instances": [{"size": 3.5, "town": "Kobe"}]}).encode()
            assert (await ask(server.port, "POST", "/v1/models/churn:predict", rows)).status == 200
            assert watched.rows == [[1.5, 2.0], [1.5, 2.0], [3.5]]

    async def test_probes_mistakes_and_what_is_not_asked_for_are_not_counted(self, serve: Serve) -> None:
        async with serve() as server:
            watched: Any = Watched()
            server.service.watching = watched
            await ask(server.port, "GET", "/v2/health/ready")
            await ask(server.port, "GET", "/v2/models/churn")
            assert (await ask(server.port, "POST", INFER, b"{}")).status == 400
            watched.share = 0.0
            assert (await ask(server.port, "POST", INFER, BODY)).status == 200
            assert watched.rows == []
