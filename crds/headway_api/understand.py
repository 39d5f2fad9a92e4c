"""Specs that have been judged already, read as they stand.

A spec is judged once, when its job begins. From then on it is only understood: by an operator of another version, or by
the trainer of an image that is older or newer than the operator. Fields that this version does not know are ignored,
rules are not applied, and a value that this version would refuse is taken as it is; nothing is ever replaced by a
default in silence. What is of another type than this version expects cannot be understood, and that is an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from headway_api import schema as schemas
from headway_api import wire
from headway_api.base import without_nulls
from headway_api.job import TrainingJobSpec
from headway_api.problems import Path, path_text
from headway_api.schema import Schema
from headway_api.validate import MAX_DEPTH, too_deep

Kind = TypeVar("Kind", bound=BaseModel)

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


class NotUnderstoodError(ValueError):
    """A value is of a type that this version has no use for, or one is missing without which nothing can be done."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{path_text(path)}: {message}" if path else message)


def understand(kind: type[Kind], value: object, path: Path = ()) -> Kind:
    """A section as it stands. `path` is where it stands, for messages. Raises NotUnderstoodError."""
    deep = too_deep(value)
    if deep is not None:
        raise NotUnderstoodError((*path, *deep), f"is nested too deeply: at most {MAX_DEPTH} levels are allowed")
    try:
        return kind.model_validate(value)
    except ValidationError:
        return _section(kind, value, schemas.inlined(kind), path)


def read_run_file(text: str | bytes) -> wire.RunFile:
    """The run file that the operator wrote, whichever version it is of. Raises NotUnderstoodError."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise NotUnderstoodError((), f"the run file is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise NotUnderstoodError((), "the run file is no mapping")
    spec = understand(TrainingJobSpec, document.get("spec"), ("spec",))
    return understand(wire.RunFile, {**document, "spec": spec})


def write_run_file(run: wire.RunFile) -> str:
    """The text of a run file, also of one with values that this version would refuse."""
    return run.model_dump_json(by_alias=True, exclude_none=True, warnings=False)


def _section(kind: type[Kind], value: object, schema: Schema, path: Path) -> Kind:
    if not isinstance(value, dict):
        raise NotUnderstoodError(path, "is no mapping, as it is to this version")
    given, values = without_nulls(value), {}
    for name, field in kind.model_fields.items():
        alias = field.alias or name
        if alias in given:
            node = schema.get("properties", {}).get(alias, {})
            values[alias] = _value(field.annotation, given[alias], node, (*path, alias))
        elif field.is_required():
            raise NotUnderstoodError((*path, alias), "is missing, and this version cannot do without it")
    return kind.model_construct(**values)


def _value(annotation: Any, value: Any, schema: Schema, path: Path) -> Any:
    inner = _section_within(annotation)
    if inner is None:
        _check_type(value, schema, path)
        return value
    if isinstance(value, inner):
        return value
    if schema.get("type") == "array" and isinstance(value, list):
        return [_item(inner, item, schema.get("items"), (*path, index)) for index, item in enumerate(value)]
    if isinstance(schema.get("additionalProperties"), dict) and isinstance(value, Mapping):
        return {name: _item(inner, item, schema["additionalProperties"], (*path, name)) for name, item in value.items()}
    return _item(inner, value, schema, path)


def _item(kind: type[BaseModel], value: Any, schema: Schema | None, path: Path) -> BaseModel:
    try:
        return kind.model_validate(value)
    except ValidationError:
        return _section(kind, value, schema or {}, path)


def _section_within(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, if it holds one, or a list or mapping of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _section_within(each)) is not None), None)


def _check_type(value: Any, schema: Schema, path: Path) -> None:
    """Raises NotUnderstoodError where a plain value is of another JSON type than this version expects."""
    wanted = schema.get("type")
    if schemas.INT_OR_STRING in schema:
        fits = isinstance(value, int | str)
    else:
        fits = wanted is None or isinstance(value, _TYPES[wanted])
    if not fits or (isinstance(value, bool) and wanted not in (None, "boolean")):
        raise NotUnderstoodError(path, f"is no {wanted or 'text or number'}, as it is to this version")
    if isinstance(value, list):
        for index, item in enumerate(value):
            _check_type(item, schema.get("items", {}), (*path, index))
