"""Requests over gRPC as tests make them, and a client of them that has no more than the protocol."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np

from headway_server.grpc import descriptors

ECHO = "churn"
"""What the model of `served` is called."""


def texts(*words: str) -> bytes:
    """BYTES as raw contents have them."""
    return b"".join(struct.pack("<I", len(word.encode())) + word.encode() for word in words)


def raw(sizes: Sequence[float] = (1.5,), towns: Sequence[str] = ("Kobe",), **told: Any) -> Any:
    """A request to the echo of `served`, in raw contents."""
    message = descriptors.ModelInferRequest(model_name=ECHO, **told)
    message.inputs.add(name="size", datatype="FP64", shape=[len(sizes), 1])
    message.inputs.add(name="town", datatype="BYTES", shape=[len(towns), 1])
    message.raw_input_contents.extend([np.array(sizes, "<f8").tobytes(), texts(*towns)])
    return message


def listed(sizes: Sequence[float] = (1.5,), towns: Sequence[str] = ("Kobe",), **told: Any) -> Any:
    """The same in the lists of `contents`."""
    message = descriptors.ModelInferRequest(model_name=ECHO, **told)
    message.inputs.add(name="size", datatype="FP64", shape=[len(sizes), 1]).contents.fp64_contents.extend(sizes)
    town = message.inputs.add(name="town", datatype="BYTES", shape=[len(towns), 1])
    town.contents.bytes_contents.extend(word.encode() for word in towns)
    return message


def labels(answer: Any, position: int = 0) -> list[str]:
    """The elements of a reply's output of datatype BYTES."""
    data, found, at = answer.raw_output_contents[position], [], 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        found.append(data[at + 4 : end].decode())
        at = end
    return found


class Client:
    """Calls by their names; `call` gives the reply, and raises grpc.aio.AioRpcError.

    retries: whether gRPC may send again, as it does by default, what the server has not seen: a request that meets a
    connection that has just grown old is UNAVAILABLE without that.
    """

    def __init__(self, port: int, options: Sequence[tuple[str, Any]] = (), *, retries: bool = False) -> None:
        options = [("grpc.enable_retries", int(retries)), *options]
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)

    async def send(self, method: str, data: bytes, service: str = descriptors.INFERENCE, **told: Any) -> bytes:
        """Bytes for bytes."""
        answer: bytes = await self.channel.unary_unary(f"/{service}/{method}")(data, timeout=60, **told)
        return answer

    async def call(self, method: str, message: Any = None, service: str = descriptors.INFERENCE, **told: Any) -> Any:
        """A message for a message; without one, an empty one."""
        data = b"" if message is None else message.SerializeToString()
        reply = "HealthCheckResponse" if service == descriptors.HEALTH else f"{method}Response"
        return descriptors.CLASSES[reply].FromString(await self.send(method, data, service, **told))
