"""Whatever comes to the gRPC port gets a status of the protocol, and the next request is answered as ever."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grpc_requests import Client, labels, listed, raw, texts
from grpc_world import World, served
from headway_server.grpc import descriptors

ALLOWED = {"INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED", "DEADLINE_EXCEEDED"}
"""What a client's mistakes may be told as; not INTERNAL, and not UNKNOWN, which a handler's exception would be."""
EXAMPLES = 300
METHODS = st.sampled_from([*descriptors.OPEN_INFERENCE_METHODS, "ModelStreamInfer", "", "ModelInfer/"])
NAMES = st.sampled_from(["churn", "", "chum"]) | st.text(max_size=20)
SIZES = st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 3)


class Port:
    """A server that outlives the examples of a test, and the loop that it runs in."""

    def __init__(self, runner: asyncio.Runner, world: World, client: Client) -> None:
        self.runner, self.world, self.client = runner, world, client

    def told(self, method: str, data: bytes, service: str = descriptors.INFERENCE) -> str:
        """The status of a call, and no request is left behind."""

        async def ask() -> str:
            try:
                await self.client.send(method, data, service)
            except grpc.aio.AioRpcError as error:
                return error.code().name if error.details() else "an error without a sentence"
            return "OK"

        status = self.runner.run(ask())
        assert self.world.service.batcher.in_flight == 0
        return status

    def answers(self) -> bool:
        """Whether a good request is answered."""
        return labels(self.runner.run(self.client.call("ModelInfer", raw()))) == ["Kobe"]


@pytest.fixture(scope="module")
def port() -> Iterator[Port]:
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory() as folder:
        context = served(Path(folder))
        world = runner.run(context.__aenter__())
        client = Client(world.front.port)
        yield Port(runner, world, client)
        runner.run(client.channel.close())
        runner.run(context.__aexit__(None, None, None))


@settings(max_examples=EXAMPLES)
@given(
    method=METHODS, service=st.sampled_from([descriptors.INFERENCE, descriptors.HEALTH]), data=st.binary(max_size=99)
)
def test_any_bytes_get_a_status(port: Port, method: str, service: str, data: bytes) -> None:
    assert port.told(method, data, service) in ALLOWED | {"OK"}
    assert port.answers()


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good request with a few bytes that are not."""
    data = bytearray(draw(st.sampled_from([raw, listed]))([1.5, 2.0], ["Kobe", "Łódź"], id="7").SerializeToString())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data) - 1))
        change = draw(st.sampled_from(["set", "cut", "insert"]))
        if change == "set":
            data[at] = draw(st.integers(0, 255))
        elif change == "cut":
            del data[at : at + draw(st.integers(1, 9))]
        else:
            data[at:at] = draw(st.binary(min_size=1, max_size=9))
        data = data or bytearray(b"\0")
    return bytes(data)


@settings(max_examples=EXAMPLES)
@given(mutated())
def test_a_request_that_was_garbled_on_its_way_gets_a_status(port: Port, data: bytes) -> None:
    assert port.told("ModelInfer", data) in ALLOWED | {"OK"}
    assert port.answers()


@st.composite
def parameters(draw: st.DrawFn, message: Any) -> None:
    """Some parameters, of all kinds and of none."""
    known = st.sampled_from(["timeout", "sequence_id", "classification", "shared_memory_region", "binary_data_size"])
    for name in draw(st.lists(known | st.text(max_size=9), max_size=3)):
        kind = draw(st.sampled_from(["none", "bool_param", "int64_param", "string_param", "double_param"]))
        if kind == "none":
            message.parameters[name].SetInParent()
        else:
            value = {
                "bool_param": st.booleans(),
                "int64_param": st.integers(-(2**63), 2**63 - 1),
                "string_param": st.text(max_size=9),
                "double_param": st.floats(),
            }[kind]
            setattr(message.parameters[name], kind, draw(value))


@st.composite
def tensors(draw: st.DrawFn, message: Any) -> None:
    """An input of any name, datatype, shape and contents."""
    name = draw(st.sampled_from(["size", "town"]) | st.text(max_size=9))
    datatype = draw(st.sampled_from(["FP64", "BYTES", "FP32", "INT64", "BF16", "fp64", ""]))
    tensor = message.inputs.add(name=name, datatype=datatype, shape=draw(st.lists(SIZES, max_size=4)))
    if draw(st.booleans()):
        tensor.contents.fp64_contents.extend(draw(st.lists(st.floats(), max_size=4)))
    if draw(st.booleans()):
        tensor.contents.bytes_contents.extend(draw(st.lists(st.binary(max_size=4), max_size=4)))
    draw(parameters(tensor))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A message of the protocol that no client would send."""
    message = descriptors.ModelInferRequest(
        model_name=draw(NAMES), model_version=draw(st.sampled_from(["", "1", "2"])), id=draw(st.text(max_size=300))
    )
    for _ in range(draw(st.integers(0, 3))):
        draw(tensors(message))
    for name in draw(st.lists(st.sampled_from(["label", "probabilities", "x", ""]), max_size=3)):
        draw(parameters(message.outputs.add(name=name)))
    contents = st.binary(max_size=24) | st.just(texts("Kobe")) | st.just(b"\0" * 8)
    message.raw_input_contents.extend(draw(st.lists(contents, max_size=4)))
    draw(parameters(message))
    return bytes(message.SerializeToString())


@settings(max_examples=EXAMPLES)
@given(requests())
def test_a_message_that_no_client_would_send_gets_a_status(port: Port, data: bytes) -> None:
    assert port.told("ModelInfer", data) in ALLOWED | {"OK"}
    assert port.answers()
