"""What a plain YAML scalar means to kubectl: the rules of go-yaml v2, which sigs.k8s.io/yaml uses.

PyYAML's own rules differ where it hurts: to it `1e-3` is a string, `12:30` a number and `y` a string; to kubectl they
are a number, a string and true.
"""

from __future__ import annotations

import re

Scalar = str | int | float | bool | None

_TRUE = {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"}
_FALSE = {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}
_NULL = {"", "~", "null", "Null", "NULL"}
_SPECIAL = {
    **{f"{sign}{word}": float(f"{sign}inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[oO]([0-7]+)|0[bB]([01]+)|0([0-7]+)|(0|[1-9][0-9]*))")
_BASES = (16, 8, 2, 8, 10)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NUMBER_LENGTH = 400
"""No number that a double or a 64-bit integer can hold is written with more characters."""


def resolve(text: str) -> Scalar:
    """The value of a plain scalar. An integral float becomes an int, as it does on its way through JSON."""
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if text in _SPECIAL:
        return _SPECIAL[text]
    if len(text) <= _NUMBER_LENGTH and (text[0] in "+-." or text[0].isdigit()):
        return _number(text.replace("_", ""), text)
    return text


def _number(plain: str, text: str) -> Scalar:
    match = _INTEGER.fullmatch(plain)
    if match is not None:
        digits, base = next((group, base) for group, base in zip(match.groups()[1:], _BASES, strict=True) if group)
        value = int(match[1] + digits, base)
        if -(2**63) <= value < 2**64:
            return value
    if _FLOAT.fullmatch(plain) is None:
        return text
    number = float(plain)
    if number in (float("inf"), float("-inf")):
        return text
    return int(number) if number.is_integer() and abs(number) < 2**63 else number
