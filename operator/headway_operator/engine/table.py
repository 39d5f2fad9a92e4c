"""The records of one resource, of which none is ever replaced by an older one, and none that is deleted comes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from headway_operator.engine.keys import Key
from headway_operator.engine.kinds import Record

FOREVER = 2**63
"""Newer than any version."""
TOMBSTONES = 20_000
"""So many deleted objects of a resource are remembered at most, twice over."""

R = TypeVar("R", bound=Record)


class Table(Generic[R]):
    """The records of one resource, by key and name."""

    def __init__(self) -> None:
        self._by_key: dict[Key, dict[str, R]] = {}
        self._tombs: dict[str, int] = {}
        """The uids of what was deleted lately, with the version of that: an answer that was under way, which is older,
        must not bring it back."""
        self._older_tombs: dict[str, int] = {}
        self._counts: Counter[str] = Counter()
        """By the kind of the keys."""

    def count(self, kind: str) -> int:
        """How many records there are of the keys of a kind."""
        return self._counts[kind]

    def known(self) -> list[Key]:
        """The keys with records."""
        return list(self._by_key)

    def of(self, key: Key) -> tuple[R, ...]:
        """The records of a key."""
        return tuple(self._by_key.get(key, {}).values())

    def get(self, key: Key, name: str) -> R | None:
        """One record."""
        return self._by_key.get(key, {}).get(name)

    def is_news(self, key: Key, name: str, uid: str, version: int) -> bool:
        """Whether this version of an object is newer than what is known, and the object not known to be deleted."""
        known = self.get(key, name)
        deleted = self._tombs.get(uid) or self._older_tombs.get(uid) or 0
        return deleted <= version and (known is None or known.version < version)

    def put(self, key: Key, record: R) -> bool:
        """Take in what was seen; false if that is nothing new."""
        if not self.is_news(key, record.name, record.uid, record.version):
            return False
        records = self._by_key.setdefault(key, {})
        self._counts[key.kind] += record.name not in records
        records[record.name] = record
        return True

    def update(self, key: Key, record: R) -> None:
        """Change what is known of an object without a newer version of it."""
        known = self.get(key, record.name)
        if known is not None and known.uid == record.uid:
            self._by_key[key][record.name] = record

    def remove(self, key: Key, name: str, uid: str, version: int) -> R | None:
        """An object is deleted; returns what was known of it.

        Whoever reads it at this version or a newer one has found that it exists all the same: an object that has lost
        the label that it is watched by is shown as deleted, too.
        """
        self._tombs[uid] = max(version, self._tombs.get(uid, 0))
        if len(self._tombs) >= TOMBSTONES:
            self.age()
        known = self.get(key, name)
        if known is None or known.uid != uid:
            return None
        del self._by_key[key][name]
        self._counts[key.kind] -= 1
        if not self._by_key[key]:
            del self._by_key[key]
        return known

    def drop(self, key: Key) -> None:
        """Nothing of a key is kept any more."""
        self._counts[key.kind] -= len(self._by_key.pop(key, ()))

    def age(self) -> None:
        """Some time has passed: what was deleted before the last call is forgotten."""
        self._older_tombs, self._tombs = self._tombs, {}

    def missing(self, seen: set[str], version: int, within: Callable[[Key], bool]) -> list[tuple[Key, R]]:
        """What is known here but was not in a list of that version: ghosts."""
        return [
            (key, record)
            for key, records in self._by_key.items()
            if within(key)
            for record in records.values()
            if record.uid not in seen and record.version <= version
        ]


def forget(kept: dict[Key, dict[str, Any]], key: Key, uids: Iterable[str]) -> None:
    """Of what is kept of deleted objects, by what it is about and their uids, some is recorded by now."""
    of_key = kept.get(key)
    if of_key is None:
        return
    for uid in uids:
        of_key.pop(uid, None)
    if not of_key:
        del kept[key]
