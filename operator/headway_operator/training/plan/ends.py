"""What the end of a pod means: success, or one of the causes, with a sentence that says how to fix it."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

from pydantic import ValidationError

from headway_api import wire
from headway_api.status import Cause
from headway_operator.engine.text import bounded
from headway_operator.training.plan.model import ContainerEnd, Pod

PULL_ERRORS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
PULL_GRACE_SECONDS = 60.0
"""How long an image may fail to come: registries have hiccups."""
CONFIG_ERRORS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
CONFIG_GRACE_SECONDS = 60.0
START_ERRORS = ("StartError", "ContainerCannotRun")
INIT_FAILED = "InitFailed"
"""In place of a container's reason: Headway's own init container failed, and the main one never ran."""
FOREIGN_INIT_FAILED = "ForeignInitFailed"
"""The same of an init container that a template or a webhook has added."""
_INIT_CAUSES: dict[str, dict[int, Cause]] = {
    INIT_FAILED: {wire.EXIT_USER_ERROR: "UserError", wire.EXIT_STORAGE: "StorageError"},
    FOREIGN_INIT_FAILED: {},
}
"""By these reasons, what an exit code means; any other is Internal."""
LAST_WORDS = 600
"""How much of the end of a log is told."""
OVERDUE_SECONDS = 30.0
"""How long after its time a deleted pod may linger before its node counts as unreachable."""

MOST_SKEW_SECONDS = 600.0
"""So far apart the clocks of the operator, the API server and the nodes may be, and nothing is decided otherwise."""

_NODE_LOST = ("DeletionByTaintManager", "DeletionByPodGC")
_LOST_TRACK = ("Unknown", "ContainerStatusUnknown")
"""What a kubelet says of a container that it finds no trace of any more: its node was started anew."""
EVICTED = "EvictionByEvictionAPI"
"""Why a pod was disrupted whose node is drained in order."""
_PREEMPTED_REASONS = ("Evicted", "Preempted", "Preempting", "Shutdown", "NodeShutdown", "Terminated")
_SIGKILL, _SIGTERM = 137, 143
_RARER = "a higher priorityClassName in both pod templates makes that rarer"


@dataclass(frozen=True, slots=True)
class End:
    """What the end of a pod means."""

    cause: Cause | None
    """None: it succeeded."""
    message: str
    at: float | None = None
    exit_code: int | None = None
    node: str | None = None
    outcome: wire.Outcome | None = None


def read_outcome(end: ContainerEnd | None, attempt: int, uid: str) -> wire.Outcome | None:
    """The driver's last word; None if there is none, or it is another attempt's or another job's."""
    if end is None or not end.message.lstrip().startswith("{"):
        return None
    try:
        outcome = wire.Outcome.model_validate_json(end.message)
    except ValidationError:
        return None
    return outcome if (outcome.uid, outcome.attempt) == (uid, attempt) else None


def given_up_at(pod: Pod) -> float | None:
    """When a pod that is being deleted should long be gone; None if nobody has asked for that.

    It is counted from when this operator saw that somebody asked, as the clocks of others may be minutes off.
    """
    if pod.deleting_seen_at is not None and pod.grace is not None:
        return pod.deleting_seen_at + pod.grace + OVERDUE_SECONDS
    return pod.deleting + OVERDUE_SECONDS if pod.deleting is not None else None


def overdue(pod: Pod, now: float) -> bool:
    """Whether a deleted pod should long be gone: its node does not answer, nobody will ever see it go."""
    at = given_up_at(pod)
    return at is not None and not pod.gone and now > at


def ended_at(pod: Pod) -> float | None:
    """When a pod's main container ended; None if it is not known.

    That is when this operator saw it, as the node's clock may be minutes off. Only where it saw it much later than any
    clock is off, as it was away, the node is believed.
    """
    told = pod.end.at if pod.end is not None else None
    seen = pod.ended_seen_at
    if seen is None or told is None:
        return told if seen is None else seen
    return told if seen - told > MOST_SKEW_SECONDS else seen


def disrupted(pod: Pod) -> tuple[Cause, str] | None:
    """The cluster's own reason for a pod's end, if it gave one."""
    where = f" from node {pod.node}" if pod.node else ""
    detail = f": {pod.message}" if pod.message else ""
    lost_track = pod.end is not None and pod.end.reason in _LOST_TRACK
    if pod.disruption in _NODE_LOST or pod.reason == "NodeLost" or (lost_track and not pod.disruption):
        fix = f"if that happens again, look at the node: kubectl describe node {pod.node or ''}".strip()
        return "NodeLost", f"pod {pod.name} was lost with its node {pod.node or ''}; {fix}{detail}"
    own_limit = _own_limit(pod)
    if own_limit is not None:
        return "OutOfDisk", own_limit
    evicted = pod.disruption or (pod.reason if pod.reason in _PREEMPTED_REASONS else "")
    if evicted:
        text = f"pod {pod.name} was evicted{where} ({evicted}); {_RARER}{detail}"
        return "Preempted", text
    if pod.reason and pod.phase == "Failed" and pod.end is None:
        fix = "if that happens again, ask for less in resources"
        return "Unschedulable", f"the node {pod.node} refused pod {pod.name} ({pod.reason}); {fix}{detail}"
    return None


SHARED_MEMORY = "headway-shm"
"""The pods' volume whose limit is the pod's memory."""
_OWN_LIMITS = (
    re.compile(r'Usage of EmptyDir volume "(?P<volume>[^"]+)" exceeds the limit "(?P<limit>[^"]+)"'),
    re.compile(r'Container (?P<container>\S+) exceeded its local ephemeral storage limit "(?P<limit>[^"]+)"'),
    re.compile(r"Pod ephemeral local storage usage exceeds the total limit of containers (?P<limit>\S+?)\.?(\s|$)"),
)
"""What a kubelet says as it evicts a pod for limits of the pod's own, and not because its node is full."""


def _own_limit(pod: Pod) -> str | None:
    """A sentence about the limit of its own for which a pod was evicted, and the field that raises it."""
    found = next((match for pattern in _OWN_LIMITS if (match := pattern.search(pod.message))), None)
    if pod.reason != "Evicted" or found is None:
        return None
    part, what = f"spec.{'head' if pod.role == wire.ROLE_HEAD else 'workers'}", found.groupdict()
    if what.get("volume") == SHARED_MEMORY:
        field = f"{part}.resources.memory"
    elif "volume" in what:
        field = f"emptyDir.sizeLimit of volume {what['volume']} in {part}.template"
    else:
        name = what.get("container", "its containers")
        field = f"resources.limits.ephemeral-storage of {name} in {part}.template"
    of = (
        f"volume {what['volume']}"
        if "volume" in what
        else f"container {what['container']}"
        if "container" in what
        else "disk"
    )
    return f"pod {pod.name} was evicted for a limit of its own: its {of} took more than {what['limit']}; raise {field}"


def head_end(pod: Pod, uid: str, written: wire.Outcome | None = None) -> End:
    """What the end of the head pod means. The driver's outcome counts most, then the cluster's reason.

    `uid` is the job's, as it stands in the outcome. `written` is the outcome as the driver wrote it beside its
    progress: it may be all that is left of it.
    """
    end = pod.end
    outcome = read_outcome(end, pod.attempt, uid) or written
    cause, message = _head_cause(pod, outcome)
    return End(
        cause=cause,
        message=bounded(message),
        at=ended_at(pod),
        exit_code=end.exit_code if end else None,
        node=pod.node,
        outcome=outcome,
    )


def outcome_end(outcome: wire.Outcome) -> End:
    """What an outcome means whose pod is gone without trace."""
    if outcome.outcome == "Succeeded":
        return End(None, outcome.message, outcome=outcome)
    cause = outcome.cause or "Internal" if outcome.outcome == "Failed" else "Preempted"
    return End(cause, bounded(outcome.message or "the driver ended, and its pod is gone"), outcome=outcome)


def _head_cause(pod: Pod, outcome: wire.Outcome | None) -> tuple[Cause | None, str]:
    if outcome is not None and outcome.outcome == "Succeeded":
        return None, outcome.message
    if outcome is not None and outcome.outcome == "Failed":
        return (
            outcome.cause or "Internal",
            outcome.message or "the driver failed and did not say why: follow the log of the next attempt",
        )
    if pod.end is not None and pod.end.reason == "OOMKilled":
        return "OutOfMemory", f"the driver needed more than its memory: raise spec.head.resources.memory ({pod.name})"
    disruption = disrupted(pod)
    if disruption is not None:
        return disruption
    if outcome is not None:
        return "Preempted", outcome.message or f"the driver was asked to stop by someone else than Headway; {_RARER}"
    return _from_exit_code(pod, pod.end) if pod.end is not None else _without_word(pod)


def _without_word(pod: Pod) -> tuple[Cause, str]:
    if pod.deleting is not None:
        return "Preempted", f"the head pod {pod.name} was deleted by someone else than Headway: find out by whom"
    return "NodeLost", gone_message("head", pod.name)


def gone_message(role: str, name: str) -> str:
    """What is said of a pod that vanished."""
    return f"the {role} pod {name} is gone and left no word: it went with its node, or someone deleted it by force"


def _from_exit_code(pod: Pod, end: ContainerEnd) -> tuple[Cause, str]:
    code = end.exit_code
    # Without a message of the driver's own it is the end of the log.
    last = end.message.strip()[-LAST_WORDS:]
    words = f": {last}" if last else ""
    if end.reason in _INIT_CAUSES:
        return _INIT_CAUSES[end.reason].get(end.exit_code, "Internal"), end.message
    if end.reason in START_ERRORS:
        return "UserError", f"the image cannot start the driver{words}; build it on Headway's trainer image"
    meanings: dict[int, tuple[Cause, str]] = {
        wire.EXIT_SUCCEEDED: (
            "UserError",
            "the driver exited with code 0 but left no outcome, so this is no success: "
            "take calls of os._exit out of your code and return from the training function",
        ),
        wire.EXIT_USER_ERROR: (
            "UserError",
            f"the driver exited with code {code} and left no outcome: correct what its log ends with{words}",
        ),
        wire.EXIT_STORAGE: (
            "StorageError",
            f"the driver could not use its storage: see that it is there, and that the job may write to it{words}",
        ),
        _SIGTERM: ("Preempted", f"the driver was stopped by someone else than Headway (SIGTERM); {_RARER}"),
        _SIGKILL: (
            "Internal",
            "the driver was killed (SIGKILL), and not for its memory limit: "
            f"see whether the node {pod.node or ''} ran out of memory{words}",
        ),
    }
    if pod.deleting is not None and code != wire.EXIT_USER_ERROR:
        return meanings[_SIGTERM]
    return meanings.get(code, ("Internal", f"the driver {_crash(code)} and left no outcome{words}"))


def _crash(code: int) -> str:
    """What an exit code that nobody chose says."""
    number = code - 128
    name = signal.Signals(number).name if number in set(signal.Signals) else ""
    return f"was ended by {name}, most likely in native code: try without it," if name else f"exited with code {code}"


def worker_end(pod: Pod) -> tuple[Cause, str]:
    """Why a worker pod was lost. One that has not even ended is on a node that does not answer."""
    if pod.end is not None and pod.end.reason == "OOMKilled":
        return "OutOfMemory", f"worker pod {pod.name} needed more than its memory: raise spec.workers.resources.memory"
    disruption = disrupted(pod)
    if disruption is not None:
        return disruption
    if not pod.ended:
        return "NodeLost", silent_node_message("worker", pod)
    if pod.deleting is not None:
        return "Preempted", f"worker pod {pod.name} was deleted by someone else than Headway: find out by whom"
    if pod.end is not None:
        return _worker_exit(pod, pod.end)
    return "NodeLost", gone_message("worker", pod.name)


def silent_node_message(role: str, pod: Pod) -> str:
    """What is said of a pod whose node does not answer."""
    return f"node {pod.node} does not answer; the {role} pod {pod.name} on it is given up: repair or delete the node"


def _worker_exit(pod: Pod, end: ContainerEnd) -> tuple[Cause, str]:
    if end.reason in START_ERRORS:
        return "UserError", f"the image cannot start the worker: {end.message}; build it on Headway's trainer image"
    if end.reason in _INIT_CAUSES:
        return _INIT_CAUSES[end.reason].get(end.exit_code, "Internal"), end.message
    if end.exit_code == wire.EXIT_UNREACHABLE:
        fix = "if that happens again, look at the head's node and at the network between them"
        return "NodeLost", f"worker pod {pod.name} could not reach the head any more; {fix}"
    last = end.message.strip()[-LAST_WORDS:]
    words = f": {last}" if last else "; the head's log has what it printed"
    return "Internal", bounded(f"worker pod {pod.name} {_crash(end.exit_code)}{words}")
