"""Answers that were given before, for small requests that ask for exactly the same. Of one model and version.

The key is a digest of the model's own and of each input's name, datatype, shape and bytes, each with its length before
it, so that no two different requests are ever the same text. The answer is that of all outputs: whatever a request asks
for is a part of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from headway_server.model import Array, ServedModel, Tensors

MOST_INPUT_BYTES = 16 * 1024
"""Of all inputs of a request, texts by their characters: a longer one costs more, and comes again more rarely."""
MOST_ANSWER_BYTES = 64 * 1024
"""Of an answer."""
MOST_BYTES = 32 * 1024 * 1024
"""Of all answers, with what it costs to keep them."""
_ENTRY_BYTES, _ARRAY_BYTES, _TEXT_BYTES = 640, 128, 64
"""What Python takes for an entry, an array and a text besides their contents, about."""


@dataclass(frozen=True)
class CacheLimits:
    """What is kept."""

    max_entries: int = 1000
    """Answers."""
    ttl_seconds: float = 300.0
    """For which each is given again."""


@dataclass(frozen=True, slots=True)
class _Kept:
    outputs: dict[str, Array]
    size: int
    until: float


class Cache:
    """The answers that were used last. clock: seconds that never go back."""

    def __init__(self, model: ServedModel, limits: CacheLimits, clock: Callable[[], float]) -> None:
        self.bytes = 0
        """What all answers take, about."""
        self._limits = limits
        self._clock = clock
        self._names = [(one.name, _with_length(one.name.encode())) for one in model.inputs]
        self._root = _with_length(model.digest.encode()) + _with_length(model.version.encode())
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    def __len__(self) -> int:
        """Answers that are kept."""
        return len(self._kept)

    def key(self, feeds: Tensors) -> bytes | None:
        """What tells these inputs, which the model's `check` has seen, from all others; None for large ones."""
        if sum(map(_least_bytes, feeds.values())) > MOST_INPUT_BYTES:
            return None
        parts = [self._root]
        for name, told in self._names:
            array = feeds[name]
            parts += (told, _with_length(f"{array.dtype.str}{array.shape}".encode()), _with_length(_bytes_of(array)))
        return blake2b(b"".join(parts), digest_size=32).digest()

    def get(self, key: bytes) -> dict[str, Array] | None:
        """The answer, which is not to be written to."""
        found = self._kept.get(key)
        if found is not None and found.until <= self._clock():
            self._drop(key)
            found = None
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found.outputs

    def has(self, key: bytes) -> bool:
        """Whether there is an answer: who asks this has no use for it."""
        found = self._kept.get(key)
        return found is not None and found.until > self._clock()

    def put(self, key: bytes, outputs: Tensors) -> None:
        """Keep an answer, unless it is large."""
        size = _ENTRY_BYTES + sum(map(_size, outputs.values()))
        if size > MOST_ANSWER_BYTES:
            return
        if key in self._kept:
            self._drop(key)
        # A part of a batch is a view, which would keep all of the batch.
        copies = {name: array.copy() for name, array in outputs.items()}
        for array in copies.values():
            array.flags.writeable = False
        self._kept[key] = _Kept(copies, size, self._clock() + self._limits.ttl_seconds)
        self.bytes += size
        while len(self._kept) > self._limits.max_entries or self.bytes > MOST_BYTES:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: bytes) -> None:
        self.bytes -= self._kept.pop(key).size


def _with_length(data: bytes) -> bytes:
    return len(data).to_bytes(8, "little") + data


def _bytes_of(array: Array) -> bytes:
    if array.dtype != object:
        return array.tobytes()
    return b"".join(_with_length(text.encode("utf-8", "surrogatepass")) for text in _texts(array))


def _least_bytes(array: Array) -> int:
    """What it takes, before any text is written in UTF-8."""
    return int(array.nbytes) + (sum(map(len, _texts(array))) if array.dtype == object else 0)


def _texts(array: Array) -> list[Any]:
    return array.ravel().tolist()


def _size(array: Array) -> int:
    texts = sum(_TEXT_BYTES + len(text) * 4 for text in _texts(array)) if array.dtype == object else 0
    return _ARRAY_BYTES + array.nbytes + texts
