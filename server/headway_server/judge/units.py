"""Which units of an A/B test had an event before: so many as one likes are kept in so many bytes. Pure."""

from __future__ import annotations

import base64
import binascii
from hashlib import blake2b

_BYTES = 12 * 1024
_BITS = 8 * _BYTES
_HASHES = 4
MOST_EVENTS = 17_000
"""Beyond, no event is taken for a first one: half of the filter's bits are set by then."""


class FirstEvents:
    """A Bloom filter of events that were counted. One in sixteen first events, when it is full, is taken for a second.

    What is lost so is lost to both versions alike, since the bits depend on the unit's hash alone: that costs evidence,
    and never makes any.
    """

    def __init__(self) -> None:
        self._bits = bytearray(_BYTES)
        self.events = 0
        """How many were first ones."""

    @property
    def full(self) -> bool:
        """Whether it takes no more."""
        return self.events >= MOST_EVENTS

    def first(self, unit: str, kind: str) -> bool:
        """Whether this is the first event of this kind of this unit; it is no more from now on."""
        if self.full:
            return False
        # Hashed anew: a unit's version depends on its hash.
        digest = blake2b(f"{kind} {unit}".encode("utf-8", "surrogatepass"), digest_size=4 * _HASHES).digest()
        new = False
        for start in range(0, len(digest), 4):
            byte, bit = divmod(int.from_bytes(digest[start : start + 4]) % _BITS, 8)
            if not self._bits[byte] >> bit & 1:
                new = True
                self._bits[byte] |= 1 << bit
        self.events += new
        return new

    def text(self) -> str:
        """All of it."""
        return base64.b64encode(self._bits).decode() if self.events else ""

    @classmethod
    def of(cls, text: str, events: int) -> FirstEvents:
        """From its text. Raises ValueError for what is no such text."""
        filled = cls()
        if events:
            try:
                bits = base64.b64decode(text, validate=True)
            except binascii.Error as error:
                raise ValueError("no filter") from error
            if len(bits) != _BYTES:
                raise ValueError("no filter")
            filled._bits[:] = bits
            filled.events = events
        return filled
