"""From a key to a carried-out decision: take what the store knows, let the kind decide, read, act, and remember."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable

from headway_operator.engine.apply import Applied, Applier
from headway_operator.engine.events import Recorder
from headway_operator.engine.facts import FactReader
from headway_operator.engine.keys import Key
from headway_operator.engine.kinds import Kind, Owner, View
from headway_operator.engine.kube import ConflictError, Kube
from headway_operator.engine.memory import Memory
from headway_operator.engine.steps import Decision, Facts, Verify
from headway_operator.engine.store import News, Store
from headway_operator.engine.text import bounded
from headway_operator.engine.times import to_text

logger = logging.getLogger(__name__)

STATUS_WRITES_A_SECOND = 25.0
"""What the status writes that can wait may add up to, over all objects of a kind."""
SHORTEST_WRITE_INTERVAL = 2.0
AWAITED_SECONDS = 1.0
"""Between two reconciles for news that can wait, where they may tell what is to be measured."""
MOST_READS = 4
"""So often a decision may ask for more before it counts as a mistake of the kind's."""
RECONCILED = "Reconciled"
"""The condition that says that the operator itself is what keeps an object from getting on."""
OPERATOR_ERROR = "OperatorError"


class Reconciler:
    """Reconciles one key at a time; many may run side by side, each on its own key."""

    def __init__(self, api: Kube, store: Store, recorder: Recorder, now: Callable[[], float]) -> None:
        self._store = store
        self._applier = Applier(api, store, now)
        self._facts = FactReader(api, store, now)
        self._recorder = recorder
        self._now = now
        self._memories: dict[Key, Memory] = {}

    def __len__(self) -> int:
        """How many keys something is remembered of."""
        return len(self._memories)

    def due(self, news: News) -> float | None:
        """When a key has to be reconciled for some news at the latest; None: at once.

        A write that was due and did not come has changed nothing in the status: then it counts from that reconcile.
        """
        memory = self._memories.get(news.key)
        if not news.can_wait or memory is None:
            return None
        if self._kind(news.key).measures.awaits(memory.course):
            return memory.last_reconciled + AWAITED_SECONDS
        interval = self.write_interval(news.key.kind)
        due = (memory.last_write or 0.0) + interval
        return due if due > memory.last_reconciled else memory.last_reconciled + interval

    def write_interval(self, kind: str) -> float:
        """Seconds between two writes of a status that can wait."""
        return max(SHORTEST_WRITE_INTERVAL, self._store.busy(kind) / STATUS_WRITES_A_SECOND)

    async def reconcile(self, key: Key) -> float | None:
        """Do what the key needs now. Returns when to do so again, in seconds since the epoch; None: when told to.

        Raises KubeError; trying again later is then right.
        """
        owner = self._store.owner(key)
        if owner is None:
            self._memories.pop(key, None)
            return None
        memory = self._memory(owner)
        memory.last_reconciled = self._now()
        facts = Facts()
        if self._store.is_bare(owner) or memory.unsure:
            # A child that exists unseen would be made a second time, under another name.
            facts = await self._facts.read(owner, (Verify(whole=True),), facts)
            self._store.verified(key)
            memory.unsure = False
        view, decision = await self._decide(key, memory, facts)
        applied = await self._act(view, decision, memory)
        if applied.refused:
            # The status has to say what was refused; the refusals keep this decision from asking again.
            view, decision = await self._decide(key, memory, view.facts)
            applied = await self._act(view, decision, memory)
        self._store.forget(key, decision.forget)
        return self._now() if applied.was_wrong else decision.wake

    async def tell_error(self, key: Key, error: BaseException) -> None:
        """Say in an object's status that reconciling it fails for a reason of the operator's own. Raises KubeError."""
        owner = self._store.owner(key)
        if owner is None:
            return
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        status = owner.status.value()
        conditions = [item for item in status.get("conditions") or () if item.get("type") != RECONCILED]
        told = next((item for item in status.get("conditions") or () if item.get("type") == RECONCILED), None)
        condition = {
            "type": RECONCILED,
            "status": "False",
            "reason": OPERATOR_ERROR,
            "message": bounded(f"{type(error).__name__}: {first}; this is a fault of the operator's: see its log"),
            "lastTransitionTime": (told or {}).get("lastTransitionTime") or to_text(self._now()),
            "observedGeneration": owner.generation,
        }
        if told != condition:
            after = status | {"conditions": [*conditions, condition]}
            await self._applier.patch_status(owner, after, owner.phase)

    async def _decide(self, key: Key, memory: Memory, facts: Facts) -> tuple[View, Decision]:
        """Decide, on what is known after the last await, until nothing is left to be read."""
        for _ in range(MOST_READS):
            await self._facts.settle(key)
            owner = self._store.owner(key)
            if owner is None or owner.uid != memory.uid:
                raise ConflictError(f"{key} has gone, or is another one by now")
            view = self._view(owner, memory, facts)
            kind = self._kind(key)
            decision = kind.plan(view)
            memory.course = kind.measures.decided(memory.course, view, decision)
            wanted = [read for read in decision.reads if read not in facts.done]
            if not wanted:
                return view, decision
            facts = await self._facts.read(owner, wanted, facts)
        raise RuntimeError(f"the decision about {key} asks for more and more: {decision.reads}")

    def _view(self, owner: Owner, memory: Memory, facts: Facts) -> View:
        kind = owner.key.kind
        now = self._now()
        return View(
            owner=owner,
            children=self._store.children(owner),
            facts=facts,
            now=now,
            last_write=memory.last_write,
            write_interval=self.write_interval(kind),
            refusals=memory.refusals,
            made=frozenset((ref.resource.plural, ref.name) for ref in memory.made),
            status_refused=now < memory.status_refused_until,
            others=self._store.others(owner),
            references=self._store.references(owner),
            busy=self._store.busy(kind),
        )

    async def _act(self, view: View, decision: Decision, memory: Memory) -> Applied:
        """Carry a decision out."""
        owner, kind = view.owner, self._kind(view.owner.key)
        _log(owner.key, decision)
        applied = await self._applier.apply(owner, decision, memory)
        if applied.wrote_status:
            memory.last_write = self._now()
            memory.course = kind.measures.wrote(memory.course, view, decision)
            self._recorder.post(owner, kind.resource.api_version, decision.notices)
        if applied.deleted_self:
            kind.measures.deleted(view)
        if applied.asked or applied.refused:
            memory.note_refusals(applied.asked, applied.refused, owner.generation, self._now())
        return applied

    def _kind(self, key: Key) -> Kind:
        return self._store.kinds[key.kind]

    def _memory(self, owner: Owner) -> Memory:
        memory = self._memories.get(owner.key)
        if memory is None or memory.uid != owner.uid:
            memory = self._memories[owner.key] = Memory(owner.uid, last_write=self._written(owner))
        return memory

    def _written(self, owner: Owner) -> float | None:
        """When a status that another process wrote may have been written: at any time within the last interval.

        So a process that takes over thousands of objects has not to write all of their statuses at once.
        """
        if not owner.status.value():
            return None
        share = zlib.crc32(owner.uid.encode()) / 2**32
        return self._now() - share * self.write_interval(owner.key.kind)


def _log(key: Key, decision: Decision) -> None:
    """A line for each thing that a decision changes but progress."""
    for line in decision.log:
        logger.info("%s", line, extra=key.fields())
    for notice in decision.notices:
        level = logging.WARNING if notice.warning else logging.INFO
        logger.log(level, "%s: %s", notice.reason, notice.message, extra=key.fields())
