"""Runs with the clients: asks the echo of `served` in every way that KServe's clients know, and prints what it was
told. A process of its own: its copy of the protocol and tritonclient's cannot be in one.

ask_kserve.py GRPC_PORT HTTP_PORT
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.grpc import grpc_predict_v2_pb2
from kserve.protocol.infer_type import RequestedOutput

SIZES, TOWNS = [1.5, -2.0], ["Kobe", "Łódź"]


def request(*, binary: bool, datatype: str = "FP64", model: str = "churn", **told: Any) -> Any:
    """Two rows. binary: in raw bytes, else in lists."""
    size, town = InferInput("size", [2, 1], datatype), InferInput("town", [2, 1], "BYTES")
    dtype = {"FP64": np.float64, "FP32": np.float32}[datatype]
    size.set_data_from_numpy(np.array(SIZES, dtype).reshape(2, 1), binary_data=binary)
    town.set_data_from_numpy(np.array(TOWNS, dtype=object).reshape(2, 1), binary_data=binary)
    return InferRequest(model_name=model, infer_inputs=[size, town], request_id="7", **told)


def typed() -> Any:
    """The same in the lists of `contents`: texts have to be bytes there, which the client leaves to us."""
    size = InferInput("size", [2, 1], "FP64", data=SIZES)
    town = InferInput("town", [2, 1], "BYTES", data=[word.encode() for word in TOWNS])
    return InferRequest(model_name="churn", infer_inputs=[size, town], request_id="7")


def answers(response: Any) -> dict[str, Any]:
    """The id and the outputs of a reply, by their names."""
    found = {"id": response.id}
    for output in response.outputs:
        values = output.as_numpy().ravel().tolist()
        found[output.name] = [one.decode() if isinstance(one, bytes) else one for one in values]
    return found


async def refused(call: Callable[[], Awaitable[Any]]) -> list[str]:
    """The status and the sentence of a call that gets no answer."""
    try:
        await call()
    except grpc.aio.AioRpcError as error:
        return [error.code().name, str(error.details())]
    except httpx.HTTPStatusError as error:
        return [str(error.response.status_code), str(error)]
    raise AssertionError("the call was answered")


async def over_grpc(port: str) -> dict[str, Any]:
    """Everything by gRPC."""
    async with InferenceGRPCClient(f"127.0.0.1:{port}") as client:
        return {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model ready": await client.is_model_ready("churn"),
            "infer": answers(await client.infer(request(binary=True))),
            "typed": answers(await client.infer(typed())),
            "no model": await refused(lambda: client.infer(request(binary=True, model="chum"))),
            "mistake": await refused(lambda: client.infer(request(binary=True, datatype="FP32"))),
        }


async def over_http(port: str) -> dict[str, Any]:
    """Everything by REST."""
    url = f"http://127.0.0.1:{port}"
    asked = [RequestedOutput("label"), RequestedOutput("probabilities", {"binary_data": True})]
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:

        async def infer(sent: Any, model: str = "churn") -> dict[str, Any]:
            return answers(await client.infer(url, sent, model_name=model))

        return {
            "live": await client.is_server_live(url),
            "ready": await client.is_server_ready(url),
            "model ready": await client.is_model_ready(url, "churn"),
            "infer": await infer(request(binary=True)),
            "JSON in": await infer(request(binary=False)),
            "mixed out": await infer(request(binary=True, request_outputs=asked)),
            "no model": await refused(lambda: infer(request(binary=True), "chum")),
            "mistake": await refused(lambda: infer(request(binary=True, datatype="FP32"))),
        }


async def main() -> None:
    """Ask, and print."""
    logging.disable()
    protocol = grpc_predict_v2_pb2.DESCRIPTOR.serialized_pb.hex()
    told: dict[str, Any] = {"protocol": protocol, "grpc": await over_grpc(sys.argv[1])}
    if len(sys.argv) > 2:
        told["http"] = await over_http(sys.argv[2])
    print(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main())
