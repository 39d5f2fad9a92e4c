"""`headway_deployment_*`: what the status of each ModelDeployment says in numbers, told anew at each scrape.

Requests and their seconds are the servers' own to tell, which count them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import get_args

from pydantic import Field, ValidationError

from headway_api.base import StatusSection
from headway_api.drift_wire import State
from headway_operator.engine.exposition import Entry, Samples, labels_text
from headway_operator.engine.kinds import Owner

ROLES = {"Champion": "champion", "Candidate": "candidate", "Previous": "previous"}
"""What versions are called that have pods, by their states."""
STAGES = ("Preparing", "Splitting", "Baking", "Ending")
ROLLED_BACK = "RolledBack"
IDLE = "Idle"
DRIFT_STATES = get_args(State)
_DEPLOYMENT = ("deployment_namespace", "deployment_name")


def _gauge(name: str, text: str, *labels: str) -> Entry:
    return Entry(name, "gauge", (*_DEPLOYMENT, *labels), text)


ENTRIES = (
    _gauge("headway_deployment_info", "1 for each ModelDeployment, with its phase", "phase"),
    _gauge("headway_deployment_ready", "Pods that are ready of the version that answers"),
    _gauge("headway_deployment_desired", "Pods that the version that answers should have"),
    _gauge(
        "headway_deployment_version_share",
        "The share of the requests that a version answers, from 0 to 1, of those that have pods; role: champion, "
        "candidate or previous",
        *("version", "role"),
    ),
    _gauge(
        "headway_deployment_rollout",
        f"1, with where the rollout is: {', '.join(STAGES)}; without one {IDLE}, or {ROLLED_BACK} where the last "
        "version that was tried was rejected",
        "state",
    ),
    _gauge(
        "headway_deployment_drift_score",
        "With monitoring.drift, how unlike the training rows the last window's requests were, as a multiple of "
        "minEffect: 1 and above alarms; version: the one that answers",
        "version",
    ),
    _gauge(
        "headway_deployment_drift_state",
        f"1 for each ModelDeployment with monitoring.drift, with what is known of it: {', '.join(DRIFT_STATES)}",
        *("version", "state"),
    ),
    _gauge(
        "headway_deployment_data_quality_problems",
        "Features, up to 5, with values that are missing, unseen or out of range more often than in the training rows; "
        "they take no part in the score",
        "version",
    ),
    Entry(
        "headway_deployment_metrics_omitted",
        "gauge",
        (),
        "ModelDeployments that have no series of their own, as there are more than HEADWAY_JOB_METRICS_LIMIT",
    ),
)


class _Replicas(StatusSection):
    desired: int = 0
    ready: int = 0


class _Version(StatusSection):
    name: str
    state: str
    weight: float = 0
    replicas: _Replicas = _Replicas()


class _Rollout(StatusSection):
    stage: str


class _Condition(StatusSection):
    type: str
    status: str


class _Drift(StatusSection):
    state: str
    version: str
    score: float | None = None
    data_quality: list[object] = Field(default_factory=list)


class _Status(StatusSection):
    """What is told of a ModelDeploymentStatus."""

    champion: str | None = None
    candidate: str | None = None
    rollout: _Rollout | None = None
    versions: list[_Version] = Field(default_factory=list)
    conditions: list[_Condition] = Field(default_factory=list)
    drift: _Drift | None = None


class DeploymentFigures:
    """The deployments of an operator, as a scrape tells of them."""

    entries = ENTRIES

    def __init__(self, deployments: Callable[[], Iterable[Owner]], *, limit: int) -> None:
        self._deployments = deployments
        self._limit = limit

    def begin(self, samples: Samples) -> list[Owner]:
        """The deployments to tell of; the oldest, where there are too many."""
        found = [one for one in self._deployments() if not one.deleting]
        if len(found) > self._limit:
            found.sort(key=lambda one: (one.created, one.key))
        samples.add("headway_deployment_metrics_omitted", "", max(0, len(found) - self._limit))
        return found[: self._limit]

    def tell(self, each: Owner, samples: Samples) -> None:
        """What there is to say of a deployment. One whose status this version cannot read is passed over."""
        try:
            status = _Status.model_validate_json(each.status.text())
        except ValidationError:
            return
        name = labels_text({"deployment_namespace": each.key.namespace, "deployment_name": each.key.name})
        samples.add("headway_deployment_info", f"{name},{labels_text({'phase': each.phase})}", 1)
        samples.add("headway_deployment_rollout", f"{name},{labels_text({'state': _state(status)})}", 1)
        for version in status.versions:
            if version.state not in ROLES:
                continue
            labels = labels_text({"version": version.name, "role": ROLES[version.state]})
            samples.add("headway_deployment_version_share", f"{name},{labels}", version.weight / 100)
            if version.name == status.champion:
                samples.add("headway_deployment_ready", name, version.replicas.ready)
                samples.add("headway_deployment_desired", name, version.replicas.desired)
        if status.drift is not None and status.drift.state in DRIFT_STATES:
            _tell_drift(status.drift, name, samples)


def _tell_drift(drift: _Drift, name: str, samples: Samples) -> None:
    """What is unknown has no number: neither a score of 0, nor no problem."""
    version = f"{name},{labels_text({'version': drift.version})}"
    samples.add("headway_deployment_drift_state", f"{version},{labels_text({'state': drift.state})}", 1)
    if drift.score is not None:
        samples.add("headway_deployment_drift_score", version, drift.score)
    if drift.score is not None or drift.data_quality:
        samples.add("headway_deployment_data_quality_problems", version, len(drift.data_quality))


def _state(status: _Status) -> str:
    if status.rollout is not None and status.rollout.stage in STAGES:
        return status.rollout.stage
    if status.candidate is not None:
        return "Preparing"
    rolled_back = any(one.type == ROLLED_BACK and one.status == "True" for one in status.conditions)
    return ROLLED_BACK if rolled_back else IDLE
