"""Which version a request is for: by lot, or by the unit that it belongs to. Pure: the lot is drawn by whoever calls.

A lot is a number from 0 up to 1 of 53 bits, so that a share is exact to far below 1e-4. Units are mapped to such
numbers by a hash that is keyed with the rollout's salt: a unit that has once met the candidate goes on to meet it while
the share grows, and who meets it in one rollout says nothing about the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

from headway_api.rollout_wire import Unit

_BITS = 53
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
COOKIE_SECONDS = 180 * 24 * 3600
"""For which a browser keeps the cookie: longer than any rollout."""


def fraction(data: bytes) -> float:
    """The first 8 bytes as a number from 0 up to, and without, 1."""
    return (int.from_bytes(data[:8], "big") >> (64 - _BITS)) * 2.0**-_BITS


class Assignment:
    """Assigns units by the salt of one rollout."""

    def __init__(self, salt: str) -> None:
        self._key = blake2b(salt.encode("utf-8", "surrogatepass"), digest_size=32).digest()

    def of(self, unit: bytes) -> tuple[float, str]:
        """The unit's number, and a name for it from which nobody finds the unit."""
        digest = blake2b(unit, digest_size=24, key=self._key).digest()
        # Two parts of the digest: the name says nothing about which version it meets.
        return fraction(digest), digest[8:].hex()


def unit_value(unit: Unit, headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """What a request's headers (names in lower case) say that it belongs to; None where they say nothing."""
    cookie = _cookie(unit.cookie) if unit.cookie is not None else None
    wanted = b"cookie" if cookie is not None else (unit.header or "").encode("latin-1", "replace")
    for name, value in headers:
        if name == wanted:
            if cookie is None:
                found = value.strip()
            else:
                said = cookie.search(value)
                found = said[1].strip().strip(b'"') if said is not None else b""
            if found:
                return found
    return None


@lru_cache(maxsize=16)
def _cookie(name: str) -> re.Pattern[bytes]:
    """Finds a cookie in a header. To take the header apart would cost a step for each sign that a client sends."""
    return re.compile(rb"(?:\A|;)\s*" + re.escape(name.encode("latin-1", "replace")) + rb"=([^;]*)")


def set_cookie(name: str, value: str) -> bytes:
    """A Set-Cookie header that gives a browser its unit. Raises ValueError for what no cookie can be."""
    if not (_TOKEN.fullmatch(name) and _TOKEN.fullmatch(value)):
        raise ValueError(f"no cookie can be called {name[:40]!r} and have the value {value[:40]!r}")
    return f"{name}={value}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Lax".encode("latin-1")
