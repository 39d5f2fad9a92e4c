"""Runs with the clients: asks the echo of `served` in every way that tritonclient knows, and prints what it was told.

ask_triton.py GRPC_PORT HTTP_PORT
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

SIZES, TOWNS = [1.5, -2.0], ["Kobe", "Łódź"]


def inputs(client: Any, datatype: str = "FP64", **told: Any) -> list[Any]:
    """Two rows. told: what `set_data_from_numpy` takes besides them."""
    size, town = client.InferInput("size", [2, 1], datatype), client.InferInput("town", [2, 1], "BYTES")
    dtype = {"FP64": np.float64, "FP32": np.float32}[datatype]
    size.set_data_from_numpy(np.array(SIZES, dtype).reshape(2, 1), **told)
    town.set_data_from_numpy(np.array(TOWNS, dtype=object).reshape(2, 1), **told)
    return [size, town]


def answers(result: Any) -> dict[str, Any]:
    """The outputs of a reply, by their names."""
    found = {}
    for name in ("label", "probabilities"):
        array = result.as_numpy(name)
        if array is not None:
            found[name] = [one.decode() if isinstance(one, bytes) else one for one in array.ravel().tolist()]
    return found


def refused(call: Any) -> list[str]:
    """The status and the sentence of a call that gets no answer."""
    try:
        call()
    except InferenceServerException as error:
        return [error.status(), error.message()]
    raise AssertionError("the call was answered")


def grpc_typed() -> Any:
    """A request in the lists of `contents`, for which tritonclient has the messages alone."""
    request = service_pb2.ModelInferRequest(model_name="churn", id="typed")
    size = request.inputs.add(name="size", datatype="FP64", shape=[2, 1])
    size.contents.fp64_contents.extend(SIZES)
    town = request.inputs.add(name="town", datatype="BYTES", shape=[2, 1])
    town.contents.bytes_contents.extend(word.encode() for word in TOWNS)
    return request


def grpc(port: str) -> dict[str, Any]:
    """Everything by gRPC."""
    with over_grpc.InferenceServerClient(f"127.0.0.1:{port}") as client:
        typed = client._client_stub.ModelInfer(grpc_typed())
        only = [over_grpc.InferRequestedOutput("probabilities")]
        return {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model ready": client.is_model_ready("churn"),
            "version ready": client.is_model_ready("churn", "1"),
            "server": client.get_server_metadata(as_json=True)["name"],
            "model": client.get_model_metadata("churn", as_json=True),
            "infer": answers(client.infer("churn", inputs(over_grpc))),
            "version": answers(client.infer("churn", inputs(over_grpc), model_version="1")),
            "id": client.infer("churn", inputs(over_grpc), request_id="7").get_response().id,
            "one output": answers(client.infer("churn", inputs(over_grpc), outputs=only)),
            "parameters": answers(
                client.infer("churn", inputs(over_grpc), parameters={"a": "b", "c": 1, "d": True, "e": 0.5})
            ),
            "gzip": answers(client.infer("churn", inputs(over_grpc), compression_algorithm="gzip")),
            "deflate": answers(client.infer("churn", inputs(over_grpc), compression_algorithm="deflate")),
            "timeout": answers(client.infer("churn", inputs(over_grpc), client_timeout=30)),
            "typed": answers(over_grpc.InferResult(typed)),
            "no model": refused(lambda: client.infer("chum", inputs(over_grpc))),
            "mistake": refused(lambda: client.infer("churn", inputs(over_grpc, "FP32"))),
            "statistics": refused(client.get_inference_statistics)[0],
        }


def http(port: str) -> dict[str, Any]:
    """Everything by REST."""
    with over_http.InferenceServerClient(f"127.0.0.1:{port}") as client:
        text = inputs(over_http, binary_data=False)
        mixed = [
            over_http.InferRequestedOutput("label", binary_data=False),
            over_http.InferRequestedOutput("probabilities", binary_data=True),
        ]
        only = [over_http.InferRequestedOutput("probabilities")]
        return {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model ready": client.is_model_ready("churn"),
            "version ready": client.is_model_ready("churn", "1"),
            "server": client.get_server_metadata()["name"],
            "model": client.get_model_metadata("churn"),
            "infer": answers(client.infer("churn", inputs(over_http))),
            "version": answers(client.infer("churn", inputs(over_http), model_version="1")),
            "id": client.infer("churn", inputs(over_http), request_id="7").get_response()["id"],
            "one output": answers(client.infer("churn", inputs(over_http), outputs=only)),
            "parameters": answers(
                client.infer("churn", inputs(over_http), parameters={"a": "b", "c": 1, "d": True, "e": 0.5})
            ),
            "gzip": answers(
                client.infer(
                    "churn",
                    inputs(over_http),
                    request_compression_algorithm="gzip",
                    response_compression_algorithm="gzip",
                )
            ),
            "deflate": answers(
                client.infer(
                    "churn",
                    inputs(over_http),
                    request_compression_algorithm="deflate",
                    response_compression_algorithm="deflate",
                )
            ),
            "later": answers(client.async_infer("churn", inputs(over_http)).get_result()),
            "JSON in": answers(client.infer("churn", text)),
            "JSON in, mixed out": answers(client.infer("churn", text, outputs=mixed)),
            "binary in, mixed out": answers(client.infer("churn", inputs(over_http), outputs=mixed)),
            "no model": refused(lambda: client.infer("chum", inputs(over_http))),
            "mistake": refused(lambda: client.infer("churn", inputs(over_http, "FP32"))),
        }


if __name__ == "__main__":
    protocol = service_pb2.DESCRIPTOR.serialized_pb.hex()
    told = {"protocol": protocol, "grpc": grpc(sys.argv[1])}
    if len(sys.argv) > 2:
        told["http"] = http(sys.argv[2])
    print(json.dumps(told))
