"""What the tables of all objects of a kind have in common: the choice above them, and a page of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from headway_cli.cluster.kubectl import is_name
from headway_cli.cluster.times import seconds_since
from headway_cli.ui.asking import EVERYWHERE, Asked
from headway_cli.ui.paging import Link, page_of

MOST_MESSAGE = 200
"""Characters of a message in a table; the object's own page has all of them."""
MOST_NAMESPACES = 200
"""Names that the field for a namespace proposes."""


@dataclass(frozen=True)
class Listed:
    """What each table has of an object: small, as it is kept for all of a cluster."""

    namespace: str
    name: str
    phase: str
    created: str
    message: str

    @property
    def has_page(self) -> bool:
        """Whether the names are such as Kubernetes gives."""
        return is_name(self.namespace) and is_name(self.name)


Row = TypeVar("Row", bound=Listed)


def shortened(message: str) -> str:
    """A message as a table has it."""
    return f"{message[:MOST_MESSAGE]}..." if len(message) > MOST_MESSAGE else message


def listed(
    asked: Asked, path: str, phases: tuple[str, ...], read: Callable[[str], Sequence[Row]]
) -> tuple[Sequence[Row], dict[str, Any]]:
    """All objects of the namespace that is asked for; and what a template needs of those with the phase, and with the
    text in their names, that are asked for.

    path: of the table. read: gives all objects of a namespace. Raises BadQuestionError, and what `read` raises.
    """
    namespace, wanted, part = asked.namespace(), asked.word("phase", phases), asked.word("name")
    number = asked.whole("page", 1)
    found = read(namespace)
    pager = page_of([each for each in found if (not wanted or each.phase == wanted) and part in each.name], number)
    return found, {
        "namespace": namespace,
        "everywhere": namespace == EVERYWHERE,
        "namespaces": sorted({each.namespace for each in found})[:MOST_NAMESPACES],
        "wanted": wanted,
        "part": part,
        "all": len(found),
        "pager": pager,
        "rows": [(each, seconds_since(each.created, asked.now)) for each in pager.items],
        "link": Link(path, {"namespace": asked.query.get("namespace", ""), "phase": wanted, "name": part}),
    }
