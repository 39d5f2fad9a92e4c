"""What the records of all objects of a deployment have in common. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, TypedDict, TypeVar

from headway_operator.engine.keys import Controller, version_of
from headway_operator.engine.kube import Object


class Identity(TypedDict):
    """Which object a record is of, and in which state."""

    name: str
    uid: str
    owner_uid: str
    version: int
    deleting: bool


def identity(body: Object, controller: Controller) -> Identity:
    """Of an object that has this controller."""
    meta = body["metadata"]
    return Identity(
        name=meta["name"],
        uid=meta["uid"],
        owner_uid=controller.uid,
        version=version_of(body),
        deleting="deletionTimestamp" in meta,
    )


class _Versioned(Protocol):
    @property
    def version(self) -> int: ...


R = TypeVar("R", bound=_Versioned)


def same(old: R, new: R) -> bool:
    """Whether all that is new is nothing that is kept: controllers write times, and conditions of their own."""
    return replace(old, version=new.version) == new  # type: ignore[type-var]  # records are dataclasses
