"""What objects say of an object of a kind that does not own them: each as a small record, by the key that it is about.

Such a record says the same until what it says changes: an object that is touched wakes nobody. What a deleted object
said last is kept until a decision has recorded it, as the last state of a deleted child is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headway_operator.engine.keys import Key, Ref, version_of
from headway_operator.engine.kinds import Kind, Reference, Referrer
from headway_operator.engine.kube import Resource
from headway_operator.engine.table import FOREVER, Table, forget

MOST_GONE = 100
"""So many deleted objects are remembered of one key until that is recorded; of more, the newest to go."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """An object as it was last seen; most of them name nothing."""

    name: str
    uid: str
    version: int
    said: Reference | None

    @property
    def owner_uid(self) -> str:
        return ""


_Watched = tuple[str, Referrer, Table[_Seen]]
"""The name of the kind, what it heeds, and what was seen of that: by the objects' own names, as keys."""


class Referrers:
    """What the objects say that the kinds heed and do not own."""

    def __init__(
        self,
        kinds: Iterable[Kind],
        *,
        there: Callable[[Key], bool],
        unreadable: Callable[[Resource, Mapping[str, Any], Exception], None],
    ) -> None:
        """there: whether an object of a kind is known. unreadable: told of each object that cannot be read."""
        self._there = there
        self._unreadable = unreadable
        self._watched: dict[Resource, list[_Watched]] = {}
        for kind in kinds:
            for referrer in kind.referrers:
                self._watched.setdefault(referrer.resource, []).append((kind.name, referrer, Table()))
        self._about: dict[Key, dict[str, Reference]] = {}
        """By the uid of who says it."""
        self._gone: dict[Key, dict[str, Reference]] = {}

    def resources(self) -> tuple[Resource, ...]:
        """All that is to be watched."""
        return tuple(self._watched)

    def about(self, key: Key) -> tuple[Reference, ...]:
        """What is said of an object, and what those said last that have gone."""
        return (*self._gone.get(key, {}).values(), *self._about.get(key, {}).values())

    def is_news(self, resource: Resource, body: Mapping[str, Any]) -> bool:
        """Whether an object, of which the metadata is enough, is newer than what is known."""
        meta = body["metadata"]
        return any(
            table.is_news(_own(kind, body), meta["name"], meta["uid"], version_of(body))
            for kind, _, table in self._watched.get(resource, ())
        )

    def see(self, resource: Resource, body: Mapping[str, Any], *, deleted: bool) -> set[Key]:
        """An object was seen; returns the keys of which another thing is said now. Never raises."""
        changed: set[Key] = set()
        for kind, referrer, table in self._watched.get(resource, ()):
            try:
                own, meta, version = _own(kind, body), body["metadata"], version_of(body)
                if deleted:
                    last = self._read(resource, referrer, body)
                    changed |= self._remove(table, own, meta["uid"], version, last)
                elif table.is_news(own, meta["name"], meta["uid"], version):
                    said = self._read(resource, referrer, body)
                    changed |= self._put(table, own, _Seen(meta["name"], meta["uid"], version, said))
            except Exception as error:
                self._unreadable(resource, body, error)
        return changed

    def missing(
        self, resource: Resource, seen: set[str], version: int, within: Callable[[Key], bool]
    ) -> list[tuple[Key, Ref, str]]:
        """What is known but was not in a list of that version: keys, references and uids."""
        return [
            (key, Ref(resource, record.name), record.uid)
            for _, _, table in self._watched.get(resource, ())
            for key, record in table.missing(seen, version, within)
        ]

    def drop(self, resource: Resource, namespace: str, name: str, uid: str) -> set[Key]:
        """An object turned out not to exist any more; returns the keys of which another thing is said now."""
        changed: set[Key] = set()
        for kind, _, table in self._watched.get(resource, ()):
            own = Key(kind, namespace, name)
            known = table.get(own, name)
            last = known.said if known is not None and known.uid == uid else None
            changed |= self._remove(table, own, uid, FOREVER, last)
        return changed

    def drop_namespace(self, namespace: str) -> None:
        """Nothing is known of a namespace any more."""
        for watched in self._watched.values():
            for _, _, table in watched:
                for key in [key for key in table.known() if key.namespace == namespace]:
                    table.drop(key)
        for held in (self._about, self._gone):
            for key in [key for key in held if key.namespace == namespace]:
                del held[key]

    def forget(self, key: Key, uids: Iterable[str]) -> None:
        """What these have said last is recorded."""
        forget(self._gone, key, uids)

    def forget_gone(self, key: Key) -> None:
        """The object has gone, or is another one now: what was said of it last is of no use."""
        self._gone.pop(key, None)

    def age(self) -> None:
        """Forget what was deleted long ago."""
        for watched in self._watched.values():
            for _, _, table in watched:
                table.age()

    # Within

    def _read(self, resource: Resource, referrer: Referrer, body: Mapping[str, Any]) -> Reference | None:
        try:
            return referrer.read(dict(body))
        except Exception as error:
            self._unreadable(resource, body, error)
            return None

    def _put(self, table: Table[_Seen], own: Key, seen: _Seen) -> set[Key]:
        before = table.get(own, seen.name)
        table.put(own, seen)
        if before is not None and before.uid == seen.uid and before.said == seen.said:
            return set()
        changed = set()
        if before is not None and before.said is not None:
            changed.add(self._unsay(own, before.said))
            if before.uid != seen.uid:
                # An object of that name was deleted and made anew, and no watch has shown it.
                self._keep(own, before.said)
        if seen.said is not None:
            key = _about(own, seen.said)
            self._about.setdefault(key, {})[seen.uid] = seen.said
            self.forget(key, (seen.uid,))
            changed.add(key)
        return changed

    def _remove(self, table: Table[_Seen], own: Key, uid: str, version: int, last: Reference | None) -> set[Key]:
        """An object has gone. Its last state may be news, also where a list has shown before that it is gone: of
        several changes at once a watch may show none but the deletion."""
        known = table.remove(own, own.name, uid, version)
        changed = {self._unsay(own, known.said)} if known is not None and known.said is not None else set()
        return changed if last is None else changed | {self._keep(own, last)}

    def _unsay(self, own: Key, said: Reference) -> Key:
        key = _about(own, said)
        known = self._about.get(key, {})
        known.pop(said.uid, None)
        if not known:
            self._about.pop(key, None)
        return key

    def _keep(self, own: Key, said: Reference) -> Key:
        """What a deleted object said last, until that is recorded."""
        key = _about(own, said)
        if self._there(key):
            kept = self._gone.setdefault(key, {})
            kept[said.uid] = said
            if len(kept) > MOST_GONE:
                del kept[next(iter(kept))]
        return key


def _own(kind: str, body: Mapping[str, Any]) -> Key:
    """Where an object is kept that a kind heeds: by its own name."""
    meta = body["metadata"]
    return Key(kind, meta["namespace"], meta["name"])


def _about(own: Key, said: Reference) -> Key:
    return own._replace(name=said.refers_to)
