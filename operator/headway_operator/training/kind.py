"""The kind TrainingJob, as the engine takes it: what is watched, how a decision is made, and what is measured."""

from __future__ import annotations

import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from headway_api import API_VERSION, wire
from headway_api.status import TrainingJobStatus
from headway_operator.engine import kube
from headway_operator.engine.kinds import Child, Measures, Owner, Referrer, View
from headway_operator.engine.kube import Resource
from headway_operator.engine.packed import Packed
from headway_operator.engine.parsed import Parsed
from headway_operator.engine.steps import Decision, EventsAbout, Exists, Facts, Notice, StatusWrite
from headway_operator.training import records
from headway_operator.training.measures import JobMeasures
from headway_operator.training.plan.job import plan as decide
from headway_operator.training.plan.model import Fact, Job, Observed, Plan
from headway_operator.training.plan.spec import Defaults, Resolved, kept, resolve
from headway_operator.training.plan.status import essential
from headway_operator.training.steps import Settings, attempts_of, has_looked_for_left, reads, render

logger = logging.getLogger(__name__)

LABELS = f"{wire.LABEL_MANAGED_BY}={wire.MANAGED_BY}"
LACKS_ROOM = "lacks room"
"""The flag of jobs that wait for room."""
SPECS_KEPT = 512
"""Parsed specs kept at hand; a spec is parsed again in a fifth of a millisecond."""
STATUSES_KEPT = 64
"""Statuses that were read, kept at hand: as many as jobs are looked at at a time, and some more."""
NAMES_LOGGED = 3
TOKEN_BYTES = 32
MOST_PROGRESS_SECONDS = 120.0
REPORTS_A_SECOND = 10.0
"""What the progress of all drivers may add up to, if all began now and the longest pause were longer."""


@dataclass(frozen=True, slots=True)
class Decided:
    """The account of a decision for the measures."""

    job: Job
    observed: Observed
    plan: Plan


def progress_seconds(busy: int) -> float:
    """How often a driver is told to speak that begins while so many jobs are at work, in seconds."""
    return min(MOST_PROGRESS_SECONDS, max(wire.PROGRESS_SECONDS, busy / REPORTS_A_SECOND))


class TrainingJobs:
    """The kind."""

    name = "TrainingJob"
    resource = kube.JOBS
    children: tuple[Child, ...] = (
        Child(kube.PODS, LABELS, records.pod, deleting=records.deleting, gone=records.gone),
        Child(kube.CONFIG_MAPS, LABELS, records.config_record, can_wait=records.only_progress),
    )
    makes: tuple[Resource, ...] = (kube.SECRETS, kube.SERVICES, kube.NETWORK_POLICIES, kube.POD_GROUPS)
    shares: tuple[Resource, ...] = (kube.SERVICE_ACCOUNTS, kube.ROLE_BINDINGS)
    expires = True
    changes: tuple[Resource, ...] = ()
    lists: tuple[Resource, ...] = ()
    referrers: tuple[Referrer, ...] = ()
    busy_with = kube.CONFIG_MAPS

    measures: Measures

    def __init__(
        self,
        *,
        defaults: Defaults,
        pull_policy: str,
        measures: JobMeasures,
        pod_groups: Callable[[], bool] = lambda: False,
        new_token: Callable[[], str] = lambda: secrets.token_hex(TOKEN_BYTES),
    ) -> None:
        self.measures = measures
        self._defaults = defaults
        self._settings = Settings(pull_policy)
        self._pod_groups = pod_groups
        """Whether the API server serves PodGroups."""
        self._new_token = new_token
        self._specs: OrderedDict[tuple[str, int, bool], tuple[Defaults, Resolved]] = OrderedDict()
        self._statuses = Parsed[TrainingJobStatus](STATUSES_KEPT)

    def selector(self, owner: Owner) -> str:
        """The label that all objects of a job have."""
        return f"{wire.LABEL_JOB_UID}={owner.uid}"

    def flags(self, status: Mapping[str, Any]) -> frozenset[str]:
        """Whether the job lacks room, for all of its pods or for one that takes a lost one's place."""
        conditions = status.get("conditions")
        scheduled = (item for item in conditions if item.get("type") == "Scheduled") if conditions else ()
        lacks = status.get("phase") == "Queued" or any(item.get("reason") == "Unschedulable" for item in scheduled)
        return frozenset((LACKS_ROOM,)) if lacks else frozenset()

    def plan(self, view: View) -> Decision:
        """What is to be done about a job now."""
        owner = view.owner
        try:
            status = self._statuses.get(owner.uid, owner.status, _status)
        except ValidationError as error:
            # A newer operator may have written it. To begin anew would train a finished job again.
            logger.error("its status cannot be read, it is left alone: %s", error, extra=owner.key.fields())
            return Decision()
        job = self._job(view, status)
        observed = self._observed(job, view)
        plan = decide(job, observed, view.now)
        rendered = render(job, plan, observed, self._settings, self._new_token() if plan.ensure_objects else "")
        return Decision(
            reads=reads(job, plan, observed),
            stages=rendered.stages,
            refused=rendered.refused,
            status=_status_write(plan),
            notices=tuple(
                Notice(each.reason, each.message, each.warning, str(job.status.attempt), each.cause)
                for each in plan.notices
            ),
            forget=tuple(pod.uid for pod in plan.forget),
            wake=plan.requeue_at,
            log=tuple(_log(job, plan)),
            detail=Decided(job, observed, plan),
        )

    def _observed(self, job: Job, view: View) -> Observed:
        facts = view.facts
        return Observed(
            pods=view.children[kube.PODS],
            configs=tuple(config.for_plan() for config in view.children[kube.CONFIG_MAPS]),
            made=view.made,
            left=attempts_of(job, view.made),
            read=_read(job, facts),
            missing=frozenset(ref.resource.kind for ref, there in facts.existing.items() if not there),
            scale_ups={ref.name: when for ref, when in facts.events.items()},
            others_waiting=view.others.get(LACKS_ROOM, 0) > 0,
            status_refused=view.status_refused,
            pod_groups=self._pod_groups(),
            refusals=view.refusals,
            last_write=view.last_write,
            write_interval=view.write_interval,
            progress_interval=progress_seconds(view.busy),
        )

    def _job(self, view: View, status: TrainingJobStatus) -> Job:
        owner = view.owner
        # What has begun may have objects before its status tells of it.
        resolved = self._resolve(owner, status, begun=status.attempt > 0 or any(view.children.values()))
        return Job(
            namespace=owner.key.namespace,
            name=owner.key.name,
            uid=owner.uid,
            generation=owner.generation,
            version=str(owner.version),
            created=owner.created,
            deleting=owner.deleting,
            status=status,
            spec=resolved.spec,
            problems=resolved.problems,
        )

    def _resolve(self, owner: Owner, status: TrainingJobStatus, *, begun: bool) -> Resolved:
        if owner.spec.too_large:
            return Resolved(None, (f"spec: is too large: {owner.spec.size} bytes as JSON",))
        defaults = kept(self._defaults, status)
        resolved = self._known(owner, defaults, begun=begun)
        if resolved is None:
            document: Mapping[str, Any] = {
                "apiVersion": API_VERSION,
                "kind": self.name,
                "metadata": {"name": owner.key.name, "namespace": owner.key.namespace},
                "spec": owner.spec.value(),
            }
            resolved = resolve(document, defaults, begun=begun)
            self._specs[owner.uid, owner.generation, begun] = (defaults, resolved)
            if len(self._specs) > SPECS_KEPT:
                self._specs.popitem(last=False)
        return resolved

    def _known(self, owner: Owner, defaults: Defaults, *, begun: bool) -> Resolved | None:
        """What was resolved before. A valid spec is understood as it was judged."""
        for judged in (begun, False):
            known = (owner.uid, owner.generation, judged)
            of, resolved = self._specs.get(known, (None, None))
            if resolved is not None and of == defaults and (judged == begun or resolved.spec is not None):
                self._specs.move_to_end(known)
                return resolved
        return None


def _status(packed: Packed) -> TrainingJobStatus:
    return TrainingJobStatus.model_validate_json(packed.text())


def _read(job: Job, facts: Facts) -> frozenset[Fact]:
    """What was read, in the words of the plan."""
    found: set[Fact] = {"live"} if facts.verified else set()
    if has_looked_for_left(job, facts):
        found.add("left")
    if any(isinstance(read, Exists) for read in facts.done):
        found.add("objects")
    if any(isinstance(read, EventsAbout) for read in facts.done):
        found.add("scaleUps")
    return frozenset(found)


def _status_write(plan: Plan) -> StatusWrite | None:
    if plan.status is None:
        return None
    status = plan.status
    return StatusWrite(_written(status), lambda: _written(essential(status)), status.phase or "")


def _written(status: TrainingJobStatus) -> dict[str, Any]:
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def _few(names: list[str]) -> str:
    more = len(names) - NAMES_LOGGED
    return ", ".join(names[:NAMES_LOGGED]) + (f" and {more} more" if more > 0 else "")


def _log(job: Job, plan: Plan) -> list[str]:
    lines = []
    if plan.create:
        names = _few([pod.name(job.name, job.uid, plan.attempt) for pod in plan.create])
        lines.append(f"attempt {plan.attempt}: creating pods: {names}")
    if plan.delete:
        lines.append(f"deleting pods: {_few([pod.name for pod in plan.delete])}")
    if plan.delete_job:
        lines.append("deleting the job: its ttlSecondsAfterFinished is over")
    return lines
