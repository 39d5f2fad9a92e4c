"""Places in documents, by paths such as `spec.training.epochs`."""

from __future__ import annotations

from typing import Any


def place(document: dict[str, Any], path: str, separator: str = ".") -> tuple[dict[str, Any], str]:
    """The mapping in which a path ends, and its key there. What is not there on the way is made."""
    *way, last = path.split(separator)
    node = document
    for part in way:
        node = node.setdefault(part, {})
    return node, last
