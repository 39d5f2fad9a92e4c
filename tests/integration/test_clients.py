"""What others have written to talk to servers of the Open Inference Protocol talks to ours: tritonclient, and KServe's
clients, each in an environment of its own.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2
from onnx import TensorProto, helper

from client_environment import client_python, told_by
from headway_api.bundle import Input, Output, Provenance, Signature
from headway_server.grpc import descriptors
from markdown_blocks import ROOT, Block, blocks
from served import OPSET, bundle
from server_process import PATIENCE, serving

HERE = Path(__file__).resolve().parent / "clients"
CALLING = ROOT / "docs/how-to/call-a-model.md"
PROBABILITIES = [1.5, 3.0, -2.0, -4.0]
ANSWERS = {"label": ["Kobe", "Łódź"], "probabilities": PROBABILITIES}
NO_MODEL = "no model 'chum' here; the model is 'churn'"
NO_PATH = "/v2/models/chum/infer: the model that is served here is churn"
MISTAKE = "inputs[0] ('size').datatype must be FP64, not 'FP32'"
READY = {"live": True, "ready": True, "model ready": True}


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """gRPC's, and REST's."""
    with serving(bundle(tmp_path_factory.mktemp("echo"))) as server:
        yield [str(server.grpc_port), str(server.port)]


async def test_tritonclient_is_answered(ports: list[str]) -> None:
    told = await told_by(HERE / "ask_triton.py", *ports)
    assert told["grpc"] == READY | {
        "version ready": True,
        "server": "headway",
        "model": _metadata(str),
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
    digest = told["http"]["model"].pop("parameters")
    assert len(digest["sha256"]) == 64
    assert told["http"] == READY | {
        "version ready": True,
        "server": "headway",
        "model": _metadata(int),
        "infer": ANSWERS,
        "version": ANSWERS,
        "id": "7",
        "one output": {"probabilities": PROBABILITIES},
        "parameters": ANSWERS,
        "gzip": ANSWERS,
        "deflate": ANSWERS,
        "later": ANSWERS,
        "JSON in": ANSWERS,
        "JSON in, mixed out": ANSWERS,
        "binary in, mixed out": ANSWERS,
        "no model": ["404", NO_PATH],
        "mistake": ["400", MISTAKE],
    }


async def test_kserves_clients_are_answered(ports: list[str]) -> None:
    told = await told_by(HERE / "ask_kserve.py", *ports)
    assert told["grpc"] == READY | {
        "infer": {"id": "7"} | ANSWERS,
        "typed": {"id": "7"} | ANSWERS,
        "no model": ["NOT_FOUND", NO_MODEL],
        "mistake": ["INVALID_ARGUMENT", MISTAKE],
    }
    for name, status, said in (("no model", "404", NO_PATH), ("mistake", "400", MISTAKE)):
        refused = told["http"].pop(name)
        assert refused[0] == status
        # The client decodes the sentence only where the content type is JSON's, and no more.
        assert refused[1].startswith(f"{said}, ")
    assert told["http"] == READY | {
        "infer": {"id": "7"} | ANSWERS,
        "JSON in": {"id": "7"} | ANSWERS,
        "mixed out": {"id": "7"} | ANSWERS,
    }
    _agree(told["protocol"], lacking={"InferParameter.double_param", "InferParameter.uint64_param"})


def _metadata(size: Callable[[int], Any]) -> dict[str, Any]:
    """What the echo is told as. size: tritonclient shows the sizes of gRPC as text."""

    def tensor(name: str, datatype: str, *shape: int) -> dict[str, Any]:
        return {"name": name, "datatype": datatype, "shape": [size(one) for one in shape]}

    return {
        "name": "churn",
        "versions": ["1"],
        "platform": "onnx_onnxv1",
        "inputs": [tensor("size", "FP64", -1, 1), tensor("town", "BYTES", -1, 1)],
        "outputs": [tensor("label", "BYTES", -1), tensor("probabilities", "FP32", -1, 2)],
    }


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


def test_the_page_s_example_is_answered(tmp_path: Path) -> None:
    [example] = [
        one for one in blocks(ROOT / "docs/how-to/serve.md") if one.language == "python" and "alone" in one.words
    ]
    with serving(_digits(tmp_path)) as server:
        text = example.text.replace("127.0.0.1:9000", f"127.0.0.1:{server.grpc_port}")
        assert text != example.text
        done = subprocess.run(
            [str(client_python()), "-I", "-c", text], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    assert (done.returncode, done.stdout) == (0, "['3', '3']\n"), done.stderr


@pytest.fixture(scope="module")
def churn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """By what the page says, where the model is here: it takes those who called more than twice for leaving."""
    with serving(_churn(tmp_path_factory.mktemp("churn"))) as server:
        yield {"127.0.0.1:8080": f"127.0.0.1:{server.port}", "127.0.0.1:9000": f"127.0.0.1:{server.grpc_port}"}


PYTHON_CLIENTS = [one for one in blocks(CALLING) if one.language == "python"]


@pytest.mark.parametrize("block", PYTHON_CLIENTS, ids=str)
def test_each_client_of_the_page_about_calling_is_told_what_the_page_shows(churn: dict[str, str], block: Block) -> None:
    said, complained = _told(churn, block.text)
    assert said == _shown(block), complained


def test_triton_s_example_by_grpc_is_as_the_page_says_it_differs(churn: dict[str, str]) -> None:
    [block] = [one for one in PYTHON_CLIENTS if "tritonclient" in one.text]
    text = block.text.replace("tritonclient.http", "tritonclient.grpc").replace("127.0.0.1:8080", "127.0.0.1:9000")
    assert _told(churn, text.replace('Output("label")]', 'Output("label")], client_timeout=5')) == (_shown(block), "")


def test_curl_is_answered_as_the_page_says(churn: dict[str, str]) -> None:
    [block] = [one for one in blocks(CALLING) if one.language == "sh"]
    done = subprocess.run(["bash", "-c", _here(churn, block.text)], capture_output=True, text=True, check=False)
    assert '"label":"yes"' in done.stdout, done


def _here(churn: dict[str, str], text: str) -> str:
    for told, there in churn.items():
        text = text.replace(told, there)
    return text


def _told(churn: dict[str, str], text: str) -> tuple[str, str]:
    """What a program prints, and what it complains of."""
    command = [str(client_python()), "-I", "-c", _here(churn, text)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return done.stdout, done.stderr


def _shown(block: Block) -> str:
    """What the page shows below a block."""
    everything = blocks(block.page)
    below = everything[everything.index(block) + 1]
    assert below.language == "text"
    return below.text


def _churn(folder: Path) -> Path:
    """Of the columns of the tutorial."""
    numbers = ["months", "fee", "calls"]
    classes: list[Any] = [b"no", b"yes"]
    nodes = [
        helper.make_node("Greater", ["calls", "twice"], ["more"]),
        helper.make_node("Cast", ["more"], ["at"], to=TensorProto.INT64),
        helper.make_node("Gather", ["classes", "at"], ["tall"]),
        helper.make_node("Reshape", ["tall", "flat"], ["label"]),
        helper.make_node("Cast", ["more"], ["yes"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["all", "yes"], ["no"]),
        helper.make_node("Concat", ["no", "yes"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "churn",
        [
            *(helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["N", 1]) for name in numbers),
            helper.make_tensor_value_info("plan", TensorProto.STRING, ["N", 1]),
        ],
        [
            helper.make_tensor_value_info("label", TensorProto.STRING, ["N"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2]),
        ],
        [
            helper.make_tensor("all", TensorProto.FLOAT, [1], [1.0]),
            helper.make_tensor("twice", TensorProto.DOUBLE, [1], [2.0]),
            helper.make_tensor("classes", TensorProto.STRING, [2], classes),
            helper.make_tensor("flat", TensorProto.INT64, [1], [-1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=OPSET, ir_version=10)
    signature = Signature(
        inputs=[
            *(Input(name=name, column=name, type="double", shape=[1], missing="NaN") for name in numbers),
            Input(name="plan", column="plan", type="string", shape=[1], missing="empty text"),
        ],
        outputs=[
            Output(name="label", type="string", shape=[]),
            Output(name="probabilities", type="float", shape=[2], names=["no", "yes"]),
        ],
    )
    return bundle(folder, bytes(model.SerializeToString()), signature, provenance=Provenance(job="churn"))


def _digits(folder: Path) -> Path:
    """A folder as that of the page's run, of a model that takes every image for a 3."""
    classes: list[Any] = [str(at).encode() for at in range(10)]
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
        helper.make_node("Gather", ["classes", "best"], ["label"]),
        helper.make_node("Softmax", ["scores"], ["softmax"]),
        helper.make_node("Cast", ["softmax"], ["probabilities"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["N", 1, 8, 8])],
        [
            helper.make_tensor_value_info("label", TensorProto.STRING, ["N"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10]),
        ],
        [
            helper.make_tensor("weights", TensorProto.DOUBLE, [64, 10], [0.0] * 640),
            helper.make_tensor("bias", TensorProto.DOUBLE, [10], [float(at == 3) for at in range(10)]),
            helper.make_tensor("classes", TensorProto.STRING, [10], classes),
        ],
    )
    model = helper.make_model(graph, opset_imports=OPSET, ir_version=10)
    signature = Signature(
        inputs=[Input(name="x", column="x", type="double", shape=[1, 8, 8], missing="NaN")],
        outputs=[
            Output(name="label", type="string", shape=[]),
            Output(name="probabilities", type="float", shape=[10], names=[str(at) for at in range(10)]),
        ],
    )
    return bundle(folder, bytes(model.SerializeToString()), signature, provenance=Provenance(job="digits"))
