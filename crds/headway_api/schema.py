"""The models' JSON schema with everything in its place: no references, no null branches.

`crd.py` makes a CustomResourceDefinition of it, `reference.py` the reference docs, and `problems.py` looks up in it
what is allowed at a path.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel

Schema = dict[str, Any]
PRESERVE = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"


@cache
def inlined(model: type[BaseModel], mode: Literal["validation", "serialization"] = "validation") -> Schema:
    """The schema of a model, with each `$ref` replaced by what it names. Treat it as read-only.

    In mode `serialization` it has the computed fields too.
    """
    raw = model.model_json_schema(by_alias=True, mode=mode)
    return _inline(raw, raw.pop("$defs", {}))


def _inline(node: Schema, defs: Schema) -> Schema:
    node = dict(node)
    while "$ref" in node:
        target = defs[node.pop("$ref").rsplit("/", 1)[1]]
        node = {**target, **node}
    node.pop("title", None)
    branches = [branch for branch in node.pop("anyOf", ()) if branch.get("type") != "null"]
    if len(branches) == 1:
        return _without_null_default({**_inline(branches[0], defs), **node})
    if branches and INT_OR_STRING not in node:
        raise TypeError(f"a union that a CustomResourceDefinition cannot hold: {branches}")
    if node.get(PRESERVE):
        node.pop("additionalProperties", None)
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if "properties" in node:
        node["properties"] = {name: _inline(child, defs) for name, child in node["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            node[key] = _inline(node[key], defs)
    return node


def _without_null_default(node: Schema) -> Schema:
    return {key: value for key, value in node.items() if key != "default" or value is not None}


def at(schema: Schema, path: Sequence[str | int]) -> Schema | None:
    """The schema of what is at a path; None where the schema leaves that open or does not know it."""
    node = schema
    for part in path:
        if isinstance(part, int):
            inner = node.get("items")
        else:
            inner = node.get("properties", {}).get(part) or node.get("additionalProperties")
        if not isinstance(inner, dict):
            return None
        node = inner
    return node


def fields(schema: Schema, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Schema]]:
    """Each field under a schema with its path, in the order of the models; a list's items have the part `[]`."""
    for name, child in schema.get("properties", {}).items():
        here = (*path, name)
        yield here, child
        yield from fields(child, here)
        items = child.get("items")
        if isinstance(items, dict):
            yield from fields(items, (*path, f"{name}[]"))


def paragraphs(docstring: str) -> str:
    """A docstring as text: the lines of a paragraph joined, paragraphs divided by a line break."""
    return "\n".join(" ".join(part.split()) for part in docstring.split("\n\n"))
