"""Tensors written as safetensors piece by piece: a model is never in memory a second time to be saved.

The bytes are those of `safetensors.torch.save`, whose format (https://github.com/huggingface/safetensors, "Format") is
an 8-byte length, a JSON header, and the tensors one after the other; a test holds the two equal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import torch

from headway_trainer.storage import CHUNK

Tensors = Mapping[str, torch.Tensor]
_ALIGNMENT = 8
_NAMES: dict[torch.dtype, str] = {
    torch.uint64: "U64",
    torch.int64: "I64",
    torch.float64: "F64",
    torch.complex64: "C64",
    torch.float32: "F32",
    torch.uint32: "U32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint16: "U16",
    torch.int16: "I16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""The format's names, in the order in which the library lays tensors out: the widest first, so that each is aligned."""


def pieces(tensors: Tensors) -> Iterator[bytes | memoryview]:
    """The file's content, at most CHUNK bytes at once; one tensor at a time is copied to the CPU, if it is not there.

    Tied weights are written under each of their names. Raises ValueError for a type that the format does not know.
    """
    order = list(_NAMES)
    for name, tensor in tensors.items():
        if tensor.dtype not in _NAMES:
            raise ValueError(f"{name} is {tensor.dtype}, which safetensors cannot hold")
    names = sorted(tensors, key=lambda name: (order.index(tensors[name].dtype), name))
    yield _header({name: tensors[name] for name in names})
    for name in names:
        yield from _content(tensors[name])


def _header(tensors: Tensors) -> bytes:
    told: dict[str, object] = {}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.numel() * tensor.element_size()
        told[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _content(tensor: torch.Tensor) -> Iterator[memoryview]:
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    for start in range(0, len(flat), CHUNK):
        yield flat[start : start + CHUNK].numpy().data
