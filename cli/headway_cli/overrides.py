"""`--set KEY=VALUE` of several commands, and `set` of `headway.client`: a field of a job's spec, changed."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from headway_api import documents
from headway_api.documents import UnreadableError
from headway_api.validate import problems_of
from headway_api.wording import printable
from headway_cli.cluster.errors import InputError, UsageError
from headway_cli.cluster.fields import Object

Setting = tuple[str, Any]
"""The path of a field in the spec, as `training.epochs`, and its value."""


def setting_of(text: str) -> Setting:
    """What KEY=VALUE says, where VALUE is YAML. Raises UsageError."""
    key, equals, value = text.partition("=")
    if not equals or not all(_path(key)):
        raise UsageError(f"--set {text}: write KEY=VALUE, for example training.epochs=3")
    try:
        values = [each.value for each in documents.read(value)]
    except UnreadableError as error:
        raise UsageError(f"--set {text}: {error}") from error
    return key, values[0] if values else ""


def set_field(document: dict[str, Any], setting: str) -> None:
    """Set one field of a document's spec, as KEY=VALUE says. Raises UsageError."""
    set_value(document, setting_of(setting))


def set_value(document: dict[str, Any], setting: Setting) -> None:
    """Set one field of a document's spec. Raises UsageError where no field can be there."""
    key, value = setting
    path = _path(key)
    if not all(path):
        raise UsageError(f"{key!r} is no path of a field of spec: write it as training.epochs")
    place = document.setdefault("spec", {})
    for depth, name in enumerate(path[:-1]):
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            above = ".".join(path[: depth + 1])
            raise UsageError(f"--set {key}: {above} is no section, so it has no field {path[depth + 1]}")
    place[path[-1]] = value


def _path(key: str) -> list[str]:
    return key.removeprefix("spec.").split(".")


def changes_of(found: Object, settings: Iterable[Setting]) -> dict[str, Any]:
    """The part of the spec of a job in a cluster that settings change. Raises InputError that names every mistake.

    It is judged here, as the API server takes a patch with a field that it does not know, and leaves the field out.
    """
    document = {name: copy.deepcopy(found[name]) for name in ("apiVersion", "kind", "metadata", "spec")}
    part: dict[str, Any] = {"spec": {}}
    given = list(settings)
    for setting in given:
        set_value(document, setting)
        set_value(part, setting)
    if given and (problems := problems_of(document)):
        raise InputError("\n".join(printable(str(problem)) for problem in problems))
    changes: dict[str, Any] = part["spec"]
    return changes
