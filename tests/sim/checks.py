"""What must hold in a simulated world: at each write, at each look, at each moment, and at rest."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headway_api import wire
from headway_api.status import FINISHED
from headway_operator.engine import kube
from headway_operator.engine.kube import FencedError, KubeError, Object
from headway_operator.engine.queue import FIRST_BACKOFF, LONGEST_BACKOFF
from headway_operator.engine.times import to_seconds
from headway_operator.training.plan.ends import OVERDUE_SECONDS
from headway_operator.training.records import Key
from sim.cluster import Container, condition, ended, label
from sim.fakes.api import Call, Event
from sim.network import READS
from sim.trainer import SIGNATURE, Truth

if TYPE_CHECKING:
    from sim.process import Process
    from sim.world import World

OURS = (kube.PODS, kube.CONFIG_MAPS, kube.SECRETS, kube.SERVICES, kube.NETWORK_POLICIES)
UNWATCHED = ("Secret", "Service", "NetworkPolicy")
FREE = ("Suspended", "Released", "Upgraded", "DeadlineExceeded", "InvalidSpec")
"""Causes that no budget pays for."""
SURE = ("UserError", "StorageError", "Internal", "OutOfMemory")
"""Ends that mean the same whatever else has happened to the pod."""
LOOKS_A_SECOND = 30
CALLS_BASE, CALLS_AN_ATTEMPT, CALLS_A_POD, CALLS_A_CHANGE, CALLS_A_REFUSAL, CALLS_A_FAULT = 30, 30, 4, 1, 12, 20
"""The bound on the API calls about one job: so many for itself, each attempt, each pod that was created, each change
that others made to its objects (each may be worth one status write), each pod that was refused (it is asked for again,
with what it needs), and each death of the operator."""


Resume = tuple[int, int | None, int | None]
"""An attempt, the step that it resumed from, and the steps that were lost."""


class ViolationError(AssertionError):
    """Something that must hold does not."""


@dataclass
class Tale:
    """What is remembered of one job, to judge what comes."""

    status: dict[str, Any] = field(default_factory=dict)
    step: tuple[int, Resume] | None = None
    """The last progress that was recorded: step, and the resume that it came after."""
    most_asked: int = 1
    """The largest number of workers that the spec has asked for."""
    replaced: dict[int, int] = field(default_factory=dict)
    """By attempt: the workers that were replaced."""
    changes: int = 0
    calls: int = 0
    refusals: int = 0
    attempts: int = 0
    pods: int = 0
    lacked_room: bool = False
    """A pod of it has found no node at some time."""
    odd: bool = False
    """A driver of it says what nobody expects."""
    suspended: bool = False
    """Its user has suspended it at some time."""
    timed: bool = False
    """Its spec has had an activeDeadlineSeconds at some time."""


class Checks:
    """Watches a world, and speaks up."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tales: defaultdict[str, Tale] = defaultdict(Tale)
        """By the uid of a job."""
        self.truths: dict[tuple[str, int], Truth] = {}
        """By job and attempt: how the driver really ended."""
        self.unknowable: set[tuple[str, int]] = set()
        """Jobs and attempts of whose driver's end the operator need not know."""
        self.odd: set[tuple[str, int]] = set()
        """Jobs and attempts whose driver says what nobody expects."""
        self._deleted_by_us: dict[str, float] = {}
        """By the name of a pod: when the operator last deleted it."""
        self._bare: set[str] = set()
        """Names of objects whose ConfigMap somebody has deleted."""
        self._late: set[str] = set()
        """Names of objects that were created late."""
        self.disturbances = self.silent_nodes = 0
        self.violation: str | None = None
        self.worst = 0.0
        """The largest share of its bound that a job's API calls have taken."""
        self._failures: Counter[tuple[int, Key]] = Counter()
        self._not_before: dict[tuple[int, Key], float] = {}
        self._looks: Counter[tuple[int, Key, int]] = Counter()
        self._pods: dict[str, dict[str, Object]] = {}
        """By the uid of their job, by their own: the pods that exist."""

    def fail(self, text: str) -> None:
        """Something that must hold does not. Whoever swallows the exception does not swallow this."""
        self.violation = self.violation or text
        raise ViolationError(text)

    # Calls and looks

    def sent(self, process: Process, call: Call) -> None:
        """A call leaves a process."""
        key = call.name.split("-")[0]
        uid = self.world.uids.get(key, call.name)
        about_it = call.resource in ("trainingjobs", *(resource.plural for resource in OURS))
        if about_it and call.name not in ("", wire.MANAGED_BY):
            self.tales[uid].calls += 1
        if call.verb in READS:
            return
        for other in self.world.processes:
            if other is not process and other.elector is not None and other.may_write():
                self.fail(f"{process.name} writes ({call.verb} {call.resource}) while {other.name} holds the Lease")

    def wrote(self, process: Process, call: Call, error: KubeError | None, *, late: bool) -> None:
        """A write of a process has come to the API server."""
        if error is None and call.verb == "delete" and call.resource == "pods":
            self._deleted_by_us[call.name] = self.world.now
        if error is not None and call.verb == "create" and call.resource == "pods":
            self.tales[self.world.uids.get(call.name.split("-")[0], "")].refusals += 1
        what = f"{call.verb} {call.resource} {call.name}{', late' if late else ''}"
        if late and call.verb == "create" and error is None:
            self._late.add(call.name)
        self.world.note(process.name, f"{what}: {error}" if error else what)

    def look_begins(self, process: Process, key: Key) -> None:
        """A process looks at a job."""
        now, of = self.world.now, (id(process), key)
        due = self._not_before.get(of, 0.0)
        if now < due - 0.001:
            self.fail(f"{process.name} tries {key[1]} again {due - now:.2f} s before its backoff is over")
        looks = (id(process), key, int(now))
        self._looks[looks] += 1
        if self._looks[looks] > LOOKS_A_SECOND:
            self.fail(f"{process.name} looks at {key[1]} again and again")

    def look_failed(self, process: Process, key: Key, error: Exception) -> None:
        """A look at a job has failed."""
        if not isinstance(error, KubeError):
            self.fail(f"{process.name} looks at {key[1]}: {error!r}")
        of = (id(process), key)
        self._failures[of] += 1
        backoff = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** (self._failures[of] - 1))
        self._not_before[of] = self.world.now + backoff
        if not isinstance(error, FencedError):
            self.world.note(process.name, f"its look at {key[1]} fails: {error}")

    def look_succeeded(self, process: Process, key: Key) -> None:
        """A look at a job has come to its end."""
        self._failures.pop((id(process), key), None)
        self._not_before.pop((id(process), key), None)

    # Changes

    def happened(self, event: Event) -> None:
        """Something has changed at the API server."""
        if event.resource == "pods":
            self._pod_changed(event)
        elif event.resource == "trainingjobs":
            self._job_changed(event)
        elif event.resource == "configmaps":
            self.tales[label(event.body, wire.LABEL_JOB_UID)].changes += 1

    def _pod_changed(self, event: Event) -> None:
        body = event.body
        uid, job = body["metadata"]["uid"], label(body, wire.LABEL_JOB_UID)
        pods = self._pods.setdefault(job, {})
        tale = self.tales[job]
        tale.changes += 1
        if event.type == "DELETED":
            pods.pop(uid, None)
            self._head_gone(body, job)
            return
        pods[uid] = body
        tale.lacked_room |= condition(body, "PodScheduled") == "False"
        if event.type == "ADDED":
            tale.pods += 1
            tale.attempts = max(tale.attempts, int(label(body, wire.LABEL_ATTEMPT)))
        self._few_enough(job, tale)

    def _few_enough(self, job: str, tale: Tale) -> None:
        """One attempt, one head, and no more workers than asked for."""
        # A create that was given up, and arrived late, may make a pod whose place has been taken since: it goes again.
        known = [pod for pod in self._pods[job].values() if pod["metadata"]["name"] not in self._late]
        live = [pod for pod in known if not ended(pod) and not self._given_up(pod)]
        if len(live) > 1:
            live = [pod for pod in live if self._may_run(pod)]
        attempts = {label(pod, wire.LABEL_ATTEMPT) for pod in live}
        if len(attempts) > 1:
            self.fail(f"two attempts live: {sorted(pod['metadata']['name'] for pod in live)}")
        heads = sum(label(pod, wire.LABEL_ROLE) == wire.ROLE_HEAD for pod in live)
        wanted = max(tale.most_asked, (tale.status.get("workers") or {}).get("desired") or 0)
        if len(live) - heads > wanted:
            names = sorted(pod["metadata"]["name"] for pod in live)
            self.fail(f"{len(live) - heads} workers live, {wanted} were asked for: {names}")

    def _given_up(self, pod: Object) -> bool:
        """Whether a pod should have been gone so long ago that its node counts as lost."""
        going = to_seconds(pod["metadata"].get("deletionTimestamp"))
        return going is not None and self.world.now > going + OVERDUE_SECONDS

    def _may_run(self, pod: Object) -> bool:
        """Whether a pod has what it needs to start, or has started: one whose attempt's objects are gone never does."""
        container = self.world.cluster.containers.get(pod["metadata"]["uid"])
        if container is not None and container.running:
            return True
        names = label(pod, wire.LABEL_JOB), label(pod, wire.LABEL_JOB_UID)
        name = wire.object_name(*names, int(label(pod, wire.LABEL_ATTEMPT)))
        return self.world.server.find(kube.SECRETS, name) is not None

    def is_odd(self, container: Container) -> None:
        """From now on a driver says what nobody expects: what comes of it is anybody's guess."""
        self.tales[container.job_uid].odd = True
        self.unknowable.add((container.job_uid, container.attempt))
        self.odd.add((container.job_uid, container.attempt))

    def driver_ended(self, container: Container, truth: Truth) -> None:
        """A driver has ended."""
        of = (container.job_uid, container.attempt)
        if of in self.truths:
            # A create that arrived late made a second pod of the attempt.
            self.unknowable.add(of)
            if self.truths[of].how == "Succeeded":
                return
        self.truths[of] = truth
        pod = self.world.cluster.pod(container.name, container.uid)
        if not truth.told and (pod is None or not container.node.reachable):
            self.unknowable.add(of)
        if (pod is not None and self._given_up(pod)) or self._recorded(of):
            self.unknowable.add(of)

    def config_taken_away(self, config: Object) -> None:
        """Somebody deletes an attempt's ConfigMap: the driver's word in it goes with it."""
        of = (label(config, wire.LABEL_JOB_UID), int(label(config, wire.LABEL_ATTEMPT)))
        self._bare.add(config["metadata"]["name"])
        if of in self.truths:
            self.truths[of].told = False
            name = wire.head_name(label(config, wire.LABEL_JOB), *of)
            if all(pod["metadata"]["name"] != name for pod in self._pods.get(of[0], {}).values()):
                self.unknowable.add(of)

    def excused(self, left: Object) -> bool:
        """Whether an object may be left until its job goes.

        The ConfigMap is the sign of what is not watched. It is missing if somebody deleted it as the operator died or a
        node went silent, and if an object was created late: by a process that froze just after it had asked whether it
        may write.
        """
        name = left["metadata"]["name"]
        excused = name in self._late or (name in self._bare and (self.disturbances > 0 or self.silent_nodes > 0))
        return excused and left.get("kind") in UNWATCHED

    def _head_gone(self, pod: Object, job: str) -> None:
        of = (job, int(label(pod, wire.LABEL_ATTEMPT)))
        if label(pod, wire.LABEL_ROLE) == wire.ROLE_HEAD and not self._recorded(of):
            name = pod["metadata"]["name"]
            at_once = self._deleted_by_us.get(name) == self.world.now
            if at_once and ended(pod) and not pod["metadata"].get("deletionTimestamp"):
                self.fail(f"the head {name} is deleted before its end is recorded")
            truth = self.truths.get(of)
            if truth is None or not truth.told:
                self.unknowable.add(of)

    def _recorded(self, of: tuple[str, int]) -> bool:
        """Whether the status tells of an attempt's end."""
        entries = self.tales[of[0]].status.get("attempts", [])
        number = self.tales[of[0]].status.get("attempt", 0)
        return number > of[1] or any(entry["number"] == of[1] and entry.get("endTime") for entry in entries)

    def _job_changed(self, event: Event) -> None:
        body = event.body
        tale = self.tales[body["metadata"]["uid"]]
        spec = body.get("spec") or {}
        tale.most_asked = max(tale.most_asked, (spec.get("workers") or {}).get("replicas", 1))
        tale.suspended |= bool(spec.get("suspend"))
        tale.timed |= spec.get("activeDeadlineSeconds") is not None
        status = body.get("status") or {}
        if status == tale.status:
            tale.changes += 1
            return
        before, tale.status = tale.status, status
        self.world.note(body["metadata"]["name"], f"status: {_told(status)}")
        self._own_words(body["metadata"]["uid"], status)
        self._history(before, status)
        self._charges(tale, status)
        self._causes(tale, status)
        if not tale.odd:
            self._steps(tale, status)
        self._suspended(body["metadata"]["uid"], status)

    def _own_words(self, job: str, status: dict[str, Any]) -> None:
        """Nothing that the pods of one job say ends up in the status of another."""
        parts = [status.get(part) or {} for part in ("progress", "result", "checkpoint")]
        said = [part["metrics"][SIGNATURE] for part in parts if SIGNATURE in part.get("metrics", {})]
        said += [part["uri"].rpartition("/")[2] for part in parts if "uri" in part]
        for uid in said:
            if uid != job and uid in self.tales:
                self.fail(f"the status of the job {job} has words of {uid}")

    def _suspended(self, job: str, status: dict[str, Any]) -> None:
        """A job that is called suspended holds no pod, and is in no other phase."""
        if not any(item["type"] == "Suspended" and item["status"] == "True" for item in status.get("conditions", [])):
            return
        if status.get("phase") != "Suspended":
            self.fail(f"Suspended, and in phase {status.get('phase')}")
        held = [pod for pod in self._pods.get(job, {}).values() if not self._given_up(pod) and self._may_run(pod)]
        if held:
            self.fail(f"suspended, but there are {sorted(pod['metadata']['name'] for pod in held)}")

    def _history(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        """What was recorded stays recorded."""
        for counter in ("attempt", "activeSeconds", "observedGeneration"):
            if after.get(counter, 0) < before.get(counter, 0):
                self.fail(f"status.{counter} goes back from {before.get(counter)} to {after.get(counter)}")
        for kind, count in (before.get("failures") or {}).items():
            if (after.get("failures") or {}).get(kind, 0) < count:
                self.fail(f"status.failures.{kind} goes back")
        now = {entry["number"]: entry for entry in after.get("attempts", [])}
        for entry in before.get("attempts", []):
            known = now.get(entry["number"])
            if known is not None and entry.get("endTime") and known != entry:
                self.fail(f"the record of an ended attempt is changed: {entry} to {known}")
        if list(now) != sorted(now):
            self.fail(f"attempts out of order: {list(now)}")
        was, phase = before.get("phase"), after.get("phase")
        if was in FINISHED and phase != was and before.get("attempt", 0) > 0:
            self.fail(f"a job that has {was} is {phase} again")

    def _charges(self, tale: Tale, status: dict[str, Any]) -> None:
        """Each failure is charged once."""
        entries = status.get("attempts", [])
        if status.get("attempt", 0) > len(entries) + sum(entry.get("releases", 0) for entry in entries):
            return
        met = [entry["cause"] for entry in entries if entry.get("endTime") and entry.get("cause")]
        # An attempt that was released leaves the list; the workers that it lost are charged all the same.
        tale.replaced |= {entry["number"]: entry.get("losses", 0) for entry in entries}
        expected = sum(cause not in FREE for cause in met) + sum(tale.replaced.values())
        charged = sum((status.get("failures") or {}).values())
        if charged != expected:
            self.fail(f"{charged} failures are charged, {expected} were met: {status}")

    def _causes(self, tale: Tale, status: dict[str, Any]) -> None:
        """What costs nothing is the operator's to say: no driver lives for ever by naming such a cause."""
        for entry in status.get("attempts", []):
            cause = entry.get("cause") if entry.get("endTime") else None
            if (cause == "Suspended" and not tale.suspended) or (cause == "DeadlineExceeded" and not tale.timed):
                self.fail(f"attempt {entry['number']} ended as {cause}, which nobody asked for")
            if cause == "Released" and not (tale.lacked_room or tale.refusals):
                self.fail(f"attempt {entry['number']} is released, and lacked no room")

    def _steps(self, tale: Tale, status: dict[str, Any]) -> None:
        """Progress goes back only by a resume that is recorded; a checkpoint never."""
        checkpoint = (status.get("checkpoint") or {}).get("step")
        entries = status.get("attempts", [])
        newest = entries[-1] if entries else {}
        step = (status.get("progress") or {}).get("step")
        resume = (newest.get("number", 0), newest.get("resumedFromStep"), newest.get("stepsLost"))
        if step is None:
            return
        if checkpoint is not None and step < checkpoint:
            self.fail(f"step {step} is told beside a checkpoint of step {checkpoint}")
        if tale.step is not None and step < tale.step[0] and not _resumed(tale.step, resume):
            self.fail(f"progress goes back from step {tale.step[0]} to {step}, and no resume is recorded: {newest}")
        tale.step = (step, resume)

    # At rest

    def at_rest(self) -> None:
        """What must hold when nothing happens any more."""
        for body in self.world.server.of(kube.JOBS):
            self._outcome(body)
        for body in self.world.server.of(kube.JOBS):
            uid = body["metadata"]["uid"]
            self._calls(uid, self.tales[uid])

    def _outcome(self, job: Object) -> None:
        uid, status = job["metadata"]["uid"], job.get("status") or {}
        for entry in status.get("attempts", []):
            of = (uid, entry["number"])
            truth = self.truths.get(of)
            said = entry.get("cause", "Succeeded") if entry.get("endTime") else "nothing"
            if truth is None or of in self.odd or (of in self.unknowable and said != "Succeeded"):
                continue
            if not _agrees(truth.how, said):
                self.fail(f"{job['metadata']['name']}: attempt {of[1]} ended with {truth.how}, the status says {said}")
            if said == "Succeeded" and (status.get("result") or {}).get("metrics") != truth.metrics:
                self.fail(f"the result is {status.get('result')}, the driver's metrics were {truth.metrics}")
        if status.get("phase") == "Succeeded" and not any(
            of == uid and truth.how == "Succeeded" for (of, _), truth in self.truths.items()
        ):
            self.fail("the job has succeeded, and no driver of it has")

    def _calls(self, uid: str, tale: Tale) -> None:
        bound = (
            CALLS_BASE
            + CALLS_AN_ATTEMPT * tale.attempts
            + CALLS_A_POD * tale.pods
            + CALLS_A_CHANGE * tale.changes
            + CALLS_A_REFUSAL * tale.refusals
            + CALLS_A_FAULT * self.disturbances
        )
        self.worst = max(self.worst, tale.calls / bound)
        if tale.calls > bound:
            self.fail(f"{tale.calls} API calls for the job {uid}, {bound} are its bound: {tale}")


def _resumed(before: tuple[int, Resume], now: Resume) -> bool:
    """Whether a resume is recorded that accounts for a step back. Two in a row may look the same."""
    _, resumed_from, lost = now
    if now == before[1]:
        return lost is not None and lost >= before[0] - (resumed_from or 0) > 0
    return resumed_from is not None or lost is not None


def _agrees(how: str, said: str) -> bool:
    """Whether the status says what has happened."""
    if how == "Succeeded" or said == "Succeeded":
        return how == said
    if how in SURE:
        return how == said
    return said not in ("nothing", "UserError")


def _told(status: dict[str, Any]) -> str:
    """A status in a line."""
    newest = (status.get("attempts") or [{}])[-1]
    conditions = ", ".join(
        f"{item['type']}{'' if item['status'] == 'True' else '=' + item['status']} {item['reason']}"
        for item in status.get("conditions", [])
        if item["type"] in ("Running", "Suspended", "Complete", "Failed")
    )
    step = (status.get("progress") or {}).get("step")
    end = newest.get("cause", "Succeeded" if newest.get("endTime") else "")
    over = " ended" if newest.get("endTime") else ""
    return f"{status.get('phase')} attempt {status.get('attempt')}{over} {end} step {step} ({conditions})"
