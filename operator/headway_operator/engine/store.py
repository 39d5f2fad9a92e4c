"""What exists, as small records: seeded by a LIST, refined by events and by our own writes, replaced by re-LISTs.

A watch alone keeps ghosts: objects deleted while it was interrupted. Our own creates and deletes count at once, before
the watch shows them, so nothing is made twice. Knowledge is never replaced by older knowledge.

What stands in an object may have been written by anybody. One that cannot be read is left out, counted, and named in
the log once; children whose owner is not known are not kept at all.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from headway_operator.engine.keys import Key, Ref, controller_of, version_of
from headway_operator.engine.kinds import Child, Kind, Owner
from headway_operator.engine.kube import Object, Resource
from headway_operator.engine.owners import NEW, OwnerRecord, Owners, read_owner
from headway_operator.engine.packed import pack
from headway_operator.engine.referrers import Referrers
from headway_operator.engine.table import FOREVER, Table, forget

logger = logging.getLogger(__name__)

UNREADABLE_TOLD = 1000
"""So many unreadable objects are remembered as told."""
EventType = Literal["ADDED", "MODIFIED", "DELETED"] | None
"""As kopf says it; None for an object of its initial listing."""


class News(NamedTuple):
    """Something has changed about a key."""

    key: Key
    can_wait: bool = False
    """Whether that is worth no more than the next status write."""


class Store:
    """The operator's knowledge of the objects of its kinds and of their children."""

    def __init__(self, kinds: Iterable[Kind], *, unreadable: Callable[[str], None] = lambda resource: None) -> None:  # noqa: ARG005 - nobody counts
        self.kinds: dict[str, Kind] = {kind.name: kind for kind in kinds}
        self._count_unreadable = unreadable
        self._owners = {name: Owners() for name in self.kinds}
        self._kind_of: dict[Resource, Kind] = {kind.resource: kind for kind in self.kinds.values()}
        self._children: dict[Resource, Table[Any]] = {}
        self._child: dict[tuple[str, Resource], Child] = {}
        for kind in self.kinds.values():
            for child in kind.children:
                self._children.setdefault(child.resource, Table())
                self._child[kind.name, child.resource] = child
        self._referrers = Referrers(
            self.kinds.values(), there=lambda key: self.owner(key) is not None, unreadable=self._unreadable
        )
        self._gone: dict[Key, dict[str, tuple[Resource, Any]]] = {}
        """The last states of deleted children, by uid."""
        self._doubtful: dict[Key, dict[Ref, None]] = {}
        """Children that were shown as deleted though nobody had asked for that: all that is gone may be a label. They
        are in the order in which that was seen, not in one that differs from process to process."""
        self._listed: dict[tuple[Resource, str], int] = {}
        """By resource and namespace: the version at which all that existed were read."""
        self._told: set[str] = set()
        self._bare: set[Key] = set()
        """Owners that had a status when they became known: what is known of their children may be incomplete."""

    # What is known

    def resources(self, *, whether_served_or_not: bool = False) -> dict[Resource, str]:
        """What is watched, with its selector; owners before their children."""
        selectors: dict[Resource, set[str]] = {kind.resource: {""} for kind in self.kinds.values()}
        for (_, resource), child in self._child.items():
            if not (whether_served_or_not or child.served()):
                continue
            selectors.setdefault(resource, set()).add(child.labels)
        for resource in self._referrers.resources():
            selectors.setdefault(resource, set()).add("")
        if torn := [resource.plural for resource, found in selectors.items() if len(found) > 1]:
            raise ValueError(f"a resource has one watch, but kinds ask for several selectors of {', '.join(torn)}")
        return {resource: found.pop() for resource, found in selectors.items()}

    def owner(self, key: Key) -> Owner | None:
        """An object of a kind."""
        table = self._owners.get(key.kind)
        return table.owner(key) if table is not None else None

    def owners(self) -> list[Key]:
        """The keys of all objects of all kinds."""
        return [key for table in self._owners.values() for key in table.known()]

    def all_of(self, kind: str) -> list[Owner]:
        """All objects of a kind, as they are now."""
        return self._owners[kind].all()

    def busy(self, kind: str) -> int:
        """How many children are known of those that show how many objects of a kind are at work."""
        return self._children[self.kinds[kind].busy_with].count(kind)

    def phases(self, kind: str) -> Mapping[str, int]:
        """How many objects of a kind are in which phase."""
        return self._owners[kind].phases()

    def others(self, owner: Owner) -> Mapping[str, int]:
        """How many other objects of the kind have a flag."""
        return self._owners[owner.key.kind].others(owner)

    def children(self, owner: Owner) -> dict[Resource, tuple[Any, ...]]:
        """The children of an object, with the last states of its deleted ones."""
        found: dict[Resource, list[Any]] = {}
        for child in self.kinds[owner.key.kind].children:
            table = self._children[child.resource]
            found[child.resource] = [record for record in table.of(owner.key) if record.owner_uid == owner.uid]
        for resource, record in self._gone.get(owner.key, {}).values():
            if record.owner_uid == owner.uid:
                found[resource].append(record)
        return {resource: tuple(records) for resource, records in found.items()}

    def references(self, owner: Owner) -> tuple[Any, ...]:
        """What others say of an object."""
        return self._referrers.about(owner.key)

    # What is seen

    def key_of(self, resource: Resource, body: Mapping[str, Any]) -> Key | None:
        """The key that an object is about; None if it is none of ours."""
        meta = body["metadata"]
        kind = self._kind_of.get(resource)
        if kind is not None:
            return Key(kind.name, meta["namespace"], meta["name"])
        controller = controller_of(body)
        if controller is None or (controller.key.kind, resource) not in self._child:
            return None
        owner = self.owner(controller.key)
        # Whose owner is not known, or another one of that name, is collected, or is nobody's.
        return controller.key if owner is not None and owner.uid == controller.uid else None

    def is_news(self, resource: Resource, body: Mapping[str, Any]) -> bool:
        """Whether an object, of which the metadata is enough, is newer than what is known. Never raises."""
        try:
            if self._referrers.is_news(resource, body):
                return True
            key = self.key_of(resource, body)
            return key is not None and self._is_news(resource, key, body)
        except Exception:
            return False  # `see` counts it

    def see(self, resource: Resource, event: EventType, body: Mapping[str, Any], now: float) -> News | None:
        """An object was seen; returns what that is news about, if it is. Never raises."""
        try:
            key = self.key_of(resource, body)
            if key is None or (event != "DELETED" and not self._is_news(resource, key, body)):
                return None
            if resource in self._kind_of:
                return self._see_owner(key, event, body)
            return self._see_child(key, resource, event, body, now)
        except Exception as error:
            self._unreadable(resource, body, error)
            return None

    def take_in(self, resource: Resource, event: EventType, body: Mapping[str, Any], now: float) -> tuple[News, ...]:
        """What a watch or a list has shown, which may name objects of other kinds, too. Never raises."""
        news = self.see(resource, event, body, now)
        named = sorted(self._referrers.see(resource, body, deleted=event == "DELETED"))
        about = [News(key) for key in named if self.owner(key) is not None]
        return (*(() if news is None else (news,)), *about)

    def _see_owner(self, key: Key, event: EventType, body: Mapping[str, Any]) -> News | None:
        if event == "DELETED":
            self._remove_owner(key, body["metadata"]["uid"], version_of(body))
            return News(key)
        return News(key) if self._put_owner(read_owner(self.kinds[key.kind], key, body)) else None

    def _see_child(
        self, key: Key, resource: Resource, event: EventType, body: Mapping[str, Any], now: float
    ) -> News | None:
        child, table = self._child[key.kind, resource], self._children[resource]
        before = table.get(key, body["metadata"]["name"])
        record = child.read(dict(body), before, now)
        if record is None:
            return None
        if event != "DELETED":
            listed = self._listed.get((resource, key.namespace), 0)
            if before is None and event is not None and record.version <= listed:
                # It was gone when all were listed: a slow watch shows what was before.
                return None
            if not table.put(key, record):
                return None
            forget(self._gone, key, (record.uid,))
            if before is None or before.uid != record.uid:
                return News(key)
            return None if child.same(before, record) else News(key, child.can_wait(before, record))
        known = table.remove(key, record.name, record.uid, record.version)
        if known is not None and not (body["metadata"].get("deletionTimestamp") and getattr(known, "ended", True)):
            # It may only have lost the label that it is watched by, also on its way out.
            self.doubt(key, (Ref(resource, record.name),))
        # A list may have shown that it is gone before the watch showed its last state.
        heard = self._gone.get(key, {}).get(record.uid)
        if known is not None or (heard is not None and heard[1].version < record.version):
            self._remember(key, child, record)
        return News(key)

    def created(self, key: Key, resource: Resource, body: Object, now: float) -> bool:
        """We created a child, or found ours in its place; whether that is news."""
        return key == self.key_of(resource, body) and self.see(resource, None, body, now) is not None

    def deleting(self, key: Key, ref: Ref, uid: str, when: float) -> None:
        """We asked for a child's deletion; `when` is when it should be gone."""
        table, child = self._children[ref.resource], self._child[key.kind, ref.resource]
        known = table.get(key, ref.name)
        if child.deleting is None:
            self.gone(key, ref, uid)
        elif known is not None and known.uid == uid:
            table.update(key, child.deleting(known, when))

    def gone(self, key: Key, ref: Ref, uid: str) -> bool:
        """A child turned out not to exist any more; whether it was known."""
        known = self._children[ref.resource].remove(key, ref.name, uid, FOREVER)
        if known is not None:
            self._remember(key, self._child[key.kind, ref.resource], known)
        return known is not None

    def wrote_status(self, key: Key, uid: str, version: int, status: dict[str, Any], phase: str) -> None:
        """We wrote an object's status, on condition that nobody else had changed the object."""
        known = self.owner(key)
        if known is not None and known.uid == uid and known.version < version:
            # What the watch shows of it later is no news.
            flags = self.kinds[key.kind].flags(status)
            phase = sys.intern(phase or NEW)
            self._put_owner(replace(known, version=version, status=pack(status), phase=phase, flags=flags))

    def take_doubtful(self, key: Key) -> tuple[Ref, ...]:
        """Children whose deletion is to be believed only when they have been looked for by their names, from now on."""
        return tuple(self._doubtful.pop(key, ()))

    def doubt(self, key: Key, refs: Iterable[Ref]) -> None:
        """The deletion of these children is not to be believed yet; where the object itself is gone, nobody asks."""
        if self.owner(key) is not None:
            self._doubtful.setdefault(key, {}).update(dict.fromkeys(refs))

    def forget(self, key: Key, uids: Iterable[str]) -> None:
        """The last states of these children are recorded."""
        forget(self._gone, key, uids)
        self._referrers.forget(key, uids)

    def seeded(self) -> None:
        """All children were read after their owners."""
        self._bare.clear()

    def is_bare(self, owner: Owner) -> bool:
        """Whether an owner may have children that are not known: they came to be before it was, and were not read."""
        return owner.key in self._bare

    def verified(self, key: Key) -> None:
        """All children of a key were read."""
        self._bare.discard(key)

    def listed(self, resource: Resource, scope: str | None, version: int) -> None:
        """All objects of a resource were read, as they were at a version, in a namespace or in all that have owners."""
        for namespace in [scope] if scope is not None else {key.namespace for key in self.owners()}:
            self._listed[resource, namespace] = version

    def drop_namespace(self, namespace: str) -> list[Key]:
        """Nothing is known of a namespace any more; returns the keys that were."""
        self._listed = {of: version for of, version in self._listed.items() if of[1] != namespace}
        self._referrers.drop_namespace(namespace)
        keys = [key for key in self.owners() if key.namespace == namespace]
        for key in keys:
            owner = self.owner(key)
            if owner is not None:
                self._remove_owner(key, owner.uid, 0)
        return keys

    def age(self) -> None:
        """Forget what was deleted long ago. Called now and then: nothing is under way for two times as long."""
        for table in (*self._owners.values(), *self._children.values()):
            table.age()
        self._referrers.age()

    def missing(
        self, resource: Resource, seen: set[str], version: int, within: Callable[[Key], bool]
    ) -> list[tuple[Key, Ref, str]]:
        """What is known but was not in a list of that version: keys, references and uids."""
        kind = self._kind_of.get(resource)
        if kind is None and resource not in self._children:
            return self._referrers.missing(resource, seen, version, within)
        table: Table[Any] = self._owners[kind.name] if kind is not None else self._children[resource]
        return [(key, Ref(resource, record.name), record.uid) for key, record in table.missing(seen, version, within)]

    def drop_ghost(self, key: Key, ref: Ref, uid: str) -> tuple[News, ...]:
        """An object that a list did not hold is gone, as far as its selector tells; returns what that is news about."""
        heeding = self._referrers.drop(ref.resource, key.namespace, ref.name, uid)
        news = {each for each in heeding if self.owner(each) is not None}
        if ref.resource in self._kind_of:
            self._remove_owner(key, uid, FOREVER)
            news.add(key)
        elif ref.resource in self._children:
            table = self._children[ref.resource]
            known = table.get(key, ref.name)
            if known is not None and known.uid == uid:
                table.remove(key, ref.name, uid, FOREVER)
                self._remember(key, self._child[key.kind, ref.resource], known)
            news.add(key)
        return tuple(News(each) for each in sorted(news))

    # Within

    def _is_news(self, resource: Resource, key: Key, body: Mapping[str, Any]) -> bool:
        """Asked before a record is made of an object: half of what the watches show are echoes of our own writes."""
        meta = body["metadata"]
        table: Table[Any] = self._owners[key.kind] if resource in self._kind_of else self._children[resource]
        return table.is_news(key, meta["name"], meta["uid"], version_of(body))

    def _put_owner(self, owner: Owner) -> bool:
        before = self.owner(owner.key)
        if not self._owners[owner.key.kind].put(owner.key, OwnerRecord(owner)):
            return False
        if before is None or before.uid != owner.uid:
            self._drop_children(owner.key)
            if owner.phase != NEW:
                self._bare.add(owner.key)
        return True

    def _remove_owner(self, key: Key, uid: str, version: int) -> None:
        if self._owners[key.kind].remove(key, key.name, uid, version) is not None:
            self._drop_children(key)

    def _drop_children(self, key: Key) -> None:
        for child in self.kinds[key.kind].children:
            self._children[child.resource].drop(key)
        self._gone.pop(key, None)
        self._referrers.forget_gone(key)
        self._bare.discard(key)
        self._doubtful.pop(key, None)

    def _remember(self, key: Key, child: Child, record: Any) -> None:
        """Keep the last state of a child until the status has it; an owner that is gone itself needs none."""
        owner = self.owner(key)
        if child.gone is not None and owner is not None and owner.uid == record.owner_uid:
            self._gone.setdefault(key, {})[record.uid] = child.resource, child.gone(record)

    def _unreadable(self, resource: Resource, body: Mapping[str, Any], error: Exception) -> None:
        self._count_unreadable(resource.plural)
        meta = body.get("metadata") if isinstance(body, Mapping) else None
        meta = meta if isinstance(meta, Mapping) else {}
        uid = str(meta.get("uid"))
        if uid in self._told or len(self._told) >= UNREADABLE_TOLD:
            return
        self._told.add(uid)
        name = f"{meta.get('namespace')}/{meta.get('name')}"
        logger.warning("%s %s cannot be read and is left out: %r", resource.kind, name[:512], error)
