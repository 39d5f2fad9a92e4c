"""What is wrong with a document, in the project's own sentences: the field, its value, what is allowed, the mend."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from headway_api import schema as schemas
from headway_api.base import BrokenRule, Section
from headway_api.model import MODELS
from headway_api.wording import listed, nearest, not_one_of, noun, shown, word

Path = tuple[str | int, ...]
UNKNOWN_FIELD = "unknown field"
"""How a message begins that is about a name and not about its value."""
A_WHOLE_NUMBER = "a whole number"
"""How a message ends that wants one in place of a number of another form."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    path: Path
    """The way to the field; empty for the whole document."""
    message: str
    """What is wrong with it and what is allowed: a clause that reads after "field: "."""
    line: int | None = None
    """The line in the file, counted from 1; None where there is no file."""

    @property
    def field(self) -> str:
        """The path as text, like `spec.data.source` or `spec.evaluation.metrics[1]`."""
        return path_text(self.path)

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


def path_text(path: Path) -> str:
    """A path as people write it."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{word(part)}" if text else word(part)
    return text


def find(document: Mapping[str, Any], kind: type[Section], *, most: int) -> list[Problem]:
    """What is wrong with a document of a kind: at most `most` problems, fields first, then rules across fields."""
    try:
        kind.model_validate(document)
    except ValidationError as error:
        errors = error.errors()
        found: dict[Path, Problem] = {}
        for each in _all(errors, document, kind):
            found.setdefault(each.path, each)
            if len(found) >= most:
                break
        # Nothing is found of a rule that only whole values break; pydantic has judged them.
        return list(found.values()) or [Problem(("spec",), errors[0]["msg"])]
    return []


def _all(errors: Sequence[Any], document: Mapping[str, Any], kind: type[Section]) -> Iterator[Problem]:
    """Every problem, one after the other: finding the name that was meant takes time, and only some are told."""
    yield from _problems(errors, document, schemas.inlined(kind), ())
    broken: list[tuple[Path, BrokenRule]] = []
    _lenient(kind, document, (), broken)
    for path, rule in broken:
        yield from _of_rule(path, rule, document)


def _lenient(kind: type[BaseModel], value: Any, path: Path, broken: list[tuple[Path, BrokenRule]]) -> Any:
    """Build a section of values that may be wrong, collecting the rules that it and the sections in it break.

    pydantic judges a section's rules only once all its fields are right; people want to hear everything at once.
    """
    if not isinstance(value, dict):
        return value
    values: dict[str, Any] = {}
    meant = _meant(kind, value)
    for name, info in kind.model_fields.items():
        alias = info.alias or name
        if value.get(alias) is not None:
            values[alias] = _lenient_within(info.annotation, value[alias], (*path, alias), broken)
        elif alias in meant:  # what is wrong in it is told once it has its name
            values[alias] = _lenient_within(info.annotation, value[meant[alias]], (*path, alias), [])
    section = kind.model_construct(**values)
    if isinstance(section, Section):
        # Where a value is of the wrong type the rule cannot be judged; that value has a problem of its own.
        for judge in section.judges():
            with suppress(TypeError, ValueError, AttributeError, KeyError, ArithmeticError):
                broken.extend([(path, rule) for rule in judge()])
    return section


def _meant(kind: type[BaseModel], value: Mapping[str, Any]) -> dict[str, str]:
    """The fields that are there under a misspelt name, with that name.

    A section's rules are judged as if they were spelt right: what a rule misses then would be told twice.
    """
    fields = {info.alias or name for name, info in kind.model_fields.items()}
    missing = sorted(fields - value.keys())
    found = {nearest(str(key), missing): key for key in value if key not in fields}
    return {field: key for field, key in found.items() if field is not None}


def _lenient_within(annotation: Any, value: Any, path: Path, broken: list[tuple[Path, BrokenRule]]) -> Any:
    """The value of a field, with the sections in it built in the same way: itself, or those of a list or mapping."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return _lenient(annotation, value, path, broken)
    inner = get_args(annotation)
    holder = get_origin(annotation)
    if holder is list and isinstance(value, list):
        return [_lenient_within(inner[0], item, (*path, index), broken) for index, item in enumerate(value)]
    if holder is dict and isinstance(value, dict):
        return {name: _lenient_within(inner[1], item, (*path, name), broken) for name, item in value.items()}
    if holder in (list, dict):
        return value
    for each in inner:  # of a union or of Annotated, at most one holds sections
        value = _lenient_within(each, value, path, broken)
    return value


def _of_rule(path: Path, rule: BrokenRule, document: Any) -> Iterator[Problem]:
    here = (*path, *rule.path)
    if not rule.errors:
        yield Problem(here, rule.message)
        return
    for part in path:
        document = document[part]
    if "options" not in document:
        return  # they are there under a misspelt name, which is told
    options = MODELS[document["name"]].options
    yield from _problems(rule.errors, document["options"], schemas.inlined(options), here)
    broken: list[tuple[Path, BrokenRule]] = []
    _lenient(options, document["options"], here, broken)
    for way, each in broken:
        yield Problem((*way, *each.path), each.message)


def _problems(errors: Sequence[Any], document: Any, schema: schemas.Schema, prefix: Path) -> Iterator[Problem]:
    for error in errors:
        if error["type"] == "parts":
            parts = [{**part, "loc": (*error["loc"], *part["loc"])} for part in error["ctx"]["errors"]]
            yield from _problems(parts, document, schema, prefix)
        elif error["type"] != "rule":  # _lenient finds these anew, with their fields
            path = _real_path((*error["loc"], *_within(error)), document, error["type"])
            yield Problem((*prefix, *path), _sentence(error, path, schema))


def _within(error: Any) -> Path:
    """The key inside the value that an error is about, where the error tells one."""
    return (error["ctx"]["within"],) if "within" in error.get("ctx", {}) else ()


def _real_path(loc: Path, document: Any, kind: str) -> Path:
    """The part of an error's location that exists in the document: the rest names branches of a union."""
    path: list[str | int] = []
    for part in loc:
        inside = isinstance(document, dict) and part in document
        if not inside and not (isinstance(document, list) and isinstance(part, int)):
            if kind == "missing" and part == loc[-1]:
                path.append(part)
            break
        path.append(part)
        document = document[part]
    return tuple(path)


_SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        "greater_than_equal": "{value} is below the least allowed value {ge:.10g}",
        "greater_than": "{value} is too small: it must be above {gt:.10g}",
        "less_than_equal": "{value} is above the greatest allowed value {le:.10g}",
        "less_than": "{value} is too large: it must be below {lt:.10g}",
        "string_too_long": "{value} is too long: at most {max_length} characters are allowed",
        "string_too_short": "{value} is too short: at least {min_length} characters are needed",
        "too_long": "has too many entries: at most {max_length} are allowed",
        "too_short": "has {actual_length} entries: at least {min_length} are needed",
        "string_pattern_mismatch": "{value} {form}",
        "form": "{value} {must}",
        "finite_number": "{value} is not allowed: write a finite number",
        "recursion_loop": "is nested too deeply",
        "name": "{value} {msg}",
        "sentence": "{msg}",
        "name_missing": "{msg}",
    }
)
_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "string_type": "a string",
        "int_type": A_WHOLE_NUMBER,
        "int_from_float": A_WHOLE_NUMBER,
        "float_type": "a number",
        "bool_type": "true or false",
        "list_type": "a list",
        "dict_type": "a mapping",
        "model_type": "a mapping",
        "invalid-json-value": "a JSON value",
    }
)


def _sentence(error: Any, path: Path, schema: schemas.Schema) -> str:
    """The project's sentence for one of pydantic's errors."""
    kind, value = error["type"], error["input"]
    node = schemas.at(schema, path) or {}
    if error["loc"] and error["loc"][-1] == "[key]" and kind != "form":
        return f"{shown(path[-1])} is not allowed as a key"
    if kind in _SENTENCES:
        context = {**error.get("ctx", {}), "msg": error["msg"], "form": node.get("patternErrorMessage", error["msg"])}
        return _SENTENCES[kind].format(value=shown(value), **context)
    if kind in _TYPES:
        return _wrong_type(value, _TYPES[kind], node)
    said = f"{shown(value)} is refused: {error['msg'][:256]}"
    match kind:
        case "missing":
            about = schemas.paragraphs(node.get("description", "")).split("\n")[0]
            said = f"is missing; it is required: {about}"
        case "extra_forbidden" | "unknown_field":
            said = _unknown(path, schema)
        case "literal_error":
            said = not_one_of(value, [str(each) for each in node.get("enum", ())])
    return said


def _wrong_type(value: object, wanted: str, node: schemas.Schema) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{shown(value)} is not allowed: write a finite number"
    mend = ""
    if isinstance(value, str) and wanted in (A_WHOLE_NUMBER, "a number", "true or false"):
        mend = ": take the quotes away, or correct the value"
    elif isinstance(value, bool | int | float) and wanted == "a string":
        mend = ": put it in quotes"
    elif wanted == "a mapping" and node.get("properties"):
        mend = f" with the fields {listed(list(node['properties']))}"
    said = shown(value) if isinstance(value, list | dict) or value is None else f"{shown(value)} is {noun(value)}"
    return f"{said}, but this must be {wanted}{mend}"


def _unknown(path: Path, schema: schemas.Schema) -> str:
    name = str(path[-1])
    known = list((schemas.at(schema, path[:-1]) or {}).get("properties", ()))
    said = f"{UNKNOWN_FIELD} `{word(name)}`"
    near = nearest(name, known)
    if near:
        return f"{said}: did you mean `{near}`?"
    homes = [path_text(home[:-1]) for home, _ in schemas.fields(schema) if home[-1] == name and home[0] != "status"]
    if homes:
        return f"{said}: it belongs to {' or '.join(homes[:3])}"
    return f"{said}: known here are {listed(known)}"
