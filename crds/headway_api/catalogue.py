"""Names that a spec may hold: what is known of each without the code that stands behind it.

`headway validate` and the operator judge a spec without torch, and without the image that will run it. So the names and
their options are here; the trainer finds the code under the same name (`headway_trainer.registry`), and a test holds
the two together. A name with a dot, `package.name`, is another package's: what it takes, only the image knows that has
the package, so it is accepted here, and the driver looks it up before it reads any data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from headway_api.wording import not_one_of

Entry = TypeVar("Entry")
_OTHERS = r"[A-Za-z][A-Za-z0-9_]*([.][A-Za-z][A-Za-z0-9_]*)+"
"""The form of a name of another package."""
NAME_LENGTH = 128


def of_another_package(name: str) -> bool:
    """Whether a name is formed as those of other packages are: with a dot."""
    return len(name) <= NAME_LENGTH and re.fullmatch(_OTHERS, name) is not None


class Catalogue(Mapping[str, Entry], Generic[Entry]):
    """Headway's own names of one kind of thing, in the order in which messages list them."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __hash__(self) -> int:
        return id(self)

    def refusal(self, name: str) -> str | None:
        """Why a name is none of these, in words; None where it is one."""
        return None if name in self._entries else not_one_of(name, list(self))


@dataclass(frozen=True)
class Named:
    """Marks a text of a spec as a name of a catalogue; `open`: or as one of another package."""

    catalogue: Catalogue[Any]
    open: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        names = list(self.catalogue)
        if not self.open:
            return {**handler(schema), "enum": names}
        return {
            **handler(schema),
            "maxLength": NAME_LENGTH,
            "pattern": f"^({'|'.join(names)}|{_OTHERS})$",
            "patternErrorMessage": f"must be {', '.join(names)}, or another package's as package.name",
        }

    def _check(self, name: str) -> str:
        if self.open and of_another_package(name):
            return name
        refusal = self.catalogue.refusal(name)
        if refusal is not None:
            raise PydanticCustomError("sentence", "{said}", {"said": refusal})
        return name
