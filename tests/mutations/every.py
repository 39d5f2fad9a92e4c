"""Job files with one mistake each: what nobody may get into the queue as work.

Each names the field that the message has to name. `schema` says that the API server itself has to refuse it with that
field in its message; the rest is beyond a schema (the options of a registry's model, the size of what is kept as it
comes) or beyond JSON (NaN), and is for `headway validate`, `headway run` and the operator.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from mutations.fields import MISSING, NAMES, OUT_OF_BOUNDS, UNKNOWN, WRONG_FORMS, WRONG_TYPES
from mutations.job import ABSENT, USER_CODE, changed
from mutations.sections import BEYOND_SCHEMA, CODE, CONTRADICTIONS, LABELS, OBJECT
from mutations.texts import TEXTS, file_of
from mutations.tuning import TUNING


@dataclass(frozen=True)
class Mutation:
    """A job file with one mistake."""

    name: str
    text: str
    """The file."""
    field: str
    """What the message has to name."""
    schema: bool
    """Whether the API server has to refuse it, naming that field."""
    document: dict[str, Any] | None
    """The file's one object; None where the mistake is in the text itself."""

    @property
    def silent_in_kubectl(self) -> bool:
        """Whether kubectl takes the file without a word: of two values of a key it keeps the last."""
        return self.name.startswith("a key twice")


_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Quoting(_Dumper):  # type: ignore[misc]  # one of two classes
    """Quotes each string, so that no reader takes one for a number."""


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def _from_document(name: str, document: dict[str, Any], field: str, *, schema: bool = True) -> Mutation:
    text = yaml.dump(document, Dumper=_Quoting, allow_unicode=True)
    return Mutation(name, text, field, schema, document)


def _all() -> Iterator[Mutation]:
    for what, table in (("type", WRONG_TYPES), ("bound", OUT_OF_BOUNDS), ("form", WRONG_FORMS)):
        for path, value in table:
            yield _from_document(f"{what} {path} {json.dumps(value)[:24]}", changed({path: value}), path)
    for path in UNKNOWN:
        yield _from_document(f"unknown {path}", changed({path: {}}), path)
    for name in NAMES:
        document = changed({"metadata.name": name})
        yield _from_document(f"name of {len(name)}: {name[:20]!r}", document, "metadata.name")
    for path in MISSING:
        yield _from_document(f"missing {path}", changed({path: ABSENT}), path)
    for name, changes, field in (*CONTRADICTIONS, *LABELS, *TUNING):
        yield _from_document(name, changed(changes), field)
    for name, changes, field in CODE:
        yield _from_document(name, changed(changes, USER_CODE), field)
    for name, changes, field in (*BEYOND_SCHEMA, *OBJECT):
        yield _from_document(name, changed(changes), field, schema=False)
    for name, body, field in TEXTS:
        yield Mutation(name, file_of(body), field, False, None)


MUTATIONS: tuple[Mutation, ...] = tuple(_all())
"""All of them; their names are unique."""
