"""What the conditions say of an attempt that goes on."""

from __future__ import annotations

from dataclasses import replace

from headway_api.status import WorkersStatus
from headway_operator.engine.text import bounded
from headway_operator.engine.times import to_text
from headway_operator.training.plan.decision import Decision
from headway_operator.training.plan.situation import Situation
from headway_operator.training.plan.status import REASON_PODS_REFUSED, pods_refused
from headway_operator.training.plan.stopping import what_keeps_pods


def timed(decision: Decision, situation: Situation) -> Situation:
    """The situation with the times at which the attempt's pods had nodes, and were all ready.

    They are entered before anybody asks what stops the attempt: deadlines count from them, and a status that we write
    ourselves is no news that would have them asked for once more.
    """
    attempt, pods = situation.attempt, situation.pods
    if attempt.scheduled_time is None and pods.placed:
        attempt = attempt.model_copy(update={"scheduled_time": to_text(situation.now)})
    if attempt.running_time is None and pods.complete:
        attempt = attempt.model_copy(update={"running_time": to_text(situation.now)})
        decision.notice("Running", f"attempt {attempt.number}: the head and {_ready(situation)}")
    return replace(situation, attempt=attempt)


def describe(decision: Decision, situation: Situation, *, creating: bool) -> None:
    """Enter the attempt as it is, and say so in the conditions; creating: its first pods are being created."""
    status, pods = decision.status, situation.pods
    status.workers = WorkersStatus(desired=pods.desired, ready=pods.ready_workers)
    _describe_nodes(decision, situation, creating=creating)
    _describe_running(decision, situation)
    status.put(situation.attempt)


def _ready(situation: Situation) -> str:
    return f"{situation.pods.ready_workers} of {situation.pods.desired} workers ready"


def _describe_running(decision: Decision, situation: Situation) -> None:
    status, pods, ready = decision.status, situation.pods, _ready(situation)
    if situation.ran:
        status.phase = "Running"
        status.condition("Running", True, "AllReady" if pods.complete else "WorkersMissing", ready)
        return
    head = "head ready" if pods.head is not None and pods.head.ready else "head not ready"
    why = what_keeps_pods(situation)
    text = f"{head}, {ready}" + (f"; {why}" if why else "")
    if pods.unschedulable or situation.refusals:
        status.phase = "Queued"
        status.condition("Running", False, "Queued", text)
    else:
        status.phase = "Starting"
        status.condition("Running", False, "Starting", text)


def _describe_nodes(decision: Decision, situation: Situation, *, creating: bool) -> None:
    status, pods = decision.status, situation.pods
    with_node = sum(1 for pod in pods.present if pod.node is not None)
    if situation.refusals:
        if pods_refused(situation.job.status) is None:
            decision.notice(REASON_PODS_REFUSED, bounded(what_keeps_pods(situation)), warning=True)
        status.condition("Scheduled", False, REASON_PODS_REFUSED, what_keeps_pods(situation))
    elif creating and pods_refused(situation.job.status) is not None:
        return
    elif pods.placed:
        status.condition("Scheduled", True, "PodsScheduled", f"all {with_node} pods have a node")
    else:
        lack = next((pod.unschedulable for pod in pods.unschedulable), "")
        text = f"{with_node} of {pods.desired + 1} pods have a node" + (f": {lack}" if lack else "")
        status.condition("Scheduled", False, "Unschedulable" if lack else "WaitingForNodes", text)
