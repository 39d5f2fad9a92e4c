"""The objects of one kind, with how many of them are in which phase and have which flag."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headway_operator.engine.keys import Key, version_of
from headway_operator.engine.kinds import Kind, Owner
from headway_operator.engine.packed import pack
from headway_operator.engine.table import Table
from headway_operator.engine.times import to_seconds

NEW = "New"
"""The phase of an object that nobody has reconciled yet."""


@dataclass(frozen=True, slots=True)
class OwnerRecord:
    """An owner in its table."""

    owner: Owner

    @property
    def name(self) -> str:
        return self.owner.key.name

    @property
    def uid(self) -> str:
        return self.owner.uid

    @property
    def owner_uid(self) -> str:
        return self.owner.uid

    @property
    def version(self) -> int:
        return self.owner.version


class Owners(Table[OwnerRecord]):
    """The table of one kind's objects; the name within a key is the key's own."""

    def __init__(self) -> None:
        super().__init__()
        self._phases: Counter[str] = Counter()
        self._flags: Counter[str] = Counter()

    def owner(self, key: Key) -> Owner | None:
        """An object of the kind."""
        record = self.get(key, key.name)
        return record.owner if record is not None else None

    def all(self) -> list[Owner]:
        """All objects of the kind."""
        return [record.owner for key in self.known() for record in self.of(key)]

    def put(self, key: Key, record: OwnerRecord) -> bool:
        """Take in what was seen, and count it in place of what was known; false if that is nothing new."""
        before = self.owner(key)
        if not super().put(key, record):
            return False
        if before is not None:
            self._uncount(before)
        self._phases[record.owner.phase] += 1
        self._flags.update(record.owner.flags)
        return True

    def remove(self, key: Key, name: str, uid: str, version: int) -> OwnerRecord | None:
        """An object is deleted, and counts no more; returns what was known of it."""
        known = super().remove(key, name, uid, version)
        if known is not None:
            self._uncount(known.owner)
        return known

    def phases(self) -> Mapping[str, int]:
        """How many objects are in which phase."""
        return +self._phases

    def others(self, owner: Owner) -> Mapping[str, int]:
        """How many other objects have a flag."""
        counts = +self._flags
        counts.subtract(owner.flags)
        return counts

    def _uncount(self, owner: Owner) -> None:
        self._phases[owner.phase] -= 1
        self._flags.subtract(owner.flags)


def read_owner(kind: Kind, key: Key, body: Mapping[str, Any]) -> Owner:
    """What is kept of an object of a kind."""
    meta = body["metadata"]
    status = body.get("status") or {}
    phase = status.get("phase")
    return Owner(
        key=key,
        uid=meta["uid"],
        version=version_of(body),
        generation=int(meta.get("generation") or 0),
        created=to_seconds(meta.get("creationTimestamp")) or 0.0,
        deleting=bool(meta.get("deletionTimestamp")),
        spec=pack(body.get("spec")),
        status=pack(status),
        phase=sys.intern(phase) if isinstance(phase, str) and phase else NEW,
        flags=kind.flags(status),
    )
