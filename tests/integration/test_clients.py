"""What others have written to talk to servers of the Open Inference Protocol talks to ours: tritonclient, and KServe's
clients, each in an environment of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from client_environment import told_by
from grpc_world import served
from headway_server.grpc import descriptors

HERE = Path(__file__).resolve().parent / "clients"
PROBABILITIES = [1.5, 3.0, -2.0, -4.0]
ANSWERS = {"label": ["Kobe", "Łódź"], "probabilities": PROBABILITIES}
NO_MODEL = "no model 'chum' here; the model is 'churn'"
MISTAKE = "inputs: 'size' must be FP64, not 'FP32'"
TENSORS = {
    "inputs": [
        {"name": "size", "datatype": "FP64", "shape": ["-1", "1"]},
        {"name": "town", "datatype": "BYTES", "shape": ["-1", "1"]},
    ],
    "outputs": [
        {"name": "label", "datatype": "BYTES", "shape": ["-1"]},
        {"name": "probabilities", "datatype": "FP32", "shape": ["-1", "2"]},
    ],
}
READY = {"live": True, "ready": True, "model ready": True}


@pytest.fixture
async def ports(tmp_path: Path) -> AsyncIterator[list[str]]:
    async with served(tmp_path) as (_, port):
        yield [str(port)]


async def test_tritonclient_is_answered(ports: list[str]) -> None:
    told = await told_by(HERE / "ask_triton.py", *ports)
    assert told["grpc"] == READY | {
        "version ready": True,
        "server": "headway",
        "model": {"name": "churn", "versions": ["1"], "platform": "onnx_onnxv1"} | TENSORS,
        "infer": ANSWERS,
        "version": ANSWERS,
        "id": "7",
        "one output": {"probabilities": PROBABILITIES},
        "parameters": ANSWERS,
        "gzip": ANSWERS,
        "deflate": ANSWERS,
        "timeout": ANSWERS,
        "typed": ANSWERS,
        "no model": ["StatusCode.NOT_FOUND", NO_MODEL],
        "mistake": ["StatusCode.INVALID_ARGUMENT", MISTAKE],
        "statistics": "StatusCode.UNIMPLEMENTED",
    }
    _agree(told["protocol"], lacking=set())


async def test_kserves_clients_are_answered(ports: list[str]) -> None:
    told = await told_by(HERE / "ask_kserve.py", *ports)
    assert told["grpc"] == READY | {
        "infer": {"id": "7"} | ANSWERS,
        "typed": {"id": "7"} | ANSWERS,
        "no model": ["NOT_FOUND", NO_MODEL],
        "mistake": ["INVALID_ARGUMENT", MISTAKE],
    }
    _agree(told["protocol"], lacking={"InferParameter.double_param", "InferParameter.uint64_param"})


def _agree(theirs: str, lacking: set[str]) -> None:
    """A client's copy of the protocol says the same as ours of all that ours has, but for what it lacks."""
    file = descriptor_pb2.FileDescriptorProto.FromString(bytes.fromhex(theirs))
    ours, found = _facts(descriptors.inference_file()), _facts(file)
    assert ours.keys() - found.keys() == lacking
    assert {name: found[name] for name in ours.keys() - lacking} == {
        name: fact for name, fact in ours.items() if name not in lacking
    }


def _facts(file: Any) -> dict[str, Any]:
    """What is on the wire of each field, and each method with what goes in and out."""
    facts: dict[str, Any] = {}

    def look(message: Any, path: str) -> None:
        for field in message.field:
            facts[f"{path}.{field.name}"] = (field.number, field.type, field.label, field.type_name)
        for nested in message.nested_type:
            look(nested, f"{path}.{nested.name}")

    for message in file.message_type:
        facts[message.name] = "message"
        look(message, message.name)
    for service in file.service:
        for method in service.method:
            facts[f"{file.package}.{service.name}/{method.name}"] = (
                method.input_type,
                method.output_type,
                method.client_streaming,
                method.server_streaming,
            )
    return facts
