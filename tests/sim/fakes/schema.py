"""What the API server makes of a custom resource that is written: pruned, then judged by the schema of its definition.

Compiled to functions once, as a validator that walks the schema at each write takes longer than all else in a world.
Rules in CEL are judged by their twins in Python, which tests hold to be the same; transition rules by their form.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from headway_api.job import NAME_MAX_LENGTH, NAME_PATTERN, TrainingJob
from headway_api.trials import DEFAULT_TRIALS
from headway_operator.engine.kube import InvalidError, Object

DEFINITION = Path(__file__).parents[3] / "crds" / "headway.dev_trainingjobs.yaml"
SHOWN = 100
"""So much of a value is told."""
INT64 = 2**63

Judge = Callable[[Any, str, list[str]], None]
"""Prunes a value in place and appends what is wrong with it; the second argument is the way to it."""
Schema = Mapping[str, Any]


def _show(value: Any) -> str:
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _mistyped(value: Any, path: str, expected: str) -> str:
    found = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return f'{path}: Invalid value: {_show(value)}: must be of type {expected}: "{found.get(type(value), "object")}"'


def compiled(node: Schema) -> Judge:
    """The judge of a structural schema."""
    if node.get("x-kubernetes-int-or-string"):
        return _int_or_string(node)
    makers: dict[str, Callable[[Schema], Judge]] = {
        "object": _object,
        "array": _array,
        "string": _string,
        "integer": _number,
        "number": _number,
        "boolean": _boolean,
    }
    maker = makers.get(node.get("type", ""))
    return maker(node) if maker is not None else _anything


def _anything(_: Any, __: str, ___: list[str]) -> None:
    """Nothing is said about it."""


def _int_or_string(node: Schema) -> Judge:
    as_text, as_number = _string(node), _number({**node, "type": "integer"})

    def judge(value: Any, path: str, wrong: list[str]) -> None:
        (as_text if isinstance(value, str) else as_number)(value, path, wrong)

    return judge


def _boolean(_: Schema) -> Judge:
    def judge(value: Any, path: str, wrong: list[str]) -> None:
        if not isinstance(value, bool):
            wrong.append(_mistyped(value, path, "boolean"))

    return judge


def _string(node: Schema) -> Judge:
    longest, allowed = node.get("maxLength", math.inf), node.get("enum")
    form = re.compile(node["pattern"]) if "pattern" in node else None

    def judge(value: Any, path: str, wrong: list[str]) -> None:
        if not isinstance(value, str):
            wrong.append(_mistyped(value, path, "string"))
        elif len(value) > longest:
            wrong.append(f"{path}: Too long: may not be more than {longest} bytes")
        elif allowed is not None and value not in allowed:
            wrong.append(
                f"{path}: Unsupported value: {_show(value)}: supported values: {', '.join(map(_show, allowed))}"
            )
        elif form is not None and not form.search(value):
            wrong.append(f"{path}: Invalid value: {_show(value)}: should match '{form.pattern}'")

    return judge


def _number(node: Schema) -> Judge:
    whole = node["type"] == "integer"
    least, most = node.get("minimum", -math.inf), node.get("maximum", math.inf)
    above, below = bool(node.get("exclusiveMinimum")), bool(node.get("exclusiveMaximum"))

    def judge(value: Any, path: str, wrong: list[str]) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            wrong.append(_mistyped(value, path, node["type"]))
        elif whole and (value != int(value) or not -INT64 <= value < INT64):
            wrong.append(f'{path}: Invalid value: {_show(value)}: must be of type int64: "float64"')
        elif value < least or (above and value == least):
            wrong.append(f"{path}: Invalid value: {_show(value)}: should be greater than or equal to {least}")
        elif value > most or (below and value == most):
            wrong.append(f"{path}: Invalid value: {_show(value)}: should be less than or equal to {most}")

    return judge


def _array(node: Schema) -> Judge:
    item, least, most = compiled(node.get("items", {})), node.get("minItems", 0), node.get("maxItems", math.inf)
    keys: list[str] = node.get("x-kubernetes-list-map-keys", [])
    unique = node.get("x-kubernetes-list-type") in ("map", "set")

    def judge(value: Any, path: str, wrong: list[str]) -> None:
        if not isinstance(value, list):
            wrong.append(_mistyped(value, path, "array"))
            return
        if len(value) > most:
            wrong.append(f"{path}: Too many: {len(value)}: must have at most {most} items")
        if len(value) < least:
            wrong.append(f"{path}: Invalid value: {len(value)}: should have at least {least} items")
        seen = set()
        for index, each in enumerate(value):
            item(each, f"{path}[{index}]", wrong)
            if unique:
                known_by = repr([each.get(key) for key in keys] if keys and isinstance(each, dict) else each)
                if known_by in seen:
                    wrong.append(f"{path}[{index}]: Duplicate value: {_show(each)}")
                seen.add(known_by)

    return judge


def _object(node: Schema) -> Judge:
    known = {name: compiled(child) for name, child in node.get("properties", {}).items()}
    required, least, most = node.get("required", ()), node.get("minProperties", 0), node.get("maxProperties", math.inf)
    others = node.get("additionalProperties")
    other = compiled(others) if isinstance(others, dict) else None
    prunes = other is None and not node.get("x-kubernetes-preserve-unknown-fields")

    def judge(value: Any, path: str, wrong: list[str]) -> None:
        if not isinstance(value, dict):
            wrong.append(_mistyped(value, path, "object"))
            return
        if len(value) > most:
            wrong.append(f"{path}: Too many: {len(value)}: must have at most {most} items")
        if len(value) < least:
            wrong.append(f"{path}: Invalid value: {len(value)}: should have at least {least} properties")
        for name in list(value):
            inner = known.get(name, other)
            if inner is not None:
                inner(value[name], f"{path}.{name}", wrong)
            elif prunes:
                del value[name]
        wrong.extend(f"{path}.{name}: Required value" for name in required if name not in value)

    return judge


def _changes(before: Object, after: Object, path: list[str]) -> bool:
    """Whether a field of a job that has begun is changed in a way that it may not be."""
    if path[0] != "tuning":
        return bool(_at(before.get("spec"), path) != _at(after.get("spec"), path))
    old, new = ({**(body.get("spec") or {}).get("tuning", {})} for body in (before, after))
    had, has = old.pop("trials", None), new.pop("trials", None)
    if path == ["tuning"]:
        return old != new
    fixed = (new.get("search") or {}).get("name") == "grid" or (new.get("scheduler") or {}).get("name") == "pbt"
    failed = (before.get("status") or {}).get("phase") == "Failed"
    return had != has and (fixed or failed or (has or DEFAULT_TRIALS) < (had or DEFAULT_TRIALS))


class Definition:
    """A CustomResourceDefinition, as far as it judges what is written."""

    def __init__(self, definition: Schema) -> None:
        self._name = f"{definition['spec']['names']['kind']}.{definition['spec']['group']}"
        root = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        self._spec = compiled(root["properties"]["spec"])
        self._status = {name: compiled(node) for name, node in root["properties"]["status"]["properties"].items()}
        self._rules = _rules(root["properties"]["spec"])
        self._frozen = [
            (rule["fieldPath"].removeprefix(".spec.").split("."), rule["message"])
            for rule in root["x-kubernetes-validations"]
            if rule.get("fieldPath", "").startswith(".spec.")
        ]

    def judge(self, before: Object | None, after: Object) -> None:
        """Prune what is written, and raise InvalidError unless it may be. What has not changed is not judged again."""
        wrong: list[str] = []
        if before is None or after.get("spec") != before.get("spec"):
            self._judge_spec(before, after, wrong)
        status, old = after.get("status") or {}, (before or {}).get("status") or {}
        for name in list(status):
            if name not in self._status:
                del status[name]
            elif status[name] != old.get(name):
                self._status[name](status[name], f"status.{name}", wrong)
        if wrong:
            said = wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]"
            raise InvalidError(f'{self._name} "{after["metadata"]["name"]}" is invalid: {said}')

    def _judge_spec(self, before: Object | None, after: Object, wrong: list[str]) -> None:
        spec = after.get("spec")
        self._spec(spec, "spec", wrong)
        name = after["metadata"]["name"]
        if before is None and (len(name) > NAME_MAX_LENGTH or not re.fullmatch(NAME_PATTERN, name)):
            wrong.append(f"metadata.name: Invalid value: {_show(name)}")
        if wrong:
            return  # rules are asked only of what has the right form
        wrong.extend(f"spec: Invalid value: {message}" for message in self._broken(after))
        if before is not None and ((before.get("status") or {}).get("attempt") or 0) > 0:
            for path, message in self._frozen:
                if _changes(before, after, path):
                    wrong.append(f"spec.{'.'.join(path)}: Invalid value: {message}")

    def _broken(self, body: Object) -> list[str]:
        """The rules of the schema that a spec breaks; what only its models know does not concern the API server."""
        try:
            TrainingJob.model_validate({key: value for key, value in body.items() if key != "status"})
        except ValidationError as error:
            said = "\n".join(each["msg"] for each in error.errors() if each["type"] == "rule")
            return sorted(message for message in self._rules if message in said)
        return []


def _rules(node: Any) -> set[str]:
    """The messages of all rules in a schema."""
    if isinstance(node, list):
        return set().union(*map(_rules, node))
    if not isinstance(node, dict):
        return set()
    own = {rule["message"] for rule in node.get("x-kubernetes-validations", ())}
    return own.union(*(_rules(child) for child in node.values()))


def _at(value: Any, path: list[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


@cache
def installed() -> Definition:
    """The definition that this version of Headway comes with."""
    return Definition(yaml.load(DEFINITION.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader))
