"""The gRPC port answers every call of the protocol, and every mistake and every limit with a status and a sentence."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest

from grpc_requests import Client, labels, listed, raw
from grpc_world import World, served
from headway_server.about import server_version
from headway_server.batching import Limits
from headway_server.grpc import descriptors
from headway_server.grpc.server import GrpcFront, age_seconds, most_message_bytes
from headway_server.grpc.service import PUSHBACK
from headway_server.http.limits import MIB, HttpLimits
from headway_server.records.record import RecordSettings
from headway_server.rest.request import Bounds
from headway_server.service import Service
from headway_server.settings import Settings

WAITING = Limits(max_in_flight=2, max_delay_seconds=3600, max_wait_seconds=7200, max_size=3)
"""Requests wait until there are three rows."""


@asynccontextmanager
async def asked(folder: Path, **told: Any) -> AsyncIterator[tuple[World, Client]]:
    async with served(folder, **told) as world:
        client = Client(world.front.port)
        try:
            yield world, client
        finally:
            await client.channel.close()


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[tuple[World, Client]]:
    async with asked(tmp_path) as made:
        yield made


async def refused(client: Client, method: str, message: Any = None, **told: Any) -> tuple[str, str]:
    """The status and the sentence of a call that gets no answer."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.call(method, message, **told)
    return caught.value.code().name, str(caught.value.details())


async def test_the_server_tells_of_itself_and_of_its_model(both: tuple[World, Client]) -> None:
    _, client = both
    assert (await client.call("ServerLive")).live
    assert (await client.call("ServerReady")).ready
    assert (await client.call("ModelReady", descriptors.ModelReadyRequest(name="churn", version="1"))).ready
    server = await client.call("ServerMetadata")
    assert (server.name, server.version) == ("headway", server_version())
    model = await client.call("ModelMetadata", descriptors.ModelMetadataRequest(name="churn"))
    assert (model.name, list(model.versions), model.platform) == ("churn", ["1"], "onnx_onnxv1")
    told = [(one.name, one.datatype, list(one.shape)) for one in [*model.inputs, *model.outputs]]
    assert told == [
        ("size", "FP64", [-1, 1]),
        ("town", "BYTES", [-1, 1]),
        ("label", "BYTES", [-1]),
        ("probabilities", "FP32", [-1, 2]),
    ]


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
@pytest.mark.parametrize("make", [raw, listed])
async def test_rows_are_answered_raw_or_typed_plain_or_compressed(
    both: tuple[World, Client], make: Any, compression: Any
) -> None:
    answer = await both[1].call("ModelInfer", make([1.5, 2.0], ["Kobe", "Łódź"], id="9"), compression=compression)
    assert answer.id == "9"
    assert labels(answer) == ["Kobe", "Łódź"]
    assert np.frombuffer(answer.raw_output_contents[1], "<f4").tolist() == [1.5, 3.0, 2.0, 4.0]


async def test_records_are_kept_of_these_requests_too_and_give_them_ids(tmp_path: Path) -> None:
    records = RecordSettings(sample=1, folder=str(tmp_path / "records"))
    async with asked(tmp_path, records=records) as (world, client):
        made = (await client.call("ModelInfer", raw([1.5], ["Kobe"]))).id
        assert (await client.call("ModelInfer", raw([1.5], ["Kobe"], id="9"))).id == "9"
        assert world.service.recorder is not None
        world.service.recorder.writer.write_waiting()
    [file] = (tmp_path / "records").iterdir()
    told = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    assert [(one["protocol"], one["id"]) for one in told] == [("grpc", made), ("grpc", "9")]
    assert told[0]["predictions"] == [{"label": "Kobe"}]


async def test_rows_of_these_requests_are_watched_for_drift_too(both: tuple[World, Client]) -> None:
    world, client = both
    rows: list[list[float]] = []
    watched: Any = SimpleNamespace(share=1.0, answered=lambda feeds, _: rows.append(feeds["size"].ravel().tolist()))
    world.service.watching = watched
    await client.call("ModelInfer", raw([1.5, 2.5], ["Kobe", "Oslo"]))
    assert await refused(client, "ModelInfer", raw([1.5], ["Kobe"], model_version="7"))
    assert rows == [[1.5, 2.5]]


async def test_requests_at_once_each_get_their_own_answer(both: tuple[World, Client]) -> None:
    towns = [f"town {at}" for at in range(50)]
    answers = await asyncio.gather(*(both[1].call("ModelInfer", raw([1.0], [town])) for town in towns))
    assert [labels(one) for one in answers] == [[town] for town in towns]


async def test_a_mistake_is_an_invalid_argument_and_the_next_request_is_answered(both: tuple[World, Client]) -> None:
    _, client = both
    message = raw()
    message.inputs[0].datatype = "FP32"
    assert await refused(client, "ModelInfer", message) == (
        "INVALID_ARGUMENT",
        "inputs[0] ('size').datatype must be FP64, not 'FP32'",
    )
    message = raw()
    del message.inputs[1]
    message.raw_input_contents.pop()
    assert await refused(client, "ModelInfer", message) == ("INVALID_ARGUMENT", "inputs: 'town' is missing")
    assert labels(await client.call("ModelInfer", raw())) == ["Kobe"]


async def test_a_model_or_a_version_that_is_not_here_is_not_found(both: tuple[World, Client]) -> None:
    _, client = both
    for method, message in (
        ("ModelReady", descriptors.ModelReadyRequest(name="chum")),
        ("ModelMetadata", descriptors.ModelMetadataRequest(name="chum")),
        ("ModelInfer", descriptors.ModelInferRequest(model_name="chum")),
    ):
        assert await refused(client, method, message) == (
            "NOT_FOUND",
            "no model 'chum' here; the model is 'churn'",
        )
    assert await refused(client, "ModelInfer", raw(model_version="2")) == (
        "NOT_FOUND",
        "no version '2' of 'churn' here; it is '1'",
    )
    assert labels(await client.call("ModelInfer", raw(model_version="1"))) == ["Kobe"]


async def test_what_others_offer_beyond_the_protocol_is_unimplemented(both: tuple[World, Client]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await both[1].send("ModelStatistics", b"")
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_kubelets_probe_is_told_whether_requests_should_come_here(both: tuple[World, Client]) -> None:
    world, client = both
    serving, not_serving = 1, 2
    for service in ("", descriptors.INFERENCE):
        message = descriptors.HealthCheckRequest(service=service)
        assert (await client.call("Check", message, descriptors.HEALTH)).status == serving
    world.service.drain()
    assert (await client.call("Check", None, descriptors.HEALTH)).status == not_serving
    assert not (await client.call("ServerReady")).ready
    assert not (await client.call("ModelReady", descriptors.ModelReadyRequest(name="churn"))).ready
    assert (await client.call("ServerLive")).live
    unknown = descriptors.HealthCheckRequest(service="other")
    assert (await refused(client, "Check", unknown, service=descriptors.HEALTH))[0] == "NOT_FOUND"


async def test_a_server_that_is_about_to_end_still_answers_what_comes(both: tuple[World, Client]) -> None:
    world, client = both
    world.service.drain()
    assert labels(await client.call("ModelInfer", raw())) == ["Kobe"]


async def test_beyond_what_fits_a_request_is_told_so_and_when_to_come_again(tmp_path: Path) -> None:
    async with asked(tmp_path, batching=WAITING) as (world, client):
        waiting = [asyncio.ensure_future(client.call("ModelInfer", raw())) for _ in range(2)]
        for _ in waiting:
            await world.service.came.get()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.call("ModelInfer", raw())
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "send it again later" in str(caught.value.details())
        assert dict(caught.value.trailing_metadata() or ()) == {PUSHBACK: "1000"}
        assert (await client.call("ServerLive")).live
        for one in waiting:
            one.cancel()


async def test_a_request_whose_client_has_gone_is_not_run(tmp_path: Path) -> None:
    async with asked(tmp_path, batching=WAITING) as (world, client):
        request = asyncio.ensure_future(client.call("ModelInfer", raw()))
        waiting = await world.service.came.get()
        request.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert labels(await client.call("ModelInfer", raw([1.0] * 3, ["a", "b", "c"]))) == ["a", "b", "c"]
        assert world.rows == [3]


async def test_the_clients_deadline_holds(tmp_path: Path) -> None:
    async with asked(tmp_path, batching=WAITING) as (_, client):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.channel.unary_unary(f"/{descriptors.INFERENCE}/ModelInfer")(
                raw().SerializeToString(), timeout=0.2
            )
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_the_time_that_a_request_gives_itself_holds(both: tuple[World, Client]) -> None:
    world, client = both
    message = raw()
    message.parameters["timeout"].int64_param = 1
    code, said = await refused(client, "ModelInfer", message)
    assert code == "DEADLINE_EXCEEDED"
    assert "had passed" in said
    assert world.service.batcher.in_flight == 0


async def test_more_rows_than_are_taken_at_once_are_too_many(tmp_path: Path) -> None:
    async with asked(tmp_path, bounds=Bounds(rows=1000)) as (_, client):
        code, said = await refused(client, "ModelInfer", raw([1.0] * 1001, ["a"] * 1001))
    assert (code, said) == (
        "RESOURCE_EXHAUSTED",
        "inputs[0] ('size').shape has 1001 rows, and at most 1000 are taken at once",
    )


async def test_an_error_of_the_server_tells_nothing_of_what_it_was(both: tuple[World, Client]) -> None:
    world, client = both
    world.failure = ZeroDivisionError("secret")
    code, said = await refused(client, "ModelInfer", raw())
    assert code == "INTERNAL"
    assert "secret" not in said
    world.failure = None
    assert labels(await client.call("ModelInfer", raw())) == ["Kobe"]


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_a_message_beyond_the_limit_is_refused_also_where_it_is_small_only_compressed(
    tmp_path: Path, compression: Any
) -> None:
    async with asked(tmp_path, http=HttpLimits(max_request_bytes=100_000)) as (_, client):
        message = raw(towns=["a" * 200_000])
        code, said = await refused(client, "ModelInfer", message, compression=compression)
        assert code == "RESOURCE_EXHAUSTED"
        assert "larger than" in said
        assert labels(await client.call("ModelInfer", raw())) == ["Kobe"]


@pytest.mark.parametrize(
    ("in_flight", "request_mib", "mib"),
    [(64, 16, 1.78), (8, 16, 8), (8, 32, 16), (24, 1, 0.25), (1000, 16, 0.127), (1, 4, 3.56)],
)
def test_the_longest_message_is_such_that_all_at_once_fit_in_memory(
    in_flight: int, request_mib: int, mib: float
) -> None:
    http = HttpLimits(max_request_bytes=request_mib * MIB, max_bytes_in_flight=4 * request_mib * MIB)
    settings = Settings("", batching=Limits(max_in_flight=in_flight), http=http)
    assert most_message_bytes(settings) / MIB == pytest.approx(mib, rel=0.01)


async def test_silent_connections_are_bounded_and_do_not_keep_others_out_for_long(tmp_path: Path) -> None:
    limits = HttpLimits(max_connections=4, header_seconds=0.5)
    async with asked(tmp_path, http=limits) as (world, client):
        silent = [await asyncio.open_connection("127.0.0.1", world.front.port) for _ in range(8)]
        # They are closed, those beyond the limit at once, and the others when they have said nothing for too long.
        for reader, writer in silent:
            with suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), 10)
            writer.close()
        assert labels(await client.call("ModelInfer", raw(), wait_for_ready=True)) == ["Kobe"]


async def test_a_port_that_another_has_is_an_error_and_not_shared(both: tuple[World, Client]) -> None:
    world, client = both
    taken = replace(world.service.settings, grpc_port=world.front.port)
    other = GrpcFront(Service(world.service.model, taken, inline=True))
    with pytest.raises(OSError, match=f"gRPC cannot listen on 127.0.0.1:{world.front.port}, which is taken"):
        await other.start()
    await other.stop(0)
    assert (await client.call("ServerLive")).live


async def test_before_the_model_is_warm_nothing_is_run(tmp_path: Path) -> None:
    async with asked(tmp_path) as (world, _):
        cold = GrpcFront(Service(world.service.model, world.service.settings, inline=True))
        await cold.start()
        client = Client(cold.port)
        assert await refused(client, "ModelInfer", raw()) == ("UNAVAILABLE", "the model churn is not ready yet")
        assert not (await client.call("ServerReady")).ready
        await client.channel.close()
        await cold.stop(0)


async def test_what_was_asked_is_counted_as_by_other_protocols(both: tuple[World, Client]) -> None:
    world, client = both
    await client.call("ModelInfer", raw())
    await refused(client, "ModelInfer", raw(model_version="2"))
    told = world.service.metrics.text().decode()
    of = 'model="churn",protocol="grpc",version="1"'
    assert f"headway_server_request_seconds_count{{{of}}} 1.0" in told
    assert 'headway_server_errors_total{kind="not_found",model="churn",protocol="grpc",version="1"} 1.0' in told


async def test_the_access_log_has_a_line_for_each_call(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    async with asked(tmp_path, access_log=True) as (_, client):
        await client.call("ModelInfer", raw())
        await refused(client, "ModelReady", descriptors.ModelReadyRequest(name="chum"))
    first, second = map(json.loads, capfdbinary.readouterr().out.splitlines())
    assert (first["method"], first["path"], first["status"]) == ("GRPC", f"/{descriptors.INFERENCE}/ModelInfer", 200)
    assert first["bytes"] > 0
    assert (second["path"], second["status"]) == (f"/{descriptors.INFERENCE}/ModelReady", 404)


@pytest.mark.parametrize(("drain", "age"), [(20, 14.5), (0, 5), (5, 5), (15, 10), (70, 60), (3600, 60)])
def test_connections_are_as_old_as_a_server_that_ends_has_time_for(drain: float, age: float) -> None:
    assert age_seconds(drain) == pytest.approx(age, abs=0.05)
