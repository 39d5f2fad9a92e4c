"""Good requests over gRPC with something wrong in them: in their bytes, or in their fields."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from grpc_requests import listed, raw

NUMBERS = (0, 1, -1, 2, 3, 127, 128, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, -(2**63))
WORDS = ("", "size", "town", "label", "probabilities", "FP64", "FP32", "BYTES", "BF16", "x" * 3000, "\0", "Łódź")


def garbled(draws: Random) -> bytes:
    """A request with a few mistakes."""
    message = draws.choice((raw, listed))([1.5, 2.0], ["Kobe", "Łódź"], id="7")
    if draws.random() < 0.3:
        return _in_bytes(draws, bytearray(message.SerializeToString()))
    for _ in range(draws.randint(1, 3)):
        draws.choice(_MISTAKES)(draws, message)
    return bytes(message.SerializeToString())


def _in_bytes(draws: Random, data: bytearray) -> bytes:
    for _ in range(draws.randint(1, 3)):
        at = draws.randrange(len(data) or 1)
        way = draws.randrange(4)
        if way == 0 and data:
            data[at] = draws.choice((0, 1, 2, 127, 128, 255, draws.randrange(256)))
        elif way == 1:
            del data[at : at + draws.randint(1, 9)]
        elif way == 2:
            data[at:at] = draws.randbytes(draws.randint(1, 9))
        else:
            data[at:at] = data[at // 2 : at // 2 + draws.randint(1, 20)]
    return bytes(data)


def _tensor(draws: Random, message: Any) -> Any:
    return draws.choice(message.inputs) if message.inputs else message.inputs.add()


def _shape(draws: Random, message: Any) -> None:
    shape = _tensor(draws, message).shape
    if shape and draws.random() < 0.5:
        shape[draws.randrange(len(shape))] = draws.choice(NUMBERS)
    else:
        shape.extend(draws.choices(NUMBERS, k=draws.randint(1, 40)))


def _raw(draws: Random, message: Any) -> None:
    contents = message.raw_input_contents
    data = draws.randbytes(draws.choice((0, 1, 7, 8, 9, 16, 24, 4000)))
    if contents and draws.random() < 0.7:
        contents[draws.randrange(len(contents))] = data
    else:
        contents.append(data)


def _contents(draws: Random, message: Any) -> None:
    contents = _tensor(draws, message).contents
    draws.choice(
        (
            lambda: contents.fp64_contents.extend([float("nan"), float("inf"), 1e308]),
            lambda: contents.fp32_contents.append(1),
            lambda: contents.int64_contents.append(draws.choice(NUMBERS[:11])),
            lambda: contents.bytes_contents.append(draws.randbytes(draws.randint(0, 9))),
            lambda: contents.ClearField("bytes_contents"),
        )
    )()


def _parameter(draws: Random, message: Any) -> None:
    of = draws.choice((message, _tensor(draws, message)))
    name = draws.choice(("timeout", "sequence_id", "classification", "shared_memory_region", *WORDS))
    one = of.parameters[name]
    draws.choice(
        (
            one.SetInParent,
            lambda: setattr(one, "int64_param", draws.choice(NUMBERS[:10])),
            lambda: setattr(one, "string_param", draws.choice(WORDS)),
            lambda: setattr(one, "double_param", float("nan")),
            lambda: setattr(one, "bool_param", True),
        )
    )()


_MISTAKES: tuple[Callable[[Random, Any], object], ...] = (
    _shape,
    _raw,
    _contents,
    _parameter,
    lambda draws, it: setattr(_tensor(draws, it), "name", draws.choice(WORDS)),
    lambda draws, it: setattr(_tensor(draws, it), "datatype", draws.choice(WORDS)),
    lambda draws, it: setattr(it, draws.choice(("model_name", "model_version", "id")), draws.choice(WORDS)),
    lambda draws, it: it.outputs.add(name=draws.choice(WORDS)),
    lambda draws, it: it.inputs.add().CopyFrom(_tensor(draws, it)),
    lambda draws, it: it.inputs.pop(draws.randrange(len(it.inputs))) if it.inputs else None,
)
