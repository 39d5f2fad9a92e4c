"""From a key to a carried-out Plan: take what the cache knows, decide, act, and remember what only memory can hold."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pydantic import ValidationError

from headway_api import API_VERSION, wire
from headway_api.status import TrainingJobStatus
from headway_operator.engine import kube
from headway_operator.engine.apply import Applied, Applier
from headway_operator.engine.kube import Kube
from headway_operator.engine.store import Cache
from headway_operator.training.measures import Witness
from headway_operator.training.plan.job import plan as decide
from headway_operator.training.plan.model import Fact, Job, Notice, Observed, Plan, Refusal
from headway_operator.training.plan.spec import Defaults, Resolved, kept, resolve
from headway_operator.training.records import JobRecord, Key

logger = logging.getLogger(__name__)

SPECS_KEPT = 512
"""Parsed specs kept at hand; a spec is parsed again in a fifth of a millisecond."""
NAMES_LOGGED = 3
FIRST_REFUSAL_DELAY = 5.0
LONGEST_REFUSAL_DELAY = 60.0
STATUS_WRITES_A_SECOND = 25.0
"""What the status writes that can wait may add up to, over all jobs."""
SHORTEST_WRITE_INTERVAL = 2.0


class Recorder(Protocol):
    """Where notices for people go."""

    def post(self, job: Job, notices: tuple[Notice, ...]) -> None:
        """Take them over; never blocks, never fails."""
        ...


@dataclass(slots=True)
class _Memory:
    """What is known of a job beside what the API server says."""

    uid: str
    last_write: float | None = None
    refusals: dict[str, Refusal] = field(default_factory=dict)
    refused_times: int = 0


@dataclass(frozen=True, slots=True)
class _Facts:
    """What was read from the API server for one decision."""

    read: frozenset[Fact] = frozenset()
    missing: frozenset[str] = frozenset()


class Controller:
    """Reconciles one job at a time; many may run side by side, each on its own key."""

    def __init__(
        self,
        *,
        api: Kube,
        cache: Cache,
        applier: Applier,
        recorder: Recorder,
        defaults: Defaults,
        now: Callable[[], float],
        witness: Witness | None = None,
        pod_groups: Callable[[], bool] = lambda: False,
    ) -> None:
        self._api = api
        self._cache = cache
        self._applier = applier
        self._recorder = recorder
        self._defaults = defaults
        self._now = now
        self._witness = witness
        self._pod_groups = pod_groups
        """Whether the API server serves PodGroups."""
        self._memories: dict[Key, _Memory] = {}
        self._specs: OrderedDict[tuple[str, int, bool], tuple[Defaults, Resolved]] = OrderedDict()

    async def reconcile(self, key: Key) -> float | None:
        """Do what the job needs now. Returns when to look again, as seconds since the epoch; None: when told to.

        Raises KubeError; trying again later is then right.
        """
        record = self._cache.job(key)
        if record is None:
            self._memories.pop(key, None)
            self._applier.forget(key)
            if self._witness is not None:
                self._witness.gone(key)
            return None
        memory, facts = self._memory(record), _Facts()
        try:
            plan, job = self._look(record, memory, facts)
        except ValidationError as error:
            # A newer operator may have written it. To begin anew would train a finished job again.
            logger.error("its status cannot be read, it is left alone: %s", error, extra={"job": "/".join(key)})
            return None
        while plan.read:
            facts = await self._read(key, record, job, plan, facts)
            record = self._cache.job(key)
            if record is None or record.uid != memory.uid:
                return self._now()
            plan, job = self._look(record, memory, facts)
        applied = await self._act(record, job, plan, memory)
        if applied.refused:
            # The status has to say what was refused; the refusals keep this plan from asking again.
            plan, job = self._look(record, memory, facts)
            applied = await self._act(record, job, plan, memory)
        self._cache.forget(key, plan.forget)
        return self._now() if applied.was_wrong else plan.requeue_at

    def _look(self, record: JobRecord, memory: _Memory, facts: _Facts) -> tuple[Plan, Job]:
        job = self._job(record)
        observed = Observed(
            pods=self._cache.pods_of(record.key, record.uid),
            configs=tuple(config.for_plan() for config in self._cache.configs_of(record.key, record.uid)),
            left=self._applier.left(record.key, record.uid),
            read=facts.read,
            missing=facts.missing,
            pod_groups=self._pod_groups(),
            refusals=memory.refusals,
            last_write=memory.last_write,
            write_interval=max(SHORTEST_WRITE_INTERVAL, len(self._cache.configs) / STATUS_WRITES_A_SECOND),
        )
        now = self._now()
        plan = decide(job, observed, now)
        if self._witness is not None:
            self._witness.looked(job, observed, plan, now)
        return plan, job

    async def _act(self, record: JobRecord, job: Job, plan: Plan, memory: _Memory) -> Applied:
        """Carry a plan out."""
        _log(job, plan)
        applied = await self._applier.apply(job, plan, record.status)
        if applied.wrote_status and plan.status is not None:
            memory.last_write = self._now()
            if self._witness is not None:
                self._witness.wrote(job, plan.status, memory.last_write)
            self._recorder.post(job, plan.notices)
        if applied.deleted_job and self._witness is not None:
            self._witness.expired()
        if plan.create and not applied.refused:
            memory.refusals, memory.refused_times = {}, 0
        elif applied.refused:
            memory.refused_times += 1
            delay = min(LONGEST_REFUSAL_DELAY, FIRST_REFUSAL_DELAY * 2.0 ** min(memory.refused_times - 1, 10))
            retry_at = self._now() + delay
            memory.refusals = {name: replace(refusal, retry_at=retry_at) for name, refusal in applied.refused.items()}
        return applied

    async def _read(self, key: Key, record: JobRecord, job: Job, plan: Plan, facts: _Facts) -> _Facts:
        """What the plan needs to know before it can decide, beside what is known already."""
        missing = facts.missing
        if "live" in plan.read:
            await self._look_live(key, record)
        if "objects" in plan.read:
            missing = await self._applier.missing(job, plan.attempt, grouped=plan.grouped)
        return _Facts(facts.read | plan.read, missing)

    async def _look_live(self, key: Key, record: JobRecord) -> None:
        """Read the job's pods and ConfigMaps from the API server.

        What the cache believes must neither start a second attempt nor end one whose driver speaks.
        """
        seen: set[str] = set()
        listed_at = 0
        labels = f"{wire.LABEL_JOB_UID}={record.uid}"
        async for page, version in self._api.pages(kube.PODS, record.namespace, labels=labels):
            listed_at = version
            for body in page:
                seen.add(body["metadata"]["uid"])
                self._cache.see_pod(None, body, self._now())
        self._cache.drop_ghost_pods(seen, listed_at, lambda of, pod: of == key and pod.job_uid == record.uid)
        async for page, _ in self._api.pages(kube.CONFIG_MAPS, record.namespace, labels=labels):
            for body in page:
                self._cache.see_config(None, body, self._now())

    def _job(self, record: JobRecord) -> Job:
        status = TrainingJobStatus.model_validate_json(record.status)
        resolved = self._resolve(record, status)
        return Job(
            namespace=record.namespace,
            name=record.name,
            uid=record.uid,
            generation=record.generation,
            version=str(record.version),
            created=record.created,
            deleting=record.deleting,
            status=status,
            spec=resolved.spec,
            problems=resolved.problems,
        )

    def _resolve(self, record: JobRecord, status: TrainingJobStatus) -> Resolved:
        defaults = kept(self._defaults, status)
        begun = status.attempt > 0 or bool(self._cache.configs_of(record.key, record.uid))
        known = (record.uid, record.generation, begun)
        of, resolved = self._specs.get(known, (None, None))
        if resolved is None or of != defaults:
            document: Mapping[str, Any] = {
                "apiVersion": API_VERSION,
                "kind": "TrainingJob",
                "metadata": {"name": record.name, "namespace": record.namespace},
                "spec": json.loads(record.spec),
            }
            resolved = resolve(document, defaults, begun=begun)
            self._specs[known] = (defaults, resolved)
            if len(self._specs) > SPECS_KEPT:
                self._specs.popitem(last=False)
        else:
            self._specs.move_to_end(known)
        return resolved

    def _memory(self, record: JobRecord) -> _Memory:
        memory = self._memories.get(record.key)
        if memory is None or memory.uid != record.uid:
            memory = self._memories[record.key] = _Memory(record.uid)
        return memory


def _few(names: list[str]) -> str:
    more = len(names) - NAMES_LOGGED
    return ", ".join(names[:NAMES_LOGGED]) + (f" and {more} more" if more > 0 else "")


def _log(of: Job, plan: Plan) -> None:
    """One line for each decision that changes anything but progress."""
    job = f"{of.namespace}/{of.name}"
    if plan.create:
        names = _few([pod.name(of.name, of.uid, plan.attempt) for pod in plan.create])
        logger.info("creating pods: %s", names, extra={"job": job, "attempt": plan.attempt})
    if plan.delete:
        logger.info("deleting pods: %s", _few([pod.name for pod in plan.delete]), extra={"job": job})
    if plan.delete_job:
        logger.info("deleting the job: its ttlSecondsAfterFinished is over", extra={"job": job})
    for notice in plan.notices:
        level = logging.WARNING if notice.warning else logging.INFO
        logger.log(level, "%s: %s", notice.reason, notice.message, extra={"job": job})
