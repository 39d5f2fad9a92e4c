"""What every section of a spec has in common: strictness, camelCase on the wire, and rules that hold across fields.

A rule is written once, in CEL for the API server and as a Python predicate for `headway validate`, `headway run` and
the operator. A test feeds both the same documents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError


@dataclass(frozen=True)
class Rule:
    """A check across the fields of one section."""

    cel: str
    """The rule for the API server, over `self` (and `oldSelf`, for a rule about changes)."""
    message: str
    """One sentence: what is wrong and how to mend it."""
    holds: Callable[[Any], bool]
    """The same rule over the pydantic model; always true for rules about changes, which only the API server judges."""
    field: str | None = None
    """The camelCase field that the message is about, where there is a single one."""


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
    )
    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _rules_hold(self) -> Section:
        for rule in type(self).rules:
            if not rule.holds(self):
                raise PydanticCustomError("rule", "{reason}", {"reason": rule.message, "field": rule.field})
        return self


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
    by_alias = {info.alias or name: name for name, info in type(section).model_fields.items()}
    return getattr(section, by_alias[alias]) is not None


DnsName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")]
"""The name of a Kubernetes object."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
"""A short free text: a column, a path, an image."""

Uri = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
"""A place of data: a path, or a URI that pyarrow reads (`file://`, `s3://`, `gs://`, `abfs://`).

Globs are allowed in the last part.
"""

Entrypoint = Annotated[
    str,
    StringConstraints(max_length=256, pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"),
]
"""A Python function as `module:function`."""

Quantity = Annotated[
    str | int,
    Field(
        union_mode="left_to_right",
        json_schema_extra={
            "x-kubernetes-int-or-string": True,
            "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$",
        },
    ),
]
"""A Kubernetes quantity, for example `500m`, `2` or `8Gi`."""

FreeForm = Annotated[dict[str, JsonValue], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
"""An object kept as it comes."""


class SecretRef(Section):
    """A Secret in the job's own namespace."""

    name: DnsName
    """The Secret's name."""
