"""What a page is asked, and what it answers. No aiohttp: a page is called by tests as it is by the server."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeVar

from headway_cli.cluster.errors import ClusterError
from headway_cli.cluster.kubectl import Kubectl, Target, is_name
from headway_cli.cluster.samples import Samples
from headway_cli.ui.keeping import Keeper
from headway_cli.ui.reaching import Reach

Value = TypeVar("Value")
MOST_SEARCHES = 4
EVERYWHERE = "*"
"""In place of a namespace: all of them."""


class BadQuestionError(ClusterError):
    """The address of a page has a word that it cannot have."""


@dataclass(frozen=True)
class Site:
    """What all pages of a server share."""

    target: Target
    """The cluster, and the namespace that is shown where none is chosen."""
    context: str
    """The name of the kubeconfig's context; "" within a cluster."""
    namespace: str
    """The namespace in use, EVERYWHERE for all."""
    keeper: Keeper = field(default_factory=Keeper)
    searches: Keeper = field(default_factory=lambda: Keeper(most=MOST_SEARCHES))
    """The trials of jobs, of which few are kept: those of one can take 50 MB."""
    reach: Reach = field(default_factory=Reach)
    samples: Samples = field(default_factory=Samples)

    def target_of(self, namespace: str) -> Target:
        """The target with a namespace, or all of them."""
        everywhere = namespace == EVERYWHERE
        return replace(self.target, namespace=None if everywhere else namespace, all_namespaces=everywhere)


@dataclass(frozen=True)
class Asked:
    """A request, judged."""

    site: Site
    now: datetime
    path: str = "/"
    names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The parts of the path that are in braces; each can be the name of an object."""
    query: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def kubectl(self, namespace: str | None = None) -> Kubectl:
        """For a namespace, or for the one that the path names."""
        return self.site.reach.connect(self.site.target_of(namespace or self.names["namespace"]))

    def word(self, name: str, allowed: tuple[str, ...] | None = None) -> str:
        """A word of the query string; "" where it is not there. Raises BadQuestionError where it is not allowed."""
        value = self.query.get(name, "")
        if value and allowed is not None and value not in allowed:
            raise BadQuestionError(f"?{name}= is one of {', '.join(allowed)}: take one of these")
        return value

    def whole(self, name: str, otherwise: int, *, least: int = 1, most: int = 1_000_000) -> int:
        """A whole number of the query string. Raises BadQuestionError where it is none."""
        value = self.query.get(name, "")
        if not value:
            return otherwise
        if not (value.isascii() and value.isdecimal() and len(value) <= len(str(most))):
            raise BadQuestionError(f"?{name}= is no whole number from {least} to {most}")
        return min(max(int(value), least), most)

    def namespace(self) -> str:
        """The namespace that ?namespace= chooses, or the one in use. Raises BadQuestionError."""
        value = self.query.get("namespace", "")
        if value and value != EVERYWHERE and not is_name(value):
            raise BadQuestionError("?namespace= is no name of a namespace: write one, or * for all")
        return value or self.site.namespace

    def kept(self, key: tuple[str, ...], seconds: float, read: Callable[[], Value]) -> Value:
        """What `read` gives, or has given up to so many seconds ago under that key. Raises what it raises."""
        return self.site.keeper.kept(key, seconds, read)


@dataclass(frozen=True)
class View:
    """A page of HTML."""

    template: str
    title: str
    data: Mapping[str, Any]
    status: int = 200
    every: float | None = None
    """After how many seconds live parts are asked for again; None for a page that stays as it is."""


@dataclass(frozen=True)
class Data:
    """A document of JSON, for a script."""

    document: Any
    status: int = 200

    def text(self) -> str:
        """As it is sent: numbers that JSON does not have are null."""
        return json.dumps(_finite(self.document), allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True)
class Plain:
    """A text as it is."""

    text: str


Page = Callable[[Asked], View | Data | Plain]


@dataclass(frozen=True)
class Route:
    """An address and its page."""

    path: str
    page: Page
    name: str
    """By which templates link to it."""
    nav: str = ""
    """The label in the head of every page; "" for none."""
    data: bool = False
    """Whether its answer, and so its errors, are JSON."""

    def address(self, **names: str) -> str:
        """The path with its names filled in. Raises ValueError for one that can be no name of an object."""
        if bad := [name for name in names.values() if not is_name(name)]:
            raise ValueError(f"{bad[0][:64]!r} is no name of an object")
        return self.path.format(**names)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
