"""PodGroups: where the cluster serves them, its scheduler starts all pods of an attempt or none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headway_api.job import TrainingJobSpec
from headway_operator.training.plan.decision import Decision
from headway_operator.training.plan.model import Job, Observed
from headway_operator.training.plan.situation import Situation
from headway_operator.training.plan.status import condition_of

REASON_NO_POD_GROUP = "NoPodGroup"
"""Scheduled=False for this reason: the spec asks for a PodGroup, and there cannot be one."""
NO_POD_GROUP_SECONDS = 60.0
"""How often it is checked whether there can be one by now."""
DEFAULT_SCHEDULER = "default-scheduler"


def grouped(situation: Situation) -> bool:
    """Whether the attempt's pods are scheduled as one PodGroup. What it began with holds for all of it."""
    if situation.config is not None:
        return situation.config.grouped
    spec = situation.job.spec
    if spec is None or spec.scheduling.gang == "Release":
        return False
    return why_no_pod_group(spec, served=situation.observed.pod_groups) is None


def why_no_pod_group(spec: TrainingJobSpec, *, served: bool) -> str | None:
    """Why the job's pods cannot be scheduled as one PodGroup, or None."""
    if not served:
        return "the API server does not serve podgroups of scheduling.k8s.io/v1beta1"
    head, workers = pod_spec(spec.head.template), pod_spec(spec.workers.template)
    for key, default in (("schedulerName", DEFAULT_SCHEDULER), ("priorityClassName", None), ("preemptionPolicy", None)):
        if head.get(key, default) != workers.get(key, default):
            return f"all pods of a PodGroup must have the same {key}: set it in both templates or in none"
    if workers.get("schedulerName", DEFAULT_SCHEDULER) != DEFAULT_SCHEDULER:
        return f"only {DEFAULT_SCHEDULER} is known to keep to PodGroups: take schedulerName out of both templates"
    return None


def pod_spec(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """The spec of a pod template, which is kept as it comes; a mistake in its shape is told by who renders it."""
    spec = template.get("spec")
    return spec if isinstance(spec, dict) else {}


def await_pod_groups(decision: Decision, job: Job, observed: Observed, spec: TrainingJobSpec) -> bool:
    """Whether the job has to wait, because it insists on a PodGroup and there cannot be one."""
    why = why_no_pod_group(spec, served=observed.pod_groups) if spec.scheduling.gang == "PodGroup" else None
    if why is None:
        return False
    text = f"scheduling.gang is PodGroup, but {why}; or set scheduling.gang to Auto or Release"
    before = condition_of(job.status, "Scheduled")
    if before is None or before.reason != REASON_NO_POD_GROUP:
        decision.notice(REASON_NO_POD_GROUP, text, warning=True)
    decision.status.condition("Scheduled", False, REASON_NO_POD_GROUP, text)
    decision.wake_at(decision.now + NO_POD_GROUP_SECONDS)
    return True
