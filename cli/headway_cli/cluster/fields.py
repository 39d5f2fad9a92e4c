"""Reading objects that an API server has given: whatever stands there, the answer has the type that was asked for."""

from __future__ import annotations

import math
import sys
from typing import Any

Object = dict[str, Any]


def at(value: object, *path: str) -> Any:
    """What is at a path; None where something on the way is missing or no mapping."""
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def text(value: object, *path: str) -> str:
    """The text at a path; "" where there is none."""
    found = at(value, *path)
    return found if isinstance(found, str) else ""


def number(value: object, *path: str) -> float | None:
    """The number at a path; None where there is none, or one that no float is as large as."""
    found = at(value, *path)
    if isinstance(found, int) and not isinstance(found, bool):
        return found if abs(found) <= sys.float_info.max else None
    return found if isinstance(found, float) else None


def whole(value: object, *path: str) -> int | None:
    """The whole number at a path; None where there is none."""
    found = number(value, *path)
    return int(found) if found is not None and math.isfinite(found) else None


def entries(value: object, *path: str) -> list[Object]:
    """The mappings of the list at a path."""
    found = at(value, *path)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def texts(value: object, *path: str) -> dict[str, str]:
    """The mapping of texts at a path."""
    found = at(value, *path)
    return {name: each for name, each in found.items() if isinstance(each, str)} if isinstance(found, dict) else {}


def numbers(value: object, *path: str) -> dict[str, float]:
    """The mapping of numbers at a path."""
    found = at(value, *path)
    return (
        {name: each for name in found if (each := number(found, name)) is not None} if isinstance(found, dict) else {}
    )


def condition(value: Object, kind: str) -> Object | None:
    """A condition of an object's status."""
    return next((each for each in entries(value, "status", "conditions") if each.get("type") == kind), None)


def is_true(value: Object, kind: str) -> bool:
    """Whether a condition holds."""
    return text(condition(value, kind), "status") == "True"


def owner_reference(value: Object) -> Object:
    """By which another object goes when this one is deleted."""
    return {
        "apiVersion": text(value, "apiVersion"),
        "kind": text(value, "kind"),
        "name": text(value, "metadata", "name"),
        "uid": text(value, "metadata", "uid"),
    }
