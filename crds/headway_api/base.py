"""What every section of a spec has in common: strictness, camelCase on the wire, and rules that hold across fields.

A rule is written once, in CEL for the API server and as a Python predicate for `headway validate`, `headway run` and
the operator. A test feeds both the same documents.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    JsonValue,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from headway_api import quantities


@dataclass(frozen=True)
class Rule:
    """A check across the fields of one section."""

    cel: str
    """The rule for the API server, over `self` (and `oldSelf`, for a rule about changes)."""
    message: str
    """One sentence: what is wrong and how to mend it."""
    holds: Callable[[Any], bool]
    """The same rule over the pydantic model; always true for rules about changes, which only the API server judges.

    It may raise a PydanticCustomError of type `rule` in place of False, where the sentence or its place depends on the
    values; its context has `reason`, maybe the `path` that it is about, and where another model judged a part of the
    section, `field` and that model's `errors`.
    """
    field: str | None = None
    """The camelCase field that the message is about, where there is a single one."""


@dataclass(frozen=True)
class BrokenRule:
    """A rule that a section does not keep."""

    message: str
    """The rule's sentence."""
    path: tuple[str | int, ...] = ()
    """The way from the section to what it is about; empty for the section as a whole."""
    errors: tuple[Any, ...] = ()
    """pydantic's error details, where another model judged what is there."""


def rule_schema(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Put a section's rules into its JSON schema, the way a CustomResourceDefinition spells them."""
    rules = [rule for rule in getattr(model, "rules", ()) if rule.cel != "true"]
    if rules:
        schema["x-kubernetes-validations"] = [
            {"rule": rule.cel, "message": rule.message, **({"fieldPath": f".{rule.field}"} if rule.field else {})}
            for rule in rules
        ]


def without_nulls(value: Any) -> Any:
    """A mapping without its null fields, which the API server drops before it fills in defaults."""
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if item is not None}
    return value


class Section(BaseModel):
    """A part of a spec that a user writes: unknown fields, lax types, NaN and infinity are errors."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        alias_generator=to_camel,
        use_attribute_docstrings=True,
        serialize_by_alias=True,
        json_schema_extra=rule_schema,
    )
    rules: ClassVar[tuple[Rule, ...]] = ()
    checks: ClassVar[tuple[Callable[[Any], Iterable[BrokenRule]], ...]] = ()
    """What no CustomResourceDefinition can say: it is for `headway validate`, `headway run` and the operator."""

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        return without_nulls(value)

    @model_validator(mode="after")
    def _rules_hold(self) -> Section:
        if not (self.rules or self.checks):
            return self
        broken = list(self.broken_rules())
        if broken:
            raise PydanticCustomError("rule", "{reason}", {"reason": "; ".join(rule.message for rule in broken)})
        return self

    def broken_rules(self) -> Iterator[BrokenRule]:
        """The rules and checks of the section that it does not keep."""
        for judge in self.judges():
            yield from judge()

    def judges(self) -> Iterator[Callable[[], Iterable[BrokenRule]]]:
        """Each rule and check by itself: of values that are wrong in themselves, some cannot be judged."""
        for rule in type(self).rules:
            yield partial(_broken, rule, self)
        for check in type(self).checks:
            yield partial(check, self)


def _broken(rule: Rule, section: Section) -> list[BrokenRule]:
    try:
        return [] if rule.holds(section) else [BrokenRule(rule.message, (rule.field,) if rule.field else ())]
    except PydanticCustomError as error:
        context = error.context or {}
        field = context.get("field", rule.field)
        path = context.get("path", (field,) if field else ())
        return [BrokenRule(error.message(), tuple(path), tuple(context.get("errors", ())))]


@dataclass(frozen=True)
class Cut:
    """A bound on a text, list or mapping of a status, which is cut to it instead of being refused.

    What pods say ends up in a status, and one value that is too long would make the API server refuse all of it. Of a
    text or a mapping the beginning stays, of a list the end, which is the newest.
    """

    limit: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._cut, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        json_schema = handler(schema)
        bounds = {"string": "maxLength", "array": "maxItems", "object": "maxProperties"}
        return {**json_schema, bounds[json_schema["type"]]: self.limit}

    def _cut(self, value: Any) -> Any:
        if isinstance(value, str):
            return value if len(value) <= self.limit else f"{value[: self.limit - 1]}…"
        if isinstance(value, list):
            return value[-self.limit :]
        if isinstance(value, dict):
            return dict(list(value.items())[: self.limit])
        return value


MOST_COUNTED = 2**53 - 1
"""The largest number that each reader of JSON holds exactly, which is well within an int64."""


@dataclass(frozen=True)
class Between:
    """A bound on a number of a status, which is moved to it instead of being refused, as a text is cut."""

    least: int
    most: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # After, too: a number that comes as a text is one only then.
        moved = core_schema.no_info_before_validator_function(self._moved, handler(source))
        return core_schema.no_info_after_validator_function(self._moved, moved)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "minimum": self.least, "maximum": self.most}

    def _moved(self, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self.least if value < self.least else min(value, self.most)
        return value


@dataclass(frozen=True)
class OrElse:
    """What is read where a status has a word that this version does not know: a newer one may have written it."""

    value: Any

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema["schema"])

    def _read(self, value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(value)
        except ValidationError:
            if isinstance(value, str):
                return self.value
            raise


@dataclass(frozen=True)
class ListMap:
    """Marks a list of a status as a map by a field of its entries: of those with the same, the first one stays.

    The API server refuses a status with two of them.
    """

    key: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._distinct, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [self.key]}

    def _distinct(self, entries: list[Any]) -> list[Any]:
        found: dict[Any, Any] = {}
        for entry in entries:
            found.setdefault(getattr(entry, self.key), entry)
        return list(found.values())


class StatusSection(BaseModel):
    """A part of a status, which the operator writes: lax on reading, so that an older operator reads a newer status."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=True,
        serialize_by_alias=True,
    )


def all_different(values: list[str]) -> list[str]:
    """The values, none of which may be there twice: the API server takes the list for a set."""
    for value in values:
        if values.count(value) > 1:
            raise PydanticCustomError("sentence", "names {twice} twice: take one out", {"twice": value})
    return values


def exactly_one(*fields: str, of: str) -> Rule:
    """A union: exactly one of the (camelCase) fields is set."""
    names = ", ".join(fields)
    return Rule(
        cel=f"[{', '.join(f'has(self.{name})' for name in fields)}].exists_one(isSet, isSet)",
        message=f"set exactly one of {names}: they are the kinds of {of}",
        holds=lambda section: sum(_set(section, name) for name in fields) == 1,
    )


def at_most_one(*fields: str, why: str) -> Rule:
    """At most one of the (camelCase) fields is set."""
    return Rule(
        cel=f"[{', '.join(f'has(self.{name})' for name in fields)}].filter(isSet, isSet).size() <= 1",
        message=f"set at most one of {', '.join(fields)}: {why}",
        holds=lambda section: sum(_set(section, name) for name in fields) <= 1,
    )


def needs(field: str, other: str, why: str) -> Rule:
    """Where one (camelCase) field is set, the other must be."""
    return Rule(
        cel=f"!has(self.{field}) || has(self.{other})",
        message=f"{field} needs {other}: {why}",
        holds=lambda section: not _set(section, field) or _set(section, other),
        field=field,
    )


def _set(section: BaseModel, alias: str) -> bool:
    return getattr(section, _names(type(section))[alias]) is not None


@cache
def _names(kind: type[BaseModel]) -> dict[str, str]:
    """The names of a section's fields, by those that users write."""
    return {info.alias or name: name for name, info in kind.model_fields.items()}


def formed(pattern: str, must: str, *, max_length: int) -> Any:
    """Constraints of a string of a given form; `must` says the form in words, after the value: "must be ...".

    The pattern has to mean the same to Python, Rust and Go: no look-around, and `[A-Za-z0-9_]` in place of `\\w`.
    """
    return Field(max_length=max_length, pattern=pattern, json_schema_extra={"patternErrorMessage": must})


def stays_inside(field: str) -> Rule:
    """A relative path that does not climb out of the folder it is relative to."""
    return Rule(
        cel=f"!has(self.{field}) || !self.{field}.split('/').exists(part, part == '..')",
        message=f"{field} must not hold '..': it stays within its folder",
        holds=lambda section: ".." not in (getattr(section, field) or "").split("/"),
        field=field,
    )


DnsName = Annotated[
    str,
    formed(
        r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$",
        "must be lower-case letters, digits, '-' and '.', and begin and end with a letter or digit",
        max_length=253,
    ),
]
"""The name of a Kubernetes object."""

_ONE_LINE = r"^[^\x00-\x1f\x7f]+$"
_ONE_LINE_FORM = "must be one line of text without control characters"

Text = Annotated[str, formed(_ONE_LINE, _ONE_LINE_FORM, max_length=1024)]
"""A short free text: a column, a class."""

Uri = Annotated[str, formed(_ONE_LINE, _ONE_LINE_FORM, max_length=2048)]
"""A place of data: a path, or a URI that pyarrow reads (`file://`, `s3://`, `gs://`, `abfs://`).

Globs are allowed in the last part.
"""

Entrypoint = Annotated[
    str,
    formed(
        r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$",
        "must be module:function, for example train:main",
        max_length=256,
    ),
]
"""A Python function as `module:function`."""


def _quantity(value: object) -> object:
    try:
        if not isinstance(value, str | int):
            raise ValueError(quantities.FORM)
        quantities.parse(value)
    except ValueError as error:
        raise PydanticCustomError("form", "{must}", {"must": str(error)}) from None
    return value


Quantity = Annotated[
    str | int,
    Field(
        union_mode="left_to_right",
        json_schema_extra={
            "x-kubernetes-int-or-string": True,
            "pattern": quantities.PATTERN,
            "patternErrorMessage": quantities.FORM,
            "maxLength": quantities.MAX_LENGTH,
            "minimum": 0,
        },
    ),
    BeforeValidator(_quantity),
]
"""A Kubernetes quantity, for example `500m`, `2` or `8Gi`."""

FREE_FORM_BYTES = 65_536


def of_bearable_size(value: dict[str, Any]) -> dict[str, Any]:
    """The value, unless it is too large to be kept as it comes."""
    size = len(json.dumps(value))
    if size > FREE_FORM_BYTES:
        raise PydanticCustomError(
            "sentence",
            "is too large: {size} bytes as JSON, at most {most} are allowed",
            {"size": size, "most": FREE_FORM_BYTES},
        )
    return value


Preserved: dict[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}

FreeForm = Annotated[dict[str, JsonValue], AfterValidator(of_bearable_size), Field(json_schema_extra=Preserved)]
"""An object kept as it comes. The resolved spec goes into a ConfigMap, which holds 1 MiB, so its size has a bound."""


class SecretRef(Section):
    """A Secret in the job's own namespace."""

    name: DnsName
    """The Secret's name."""
