"""What the engine has to know of a kind in order to reconcile its objects; a kind registers itself as one of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from headway_operator.engine.keys import Key
from headway_operator.engine.kube import Object, Resource
from headway_operator.engine.packed import Packed
from headway_operator.engine.steps import Decision, Facts, Refusal


@dataclass(frozen=True, slots=True)
class Owner:
    """An object of a kind, as small as decisions allow."""

    key: Key
    uid: str
    version: int
    generation: int
    created: float
    deleting: bool
    spec: Packed
    status: Packed
    phase: str
    """That of the status, which scrapes ask for of every object; New where it says none."""
    flags: frozenset[str] = frozenset()
    """What the kind counts over all of its objects."""

    @property
    def name(self) -> str:
        """The object's name."""
        return self.key.name


class Record(Protocol):
    """A child, as small as decisions allow. It is immutable."""

    @property
    def name(self) -> str:
        """The object's name."""
        ...

    @property
    def uid(self) -> str:
        """The object's uid."""
        ...

    @property
    def owner_uid(self) -> str:
        """The uid of the object that controls it."""
        ...

    @property
    def version(self) -> int:
        """The resourceVersion."""
        ...


@dataclass(frozen=True, slots=True)
class Child:
    """A kind of object that the objects of a kind own, and that is watched."""

    resource: Resource
    labels: str
    """The selector of the watch."""
    read: Callable[[Object, Any, float], Any]
    """From an object, what was known of it (or None) and the time to a Record; None if it is not the owner's own.

    It sees what anybody may have written, and may raise: the object is then left out.
    """
    deleting: Callable[[Any, float], Any] | None = None
    """The record after its deletion was asked for; the time is when it should be gone. None if it goes at once."""
    gone: Callable[[Any], Any] | None = None
    """The last state of a deleted object, to be kept until a decision has recorded it; None if nobody needs it."""
    can_wait: Callable[[Any, Any], bool] = lambda old, new: False  # noqa: ARG005 - the types say what they are
    """Whether the change from one record to another is worth no more than the next status write."""
    same: Callable[[Any, Any], bool] = lambda old, new: False  # noqa: ARG005 - the types say what they are
    """Whether two records of an object say the same: then a newer one is taken in, and is no news."""
    served: Callable[[], bool] = lambda: True
    """Whether the API server has such a kind. It is asked before anything is watched, and holds for a process."""


class Reference(Protocol):
    """What an object says of one of a kind that it names, as small as decisions allow. It is immutable."""

    @property
    def uid(self) -> str:
        """The uid of the object that says it."""
        ...

    @property
    def refers_to(self) -> str:
        """The name of the object that it names, which is of its own namespace."""
        ...


@dataclass(frozen=True, slots=True)
class Referrer:
    """A kind of object that the objects of a kind do not own, and that may name one of them."""

    resource: Resource
    """All of its objects are watched."""
    read: Callable[[Object], Reference | None]
    """From an object to what it says; None if it names nothing.

    It sees what anybody may have written, and may raise: the object then names nothing.
    """


@dataclass(frozen=True, slots=True)
class View:
    """All that a decision about an object rests on."""

    owner: Owner
    children: Mapping[Resource, tuple[Any, ...]]
    """By resource: the children that exist, and the last states of deleted ones."""
    facts: Facts
    now: float
    """The API server's time, in seconds since the epoch."""
    last_write: float | None = None
    """When the status was last written."""
    write_interval: float = 2.0
    """Seconds between two writes of a status that can wait."""
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    """What the API server has refused of this object's children, by name."""
    made: frozenset[tuple[str, str]] = frozenset()
    """Children that nobody watches, as far as they were made here and not deleted: their resources' plurals and names.
    """
    status_refused: bool = False
    """The API server has refused a status a moment ago, and took but its essential part."""
    others: Mapping[str, int] = field(default_factory=dict)
    """How many other objects of the kind have a flag."""
    references: tuple[Any, ...] = ()
    """What others say of the object, and what those last said that were deleted since this was recorded last."""
    busy: int = 0
    """How many objects of the kind have children of which something is heard now and then."""


class Measures(Protocol):
    """What the metrics learn of a kind's objects. `course` is what it remembers of one, in the memory of its key."""

    def decided(self, course: Any, view: View, decision: Decision) -> Any:
        """A decision was made; it may be made again, if it could not be carried out. Returns the course."""
        ...

    def wrote(self, course: Any, view: View, decision: Decision) -> Any:
        """The status of a decision was written. Returns the course."""
        ...

    def deleted(self, view: View) -> None:
        """The object was deleted by a decision."""
        ...

    def awaits(self, course: Any) -> bool:
        """Whether something is being timed that news which could wait may tell the end of."""
        ...


class Kind(Protocol):
    """A kind of object that is reconciled."""

    name: str
    resource: Resource
    children: tuple[Child, ...]
    referrers: tuple[Referrer, ...]
    """The objects of others that may name one of its own."""
    busy_with: Resource
    """The watched children that show how many of its objects are at work."""
    makes: tuple[Resource, ...]
    """Kinds of objects that its objects own and that nobody watches."""
    shares: tuple[Resource, ...]
    """Kinds of objects that it makes once a namespace, and that nobody owns."""
    expires: bool
    """Whether its objects may be deleted by a decision."""
    changes: tuple[Resource, ...]
    """Kinds of watched children that it changes, and does not only make and delete."""
    lists: tuple[Resource, ...]
    """Kinds of objects that its decisions ask to be listed now and then, and that nobody watches for it."""
    measures: Measures

    def selector(self, owner: Owner) -> str:
        """The labels by which all watched children of an object are found."""
        ...

    def flags(self, status: Mapping[str, Any]) -> frozenset[str]:
        """What of an object's status is counted."""
        ...

    def plan(self, view: View) -> Decision:
        """What is to be done about an object now: no I/O, no clock, no randomness but what the kind was given."""
        ...
