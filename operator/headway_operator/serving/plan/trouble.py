"""Why a version is not ready: what its pods and the API server say."""

from __future__ import annotations

from headway_operator.engine.steps import Refusal
from headway_operator.serving import names
from headway_operator.serving.plan.model import ServerPod, Situation

CRASHES = 3
"""A container that was started again so often will not do better the next time."""
UNSCHEDULABLE = "Unschedulable"
"""The reason for waiting of a pod that no node has room for."""
HOPELESS = ("InvalidImageName",)
"""Reasons for waiting that no time mends."""


def crash(pods: tuple[ServerPod, ...]) -> str | None:
    """What makes it sure that a version cannot work, if it is."""
    for pod in sorted(pods, key=lambda pod: (-pod.restarts, pod.name)):
        if pod.ready:
            continue
        if pod.restarts >= CRASHES:
            return f"pod {pod.name} has crashed {pod.restarts} times{_tail(pod)}"
        if pod.waiting in HOPELESS:
            return f"pod {pod.name} cannot start: {pod.waiting}{_tail(pod)}"
    return None


def lacks_room(pods: tuple[ServerPod, ...]) -> bool:
    """Whether all that a version's pods wait for is a node with room for them."""
    unready = [pod for pod in pods if not pod.ready]
    return bool(unready) and all(pod.waiting == UNSCHEDULABLE for pod in unready)


def refused(situation: Situation, number: int) -> Refusal | None:
    """What the API server has refused of a version's objects, or of what all versions need."""
    own = situation.refusals.get(names.object_name(situation.name, situation.uid, number))
    return own or situation.refusals.get(names.shared_name(situation.name, situation.uid))


def waiting_for(situation: Situation, number: int, wanted: int) -> str:
    """What a version waits for, in a sentence."""
    refusal, workload = refused(situation, number), situation.workloads.get(number)
    if refusal is not None:
        return f"its objects are refused: {refusal.message}"
    ready = workload.ready if workload is not None else 0
    said = f"{ready} of {wanted} pods are ready"
    for pod in sorted(situation.pods.get(number, ()), key=lambda pod: (-pod.restarts, not pod.waiting, pod.name)):
        if not pod.ready and (pod.waiting or pod.words):
            return f"{said}; pod {pod.name}: {pod.waiting or 'waits'}{_tail(pod)}"
    if workload is not None and workload.kserve and not workload.seen:
        words = workload.said or "nothing so far: is its controller there?"
        return f"{said}; of the InferenceService {workload.name} KServe says {words}"
    return said


def _tail(pod: ServerPod) -> str:
    return f": {pod.words}" if pod.words else ""
