"""What exists, as slim tuples: seeded by a LIST, refined by events and by our own writes, replaced by re-LISTs.

A watch alone keeps ghosts: objects deleted while it was interrupted. Our own creates and deletes count at once, before
the watch shows them, so nothing is made twice. Knowledge is never replaced by older knowledge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Generic, Literal, Protocol, TypeVar

from headway_api import wire
from headway_api.status import TrainingJobStatus
from headway_operator.training import records
from headway_operator.training.plan.model import Pod
from headway_operator.training.records import ConfigRecord, JobRecord, Key

TOMBSTONES = 20_000
"""So many deleted objects of a kind are remembered at most, twice over."""
EventType = Literal["ADDED", "MODIFIED", "DELETED"] | None
"""As kopf says it; None for an object of its initial listing."""


class _Record(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def version(self) -> int: ...


R = TypeVar("R", bound=_Record)


class Shelf(Generic[R]):
    """The objects of one kind, by job."""

    def __init__(self) -> None:
        self._by_key: dict[Key, dict[str, R]] = {}
        self._tombs: set[str] = set()
        """The uids of what was deleted lately: an answer that was under way must not bring it back."""
        self._older_tombs: set[str] = set()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def known(self) -> list[Key]:
        """The jobs with objects of this kind."""
        return list(self._by_key)

    def of(self, key: Key) -> tuple[R, ...]:
        """The objects of a job."""
        return tuple(self._by_key.get(key, {}).values())

    def get(self, key: Key, name: str) -> R | None:
        """One object."""
        return self._by_key.get(key, {}).get(name)

    def is_news(self, key: Key, name: str, uid: str, version: int) -> bool:
        """Whether this version of an object is newer than what is known, and the object not known to be deleted."""
        known = self.get(key, name)
        buried = uid in self._tombs or uid in self._older_tombs
        return not buried and (known is None or known.version < version)

    def put(self, key: Key, record: R) -> bool:
        """Take in what was seen; false if that is nothing new."""
        if not self.is_news(key, record.name, record.uid, record.version):
            return False
        records = self._by_key.setdefault(key, {})
        self._count += record.name not in records
        records[record.name] = record
        return True

    def update(self, key: Key, record: R) -> None:
        """Change what is known of an object without a newer version of it."""
        known = self.get(key, record.name)
        if known is not None and known.uid == record.uid:
            self._by_key[key][record.name] = record

    def remove(self, key: Key, name: str, uid: str) -> R | None:
        """An object is deleted; returns what was known of it."""
        self._tombs.add(uid)
        if len(self._tombs) >= TOMBSTONES:
            self.age()
        known = self.get(key, name)
        if known is None or known.uid != uid:
            return None
        del self._by_key[key][name]
        self._count -= 1
        if not self._by_key[key]:
            del self._by_key[key]
        return known

    def age(self) -> None:
        """Some time has passed: what was deleted before the last call is forgotten."""
        self._older_tombs, self._tombs = self._tombs, set()

    def missing(self, seen: set[str], version: int, within: Callable[[Key, R], bool]) -> list[tuple[Key, R]]:
        """What is known here but was not in a list of that version: ghosts."""
        return [
            (key, record)
            for key, records in self._by_key.items()
            for record in records.values()
            if record.uid not in seen and record.version <= version and within(key, record)
        ]


class Cache:
    """The operator's knowledge of jobs, their pods and their ConfigMaps."""

    def __init__(self) -> None:
        self.jobs: Shelf[JobRecord] = Shelf()
        self.pods: Shelf[Pod] = Shelf()
        self.configs: Shelf[ConfigRecord] = Shelf()
        self._gone: dict[Key, dict[str, Pod]] = {}

    def job(self, key: Key) -> JobRecord | None:
        """A job."""
        return self.jobs.get(key, key[1])

    def phases(self) -> Iterator[str]:
        """The phase of each job."""
        for key in self.jobs.known():
            for record in self.jobs.of(key):
                yield record.phase

    def pods_of(self, key: Key, uid: str) -> tuple[Pod, ...]:
        """The pods of a job, and the last words of its deleted ones."""
        present = (pod for pod in self.pods.of(key) if pod.job_uid == uid)
        gone = (pod for pod in self._gone.get(key, {}).values() if pod.job_uid == uid)
        return (*present, *gone)

    def configs_of(self, key: Key, uid: str) -> tuple[ConfigRecord, ...]:
        """The ConfigMaps of a job's attempts."""
        return tuple(config for config in self.configs.of(key) if config.job_uid == uid)

    def see_job(self, event: EventType, body: Mapping[str, Any]) -> Key | None:
        """A job was seen; returns its key if that is news."""
        meta = body["metadata"]
        if event != "DELETED" and not _is_news(self.jobs, (meta["namespace"], meta["name"]), body):
            return None
        record = records.job_record(body)
        if event != "DELETED":
            return record.key if self.jobs.put(record.key, record) else None
        self.jobs.remove(record.key, record.name, record.uid)
        if self.job(record.key) is None:
            self._gone.pop(record.key, None)
        return record.key

    def see_pod(self, event: EventType, body: Mapping[str, Any], now: float) -> Key | None:
        """A pod was seen; returns its job's key if that is news."""
        key = records.key_of(body)
        if key is None or (event != "DELETED" and not _is_news(self.pods, key, body)):
            return None
        seen = records.pod(body, self.pods.get(key, body["metadata"]["name"]), now)
        if seen is None:
            return None
        if event != "DELETED":
            return key if self.pods.put(key, seen) else None
        known = self.pods.remove(key, seen.name, seen.uid)
        # A list may have shown that it is gone before the watch showed its last word.
        heard = self._gone.get(key, {}).get(seen.uid)
        if known is not None or (heard is not None and heard.version < seen.version):
            self._remember(key, seen)
        return key

    def see_config(self, event: EventType, body: Mapping[str, Any], now: float) -> Key | None:
        """An attempt's ConfigMap was seen; returns its job's key if that is news."""
        key = records.key_of(body)
        if key is None or (event != "DELETED" and not _is_news(self.configs, key, body)):
            return None
        record = records.config_record(body, self.configs.get(key, body["metadata"]["name"]), now)
        if record is None:
            return None
        if event != "DELETED":
            return key if self.configs.put(key, record) else None
        self.configs.remove(key, record.name, record.uid)
        return key

    def created_pod(self, key: Key, body: Mapping[str, Any], now: float) -> None:
        """We created a pod, or found ours in its place."""
        seen = records.pod(body, self.pods.get(key, body["metadata"]["name"]), now)
        if seen is not None:
            self.pods.put(key, seen)

    def created_config(self, key: Key, body: Mapping[str, Any], now: float) -> None:
        """We created an attempt's ConfigMap, or found ours in its place."""
        record = records.config_record(body, self.configs.get(key, body["metadata"]["name"]), now)
        if record is not None:
            self.configs.put(key, record)

    def deleting_pod(self, key: Key, pod: Pod, when: float) -> None:
        """We asked for a pod's deletion; `when` is when it should be gone."""
        known = self.pods.get(key, pod.name)
        if known is not None and known.uid == pod.uid:
            self.pods.update(key, records.deleting(known, when))

    def gone_pod(self, key: Key, pod: Pod) -> None:
        """A pod turned out not to exist any more."""
        known = self.pods.remove(key, pod.name, pod.uid)
        if known is not None:
            self._remember(key, known)

    def deleted_config(self, key: Key, record: ConfigRecord) -> None:
        """We deleted an attempt's ConfigMap."""
        self.configs.remove(key, record.name, record.uid)

    def wrote_status(self, key: Key, uid: str, version: int, status: TrainingJobStatus, text: str) -> None:
        """We wrote a job's status, on condition that nobody else had changed the job."""
        known = self.job(key)
        if known is not None and known.uid == uid and known.version < version:
            self.jobs.put(key, replace(known, version=version, status=text, phase=records.phase(status.phase)))

    def forget(self, key: Key, pods: Iterable[Pod]) -> None:
        """The last words of these pods are recorded."""
        kept = self._gone.get(key, {})
        for pod in pods:
            kept.pop(pod.uid, None)
        if not kept:
            self._gone.pop(key, None)

    def age(self) -> None:
        """Forget what was deleted long ago. Called now and then: nothing is under way for two times as long."""
        self.jobs.age()
        self.pods.age()
        self.configs.age()

    def drop_ghost_pods(self, seen: set[str], version: int, within: Callable[[Key, Pod], bool]) -> list[Key]:
        """Pods that a list of that version did not hold are gone; returns the jobs they were of."""
        ghosts = self.pods.missing(seen, version, within)
        for key, pod in ghosts:
            self.gone_pod(key, pod)
        return [key for key, _ in ghosts]

    def drop_ghost_jobs(self, seen: set[str], version: int, within: Callable[[Key, JobRecord], bool]) -> list[Key]:
        """Jobs that a list of that version did not hold are gone."""
        ghosts = self.jobs.missing(seen, version, within)
        for key, job in ghosts:
            self.jobs.remove(key, job.name, job.uid)
            self._gone.pop(key, None)
        return [key for key, _ in ghosts]

    def drop_ghost_configs(
        self, seen: set[str], version: int, within: Callable[[Key, ConfigRecord], bool]
    ) -> list[Key]:
        """ConfigMaps that a list of that version did not hold are gone."""
        ghosts = self.configs.missing(seen, version, within)
        for key, config in ghosts:
            self.configs.remove(key, config.name, config.uid)
        return [key for key, _ in ghosts]

    def _remember(self, key: Key, pod: Pod) -> None:
        """Keep the last word of a pod until the status has it; a job that is gone itself needs none."""
        job = self.job(key)
        if job is not None and job.uid == pod.job_uid and pod.role in (wire.ROLE_HEAD, wire.ROLE_WORKER):
            self._gone.setdefault(key, {})[pod.uid] = records.gone(pod)


def _is_news(shelf: Shelf[Any], key: Key, body: Mapping[str, Any]) -> bool:
    """Asked before a record is made of an object: half of what the watches show are echoes of our own writes."""
    meta = body["metadata"]
    return shelf.is_news(key, meta["name"], meta["uid"], records.version_of(body))
