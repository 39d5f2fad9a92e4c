"""Pod templates: their shape, as far as Headway reads them and as far as mistakes in them are common.

A template is kept as it comes, and what a pod may have is for the API server to know. But what it refuses of a pod it
refuses only once the job begins; what is known here `headway validate` and the operator refuse before that, with the
path of the field, and of labels and annotations `kubectl apply` does, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any

from pydantic import AfterValidator, Field, JsonValue
from pydantic_core import PydanticCustomError

from headway_api.base import of_bearable_size
from headway_api.schema import PRESERVE, Schema

Path = tuple[str | int, ...]
Mistake = dict[str, Any]
"""As pydantic tells an error: its `type`, where it is (`loc`), the value there (`input`), and a sentence (`msg`)."""

MAIN = "main"
"""The container that is Headway's own."""
MOST_MISTAKES = 10
"""How many mistakes of one template are told."""
MOST_ENTRIES = 64
"""How many labels, and how many annotations, a template may have."""
ANNOTATION_LENGTH = 16_384
LABEL_FORM = "must be letters, digits, '-', '_' and '.', and begin and end with a letter or digit"
LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
LABEL_VALUE_LENGTH = 63
LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
LABEL_KEY_FORM = f"{LABEL_FORM}, after an optional domain/"
LABEL_KEY_LENGTH = 317


def _mapping(**known: Schema) -> Schema:
    """A mapping of which some fields are known; the others are kept as they come."""
    return {"type": "object", **({"properties": known} if known else {}), PRESERVE: True}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


_TEXT: Schema = {"type": "string"}
_CONTAINER = _mapping(
    name=_TEXT,
    command=_list(_TEXT),
    args=_list(_TEXT),
    env=_list(_mapping(name=_TEXT, value=_TEXT)),
    volumeMounts=_list(_mapping(name=_TEXT, mountPath=_TEXT)),
    securityContext=_mapping(),
    resources=_mapping(requests=_mapping(), limits=_mapping()),
)
_LABELS: Schema = {
    "description": "Labels; those that Headway needs are its own.",
    "type": "object",
    "maxProperties": MOST_ENTRIES,
    "additionalProperties": {
        "type": "string",
        "maxLength": LABEL_VALUE_LENGTH,
        "pattern": LABEL_VALUE,
        "patternErrorMessage": LABEL_FORM,
    },
}
_ANNOTATIONS: Schema = {
    "description": "Annotations.",
    "type": "object",
    "maxProperties": MOST_ENTRIES,
    "additionalProperties": {"type": "string", "maxLength": ANNOTATION_LENGTH},
}
_METADATA: Schema = {
    "description": "Labels and annotations of the pod.",
    **_mapping(labels=_LABELS, annotations=_ANNOTATIONS),
}
_SPEC = _mapping(
    containers=_list(_CONTAINER),
    initContainers=_list(_CONTAINER),
    volumes=_list(_mapping(name=_TEXT)),
    tolerations=_list(_mapping(key=_TEXT)),
    nodeSelector={"type": "object", "additionalProperties": _TEXT},
    securityContext=_mapping(),
    schedulerName=_TEXT,
    priorityClassName=_TEXT,
)
"""What is judged here of a pod's spec. The API server is not told: comparing it would cost a rule more than it may."""


def _template(spec: Schema) -> Schema:
    return {"additionalProperties": False, "properties": {"metadata": _METADATA, "spec": spec}}


_TEMPLATE = {"type": "object", **_template(_SPEC)}
_ACCOUNT: Schema = {"description": "Not to be set: see spec.head.", "type": "string", "maxLength": 253}
_OPEN: Schema = {"description": "A PodSpec, any field of it.", **_mapping()}
_OPEN_BUT_ACCOUNT: Schema = {**_OPEN, **_mapping(serviceAccountName=_ACCOUNT)}


def mistakes(template: JsonValue) -> Iterator[Mistake]:
    """What is wrong with a pod template. Any JSON may be given; it is walked only as far as the schema is."""
    yield from _mistakes(template, _TEMPLATE, ())
    if isinstance(template, dict):
        yield from _of_keys(template)
        yield from _of_main(template)


def _mistake(kind: str, path: Path, value: JsonValue, message: str = "", **context: object) -> Mistake:
    return {"type": kind, "loc": path, "input": value, "msg": message, "ctx": context}


def _mistakes(value: JsonValue, schema: Schema, path: Path) -> Iterator[Mistake]:
    wanted = schema.get("type")
    if wanted == "object":
        if isinstance(value, dict):
            yield from _of_fields(value, schema, path)
        else:
            yield _mistake("dict_type", path, value)
    elif wanted == "array":
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from _mistakes(item, schema["items"], (*path, index))
        else:
            yield _mistake("list_type", path, value)
    elif not isinstance(value, str):
        yield _mistake("string_type", path, value)
    elif len(value) > schema.get("maxLength", len(value)):
        yield _mistake("string_too_long", path, value, max_length=schema["maxLength"])
    elif "pattern" in schema and not re.fullmatch(schema["pattern"].strip("^$"), value):
        yield _mistake("string_pattern_mismatch", path, value)


def _of_fields(value: dict[str, JsonValue], schema: Schema, path: Path) -> Iterator[Mistake]:
    if len(value) > schema.get("maxProperties", len(value)):
        yield _mistake("too_long", path, value, max_length=schema["maxProperties"])
        return
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name, item in value.items():
        inner = known.get(name, others)
        if inner is False:
            yield _mistake("unknown_field", (*path, name), item)
        elif inner and item is not None:  # the API server drops a field that is null
            yield from _mistakes(item, inner, (*path, name))


def _of_keys(template: dict[str, JsonValue]) -> Iterator[Mistake]:
    """Keys of labels and annotations: no schema of the API server can judge these."""
    metadata = template.get("metadata")
    for part in ("labels", "annotations"):
        entries = metadata.get(part) if isinstance(metadata, dict) else None
        for key in entries if isinstance(entries, dict) else ():
            if len(key) > LABEL_KEY_LENGTH or not re.fullmatch(LABEL_KEY.strip("^$"), key):
                said = f"is not allowed as a key: it {LABEL_KEY_FORM}"
                yield _mistake("sentence", ("metadata", part, key), key, said)


def _of_main(template: dict[str, JsonValue]) -> Iterator[Mistake]:
    spec = template.get("spec")
    containers = spec.get("containers") if isinstance(spec, dict) else None
    entries = containers if isinstance(containers, list) else []
    if sum(isinstance(entry, dict) and entry.get("name") == MAIN for entry in entries) > 1:
        said = f"has the container {MAIN} twice: keep one of them"
        yield _mistake("sentence", ("spec", "containers"), containers, said)


def _without_mistakes(template: dict[str, JsonValue]) -> dict[str, JsonValue]:
    found = tuple(islice(mistakes(template), MOST_MISTAKES))
    if found:
        where = ".".join(map(str, found[0]["loc"]))
        raise PydanticCustomError("parts", "{where} is not as in a pod template", {"where": where, "errors": found})
    return template


_JUDGED = (AfterValidator(of_bearable_size), AfterValidator(_without_mistakes))
PodTemplate = Annotated[dict[str, JsonValue], *_JUDGED, Field(json_schema_extra=_template(_OPEN))]
"""A pod template: what Headway reads of it is known, the rest is kept as it comes."""
HeadTemplate = Annotated[dict[str, JsonValue], *_JUDGED, Field(json_schema_extra=_template(_OPEN_BUT_ACCOUNT))]
"""A pod template of which the API server knows whether it names a ServiceAccount."""
