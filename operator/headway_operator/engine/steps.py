"""What a decision consists of: steps that the engine carries out without knowing what they are for. Pure.

A kind's plan returns a Decision. Its manifests are rendered before anything of it is carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from headway_operator.engine.keys import Ref
from headway_operator.engine.kube import Object, Resource


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server does not take an object that was asked for."""

    kind: Literal["Invalid", "Denied"]
    """Invalid: it never will. Denied: not now, as for a quota."""
    message: str
    retry_at: float = 0.0
    """When to ask again, at the earliest."""
    generation: int = 0
    """The generation of the spec that the object was made from; 0 if that is not known."""


@dataclass(frozen=True, slots=True)
class Ensure:
    """An object should exist: create it, or find that it is there already and the key's own."""

    resource: Resource
    body: Object
    dry_run: bool = False
    """Have the API server judge it, and make nothing."""
    must: bool = False
    """A refusal is an error of the reconcile: the kind has nobody to tell it of."""
    unused: bool = False
    """Nothing rests on one that is there already: if it says otherwise in the annotations that it has, it is made anew.
    """

    @property
    def name(self) -> str:
        """The object's name."""
        name: str = self.body["metadata"]["name"]
        return name


@dataclass(frozen=True, slots=True)
class EnsureShared:
    """An object that many keys of a namespace use, and none owns: create it unless there is one of that name.

    It is not asked for again for a while.
    """

    resource: Resource
    body: Object


@dataclass(frozen=True, slots=True)
class Change:
    """An object that is watched is to become another, if it is still as it was when that was decided."""

    ref: Ref
    uid: str
    version: int
    patch: Mapping[str, Any]
    """A merge patch (RFC 7386) without the metadata."""


@dataclass(frozen=True, slots=True)
class Delete:
    """An object that is watched is to go, if it is the one of that uid (and that version, where given)."""

    ref: Ref
    uid: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class DeleteOwned:
    """An object that nobody watches is to go, if there is one of that name which the key controls."""

    ref: Ref


@dataclass(frozen=True, slots=True)
class DeleteSelf:
    """The reconciled object itself is to go, if it is as it was when that was decided."""


Step = Ensure | EnsureShared | Change | Delete | DeleteOwned | DeleteSelf


@dataclass(frozen=True, slots=True)
class Stage:
    """Steps that may be carried out at the same time, after those of the stages before."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Verify:
    """Read: the key's watched children as the API server has them, those that are known and those of these names."""

    refs: tuple[Ref, ...] = ()
    whole: bool = False
    """Also those whose names cannot be told: all that the kind's selector finds."""


@dataclass(frozen=True, slots=True)
class Exists:
    """Read: whether objects that nobody watches exist, and are the key's own."""

    refs: tuple[Ref, ...]


@dataclass(frozen=True, slots=True)
class EventsAbout:
    """Read: the newest Kubernetes Events for certain reasons about objects."""

    refs: tuple[Ref, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """Read: what is of interest of objects that nobody watches for the key, as those that its own children make.

    They are found by labels, which anybody may give to an object: what rests on them must bear that.
    """

    resource: Resource
    labels: str
    read: Callable[[Object], Any]
    """From an object to what is of interest. Where that is None, or it raises, the object is left out."""


Read = Verify | Exists | EventsAbout | Listed


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read for one decision."""

    done: tuple[Read, ...] = ()
    existing: Mapping[Ref, bool] = field(default_factory=dict)
    """For what Exists asked."""
    events: Mapping[Ref, float] = field(default_factory=dict)
    """For what EventsAbout asked: the time of the newest one, in seconds since the epoch."""
    listed: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """For what Listed asked, by its labels."""

    @property
    def verified(self) -> bool:
        """Whether the watched children were read, those that the kind names too: a child may have lost its labels."""
        return any(isinstance(read, Verify) and read.refs for read in self.done)


@dataclass(frozen=True, slots=True)
class StatusWrite:
    """The status as it should be, as JSON, and the part of it that has to be written if the whole is refused."""

    whole: dict[str, Any]
    essential: Callable[[], dict[str, Any]]
    """Made only where it is asked for, which is rare."""
    phase: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A Kubernetes Event for a person."""

    reason: str
    message: str
    warning: bool = False
    occasion: str = ""
    """What tells this one from an earlier one of the same words; the same words on the same occasion are one Event."""
    cause: str = ""
    """Why, in one word, where the reason does not say it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done about a key now.

    Where there are reads, they are made and the kind decides again; nothing else of the decision is carried out.
    Otherwise the stages are carried out, then the status is written, if nothing was refused. Deletions rest on what the
    status already says, so that a crash in between loses nothing.
    """

    reads: tuple[Read, ...] = ()
    stages: tuple[Stage, ...] = ()
    refused: Mapping[str, Refusal] = field(default_factory=dict)
    """Objects that cannot even be rendered, by name: as if the API server had refused them."""
    status: StatusWrite | None = None
    notices: tuple[Notice, ...] = ()
    """Told once the status is written."""
    forget: tuple[str, ...] = ()
    """The uids of deleted children whose last state is recorded."""
    wake: float | None = None
    """When to reconcile again at the latest, in seconds since the epoch."""
    log: tuple[str, ...] = ()
    """What is done, for the log."""
    detail: Any = None
    """The kind's own account of its decision, which is handed to its measures."""

    def ensures(self) -> tuple[Ensure, ...]:
        """All that it wants to exist."""
        return tuple(step for stage in self.stages for step in stage.steps if isinstance(step, Ensure))
