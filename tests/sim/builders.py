"""Jobs in any state, in a few words: `make_job().workers(2).running().head().worker(0).worker(1, exit_code=137)`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headway_api import API_VERSION, wire
from headway_api.status import Attempt, Cause, Condition, Failures, TrainingJobStatus, WorkersStatus
from headway_api.storage import Storage
from headway_operator.engine.steps import Refusal
from headway_operator.engine.times import to_text
from headway_operator.training.plan.job import plan
from headway_operator.training.plan.model import AttemptConfig, ContainerEnd, Fact, Job, Observed, Plan, Pod
from headway_operator.training.plan.spec import Defaults, resolve

T0 = 1_800_000_000.0
"""When things begin in these tests."""
UID = "11111111-2222-3333-4444-555555555555"
DEFAULTS = Defaults(image="trainer:1", storage=Storage(uri="s3://bucket/headway"))

_PLAIN: dict[str, Any] = {
    "uid": "",
    "owner_uid": UID,
    "version": 1,
    "index": 0,
    "number": 0,
    "created": T0,
    "phase": "Running",
    "node": "node-1",
    "ready": True,
}
"""A pod that runs and is ready."""


def spec(**changes: Any) -> dict[str, Any]:
    """A valid spec, with changes."""
    return {
        "data": {"source": {"builtin": {"name": "digits"}}},
        "model": {"name": "mlp"},
        "training": {"epochs": 3, "batchSize": 10_000},
        **changes,
    }


def document(name: str = "digits", namespace: str = "default", **changes: Any) -> dict[str, Any]:
    """A TrainingJob as a user applies it."""
    return {
        "apiVersion": API_VERSION,
        "kind": "TrainingJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec(**changes),
    }


def outcome(kind: str, attempt: int = 1, **fields: Any) -> str:
    """A driver's last word."""
    word = {"uid": UID, "attempt": attempt, "outcome": kind, **fields}
    return wire.Outcome.model_validate(word).model_dump_json(by_alias=True, exclude_none=True)


class JobBuilder:
    """A job, what its status says, and what is seen of its objects."""

    def __init__(self) -> None:
        self._spec: dict[str, Any] = spec()
        self._status = TrainingJobStatus()
        self._pods: list[Pod] = []
        self._configs: list[AttemptConfig] = []
        self._refusals: dict[str, Refusal] = {}
        self._observed: dict[str, Any] = {}
        self._job: dict[str, Any] = {}

    def spec(self, **changes: Any) -> JobBuilder:
        """Change fields of the spec."""
        self._spec |= changes
        return self

    def workers(self, count: int) -> JobBuilder:
        """So many workers."""
        return self.spec(workers={"replicas": count})

    def suspended(self) -> JobBuilder:
        """With spec.suspend."""
        return self.spec(suspend=True)

    def job(self, **fields: Any) -> JobBuilder:
        """Change fields of the Job."""
        self._job |= fields
        return self

    def status(self, **fields: Any) -> JobBuilder:
        """Change fields of the status."""
        self._status = self._status.model_copy(update=fields)
        return self

    def condition(self, kind: Any, holds: bool, reason: str = "Reason", since: float = T0) -> JobBuilder:
        """The status has a condition."""
        added = Condition(
            type=kind, status="True" if holds else "False", reason=reason, last_transition_time=to_text(since)
        )
        others = [item for item in self._status.conditions if item.type != kind]
        return self.status(conditions=[*others, added])

    def attempt(
        self,
        number: int = 1,
        *,
        start: float = T0,
        running: float | None = None,
        end: float | None = None,
        cause: Cause | None = None,
        **fields: Any,
    ) -> JobBuilder:
        """The status has an attempt, with its ConfigMap if it has not ended."""
        fields.setdefault("name", wire.object_name("digits", UID, number))
        if running is not None:
            fields.setdefault("scheduled_time", to_text(start))
        entry = Attempt(
            number=number,
            start_time=to_text(start),
            running_time=to_text(running) if running is not None else None,
            end_time=to_text(end) if end is not None else None,
            cause=cause,
            **fields,
        )
        count = self._spec.get("workers", {}).get("replicas", 1)
        self.status(
            attempt=number,
            attempts=[*self._status.attempts, entry],
            phase="Pending" if end is not None else "Running" if running is not None else "Starting",
            start_time=self._status.start_time or to_text(start),
            workers=WorkersStatus(desired=count, ready=0),
        )
        return self if end is not None else self.config(number)

    def running(self, number: int = 1, **fields: Any) -> JobBuilder:
        """Attempt `number` runs."""
        return self.attempt(number, running=T0 + 5, **fields).condition("Running", True, "AllReady")

    def failures(self, **fields: int) -> JobBuilder:
        """The job has met failures."""
        return self.status(failures=Failures(**fields))

    def config(self, attempt: int = 1, progress: str = "", reported_at: float = T0, workers: int = 0) -> JobBuilder:
        """The attempt's ConfigMap is there."""
        self._configs = [config for config in self._configs if config.attempt != attempt]
        self._configs.append(
            AttemptConfig(wire.object_name("digits", UID, attempt), attempt, progress, reported_at, workers=workers)
        )
        return self

    def grouped(self, attempt: int = 1) -> JobBuilder:
        """The attempt's ConfigMap says that its pods are one PodGroup."""
        self._configs = [replace(config, grouped=config.attempt == attempt) for config in self._configs]
        return self

    def without_config(self) -> JobBuilder:
        """No ConfigMap is there."""
        self._configs = []
        return self

    def head(self, attempt: int = 1, **fields: Any) -> JobBuilder:
        """A head pod is there; ready, unless said otherwise."""
        return self._pod(
            Pod(**_PLAIN, name=wire.head_name("digits", UID, attempt), attempt=attempt, role="head"), fields
        )

    def worker(self, index: int, attempt: int = 1, number: int = 0, **fields: Any) -> JobBuilder:
        """A worker pod is there; ready, unless said otherwise."""
        name = wire.worker_name("digits", UID, attempt, index, number)
        place = {"index": index, "number": number}
        return self._pod(Pod(**_PLAIN | place, name=name, attempt=attempt, role="worker"), fields)

    def _pod(self, pod: Pod, fields: dict[str, Any]) -> JobBuilder:
        end = fields.pop("end", None)
        if "exit_code" in fields:
            end = ContainerEnd(
                exit_code=fields.pop("exit_code"),
                reason=fields.pop("exit_reason", "Error"),
                message=fields.pop("said", ""),
                at=fields.pop("at", T0 + 60),
            )
            fields = {"ready": False, "phase": "Succeeded" if end.exit_code == 0 else "Failed"} | fields
        if fields.pop("pending", False):
            pod = replace(pod, phase="Pending", node=None, ready=False)
        self._pods.append(replace(pod, uid=f"uid-of-{pod.name}", end=end, **fields))
        return self

    def refused(
        self, name: str, kind: Any = "Denied", message: str = "exceeded quota", retry_at: float = 0, generation: int = 1
    ) -> JobBuilder:
        """The API server did not take a pod."""
        self._refusals[name] = Refusal(kind, message, retry_at, generation)
        return self

    def seen(self, **fields: Any) -> JobBuilder:
        """Change fields of what was observed."""
        self._observed |= fields
        return self

    def live(self) -> JobBuilder:
        """The pods were read from the API server, by all names that matter."""
        return self.read("live", "left")

    def read(self, *facts: Fact) -> JobBuilder:
        """These facts were read from the API server, too."""
        return self.seen(read=self._observed.get("read", frozenset()) | set(facts))

    def crowded(self) -> JobBuilder:
        """Another job waits for room, and it is known that no autoscaler makes nodes for this one's pods."""
        return self.read("scaleUps").seen(others_waiting=True)

    def build(self) -> tuple[Job, Observed]:
        """The job and what is seen."""
        resolved = resolve(
            {
                "apiVersion": API_VERSION,
                "kind": "TrainingJob",
                "metadata": {"name": "digits", "namespace": "default"},
                "spec": self._spec,
            },
            DEFAULTS,
            begun=self._status.attempt > 0 or bool(self._configs),
        )
        fields: dict[str, Any] = {
            "namespace": "default",
            "name": "digits",
            "uid": UID,
            "generation": 1,
            "version": "7",
            "created": T0,
            "deleting": False,
            "status": self._status,
            "spec": resolved.spec,
            "problems": resolved.problems,
        }
        observed = Observed(
            pods=tuple(self._pods), configs=tuple(self._configs), refusals=self._refusals, **self._observed
        )
        return Job(**(fields | self._job)), observed

    def plan(self, after: float = 60.0) -> Plan:
        """What is decided so many seconds after T0."""
        job, observed = self.build()
        return plan(job, observed, T0 + after)


def head_of(attempt: int = 1) -> str:
    """The name of the head pod of an attempt of a job of these tests."""
    return wire.head_name("digits", UID, attempt)


def make_job() -> JobBuilder:
    """A new job with one worker."""
    return JobBuilder()


def names(result: Plan) -> list[str]:
    """The names of the pods that a plan creates."""
    return [pod.name("digits", UID, result.attempt) for pod in result.create]


def deleted(result: Plan) -> list[str]:
    """The names of the pods that a plan deletes."""
    return sorted(pod.name for pod in result.delete)


def said(result: Plan, kind: str) -> Condition:
    """A condition of the status that a plan writes."""
    assert result.status is not None, "no status is written"
    return next(item for item in result.status.conditions if item.type == kind)
