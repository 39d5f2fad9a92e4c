"""How messages show what people wrote: bounded, in one line, and with the name that was probably meant."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from difflib import get_close_matches

SHOWN = 64
"""How many characters of a value a message shows."""
LISTED = 20
"""How many names a message lists."""
_EXACT = 2.0**53


def word(name: str) -> str:
    """A name that a user wrote, for a message: cut to SHOWN characters, and nothing in it can steer a terminal."""
    return printable(name[:SHOWN])


def printable(text: str) -> str:
    """A text in which nothing can steer a terminal, turn the direction of what follows or hide: such characters are
    written by their numbers."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)


def shortened(name: str, most: int) -> str:
    """A name of at most so many characters, from 9 on: names that begin alike stay different where they are cut."""
    if len(name) <= most:
        return name
    return f"{name[: most - 9]}~{zlib.crc32(name.encode(errors='backslashreplace')):08x}"


def shown(value: object) -> str:
    """A value for a message, cut to SHOWN characters."""
    if isinstance(value, str):
        quoted = f'"{word(value)}{"…" if len(value) > SHOWN else ""}"'
        return quoted if len(value) <= SHOWN else f"{quoted} ({len(value)} characters)"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinity" if value > 0 else "-infinity"
    if isinstance(value, int) and value.bit_length() > SHOWN:
        return f"a whole number of {value.bit_length()} bits"
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    return noun(value)


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that a mistaken one most likely means; None where none is near."""
    folded = {_folded(each): each for each in known}
    matches = get_close_matches(_folded(name[:SHOWN]), folded, n=1)
    return folded[matches[0]] if matches else None


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").casefold()


def noun(value: object) -> str:
    """What kind of value it is."""
    names = {bool: "a boolean", str: "a string", int: "a number", float: "a number", dict: "a mapping", list: "a list"}
    return names.get(type(value), f"of the Python type {type(value).__name__}")


def listed(names: Sequence[str], most: int = LISTED) -> str:
    """The first of the names, so many at most, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def not_one_of(value: object, allowed: Sequence[str]) -> str:
    """That a value is none of the allowed words, and which was probably meant."""
    if len(allowed) == 1:
        return f"{shown(value)} is not allowed: write {allowed[0]}"
    near = nearest(value, allowed) if isinstance(value, str) else None
    return f"{shown(value)} is not one of {listed(allowed)}" + (f"; did you mean {near}?" if near else "")
