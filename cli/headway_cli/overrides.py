"""`--set KEY=VALUE` of several commands: a field of a job's spec, changed."""

from __future__ import annotations

from typing import Any

import click

from headway_api import documents
from headway_api.documents import UnreadableError


def set_field(document: dict[str, Any], setting: str) -> None:
    """Set one field of a document's spec. Raises UsageError."""
    key, equals, text = setting.partition("=")
    path = key.removeprefix("spec.").split(".")
    if not equals or not all(path):
        raise click.UsageError(f"--set {setting}: write KEY=VALUE, for example training.epochs=3")
    try:
        values = [each.value for each in documents.read(text)]
    except UnreadableError as error:
        raise click.UsageError(f"--set {setting}: {error}") from error
    place = document.setdefault("spec", {})
    for depth, name in enumerate(path[:-1]):
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            above = ".".join(path[: depth + 1])
            raise click.UsageError(f"--set {setting}: {above} is no section, so it has no field {path[depth + 1]}")
    place[path[-1]] = values[0] if values else ""
