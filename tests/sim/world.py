"""One job in a small world: an API server, a scheduler, a kubelet, a driver, a user, and an operator that may die.

Each of them does one thing at a time, in any order that a test chooses. Who watches sees things late, or not at all.
"""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from headway_api import wire
from headway_api.status import FINISHED
from headway_operator import kube
from headway_operator.apply import Applier
from headway_operator.cache import Cache
from headway_operator.controller import Controller
from headway_operator.kube import KubeError, NotFoundError, Object, RetryableError
from headway_operator.plan.ends import OVERDUE_SECONDS
from headway_operator.plan.model import Job, Notice
from headway_operator.plan.times import to_seconds, to_text
from headway_operator.queue import KeyQueue
from headway_operator.resync import Resync
from headway_operator.slim import Key
from sim.builders import DEFAULTS, T0, document, outcome
from sim.fakes import clock
from sim.fakes.api import ApiServer, Call, Event, FakeKube

KEY: Key = ("default", "digits")
LOOKS_IN_A_MOMENT = 50
OURS = (kube.PODS, kube.CONFIG_MAPS, kube.SECRETS, kube.SERVICES, kube.NETWORK_POLICIES)


class CrashError(BaseException):
    """The operator's process dies here."""


def main_state(pod: Object) -> dict[str, Any]:
    """The state of a pod's main container."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
    state: dict[str, Any] = statuses[0].get("state") or {}
    return state


def alive(pod: Object) -> bool:
    """Whether a pod's process runs or may yet."""
    return "terminated" not in main_state(pod) and pod["status"]["phase"] not in ("Succeeded", "Failed")


def label(pod: Object, name: str) -> str:
    """A label of a pod."""
    value: str = pod["metadata"]["labels"][name]
    return value


class Process:
    """The operator's process: all that is lost when it dies."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cache = Cache()
        self.queue: KeyQueue[Key] = KeyQueue()
        self.api = FakeKube(world.server)
        applier = Applier(
            self.api,
            self.cache,
            pull_policy="Never",
            now=lambda: world.now,
            new_token=lambda: f"token-{next(world.tokens)}",
        )
        self.controller = Controller(
            api=self.api, cache=self.cache, applier=applier, recorder=self, defaults=DEFAULTS, now=lambda: world.now
        )
        self.resync = Resync(self.api, self.cache, self.add, (), lambda: world.now)
        clock.run(self.resync.seed())

    def post(self, job: Job, notices: tuple[Notice, ...]) -> None:
        """Events for people."""
        self.world.notices += [(job.uid, notice.reason) for notice in notices]

    def add(self, key: Key) -> None:
        """News of a job."""
        self.queue.add(key, self.world.now)

    def see(self, event: Event) -> None:
        """The watch shows something."""
        kind: Any = event.type
        if event.resource == "trainingjobs":
            key = self.cache.see_job(kind, event.body)
        elif event.resource == "pods":
            key = self.cache.see_pod(kind, event.body, self.world.now)
        elif event.resource == "configmaps":
            key = self.cache.see_config(kind, event.body, self.world.now)
        else:
            key = None
        if key is not None:
            self.add(key)

    def work(self) -> bool:
        """Work on the next key; false if there is none."""
        now = self.world.now
        taken = self.queue.take(now)
        if taken is None:
            return False
        key = taken[0]
        try:
            again_at = clock.run(self.controller.reconcile(key))
        except NotFoundError:
            self.queue.done(key, now)
        except KubeError:
            self.queue.failed(key, now)
        else:
            self.queue.done(key, now, None if again_at is None else max(now, again_at))
        return True


@dataclass
class World:
    """Everything."""

    spec: dict[str, Any] = field(default_factory=dict)
    now: float = T0
    notices: list[tuple[str, str]] = field(default_factory=list)
    endings: dict[tuple[str, int], str] = field(default_factory=dict)
    """By job and attempt: how the driver really ended."""
    unknowable: set[tuple[str, int]] = field(default_factory=set)
    """Jobs and attempts of whose driver's end the operator need not know: it came too late, or its pod was removed."""
    timeline: list[str] = field(default_factory=list)
    """What has happened, for a person who reads of a failure."""

    def __post_init__(self) -> None:
        self.tokens = itertools.count()
        self.server = ApiServer(lambda: self.now)
        self.server.create(kube.JOBS, "default", document(**self.spec))
        self.streams: dict[str, deque[Event]] = {name: deque() for name in ("trainingjobs", "pods", "configmaps")}
        self.process = Process(self)
        self.server.events.clear()

    def note(self, text: str) -> None:
        """A line of the timeline."""
        self.timeline.append(f"+{self.now - T0:.0f}s {text}")

    def pods(self) -> list[Object]:
        """The pods that exist."""
        return self.server.of(kube.PODS)

    def job(self) -> Object | None:
        """The job, if it exists."""
        return self.server.find(kube.JOBS, "digits")

    def status(self) -> dict[str, Any]:
        """The job's status."""
        job = self.job() or {}
        status: dict[str, Any] = job.get("status") or {}
        return status

    # The operator and its watches

    def collect(self) -> None:
        """What has happened is put into the streams."""
        for event in self.server.events:
            if event.resource in self.streams:
                self.streams[event.resource].append(event)
        self.server.events.clear()

    def deliver(self, resource: str) -> None:
        """A watch shows the next thing."""
        self.collect()
        if self.streams[resource]:
            self.process.see(self.streams[resource].popleft())

    def deliver_all(self) -> None:
        """The watches catch up."""
        self.collect()
        for resource, stream in self.streams.items():
            while stream:
                self.deliver(resource)

    def lose(self, resource: str) -> None:
        """A watch is interrupted and misses what has happened."""
        self.collect()
        self.note(f"the watch of {resource} misses {len(self.streams[resource])} events")
        self.streams[resource].clear()

    def work(self) -> bool:
        """The operator works on a key."""
        return self.process.work()

    def work_with_a_fault(self, at: int, fault: str) -> None:
        """The operator works on a key, and its `at`-th call goes wrong."""
        count = itertools.count()

        def strike(_: Call) -> None:
            if next(count) == at:
                self.note(f"fault: {fault}")
                if "crash" in fault:
                    raise CrashError
                raise RetryableError(fault)

        quiet: Callable[[Call], None] = lambda _: None  # noqa: E731 - a name for nothing going wrong
        self.process.api.before, self.process.api.after = (quiet, strike) if "after" in fault else (strike, quiet)
        try:
            self.process.work()
        except CrashError:
            self.restart()
        else:
            self.process.api.before = self.process.api.after = quiet

    def restart(self) -> None:
        """The operator's process is replaced: it knows what a LIST says and nothing else."""
        self.note("the operator restarts")
        for stream in self.streams.values():
            stream.clear()
        self.server.events.clear()
        self.process = Process(self)

    def compare(self) -> None:
        """The operator compares what it knows with what exists. Events that are under way come first."""
        self.deliver_all()
        clock.run(self.process.resync.compare())

    # The cluster

    def schedule(self, pod: Object) -> None:
        """A pod gets a node."""

        def edit(body: Object) -> None:
            body["spec"]["nodeName"] = "node-1"
            body["status"]["conditions"] = [{"type": "PodScheduled", "status": "True"}]

        if not pod["spec"].get("nodeName"):
            self.server.change(kube.PODS, pod["metadata"]["name"], edit)

    def run_pod(self, pod: Object) -> None:
        """A pod with a node comes up and is ready."""

        def edit(body: Object) -> None:
            body["status"] |= {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "main", "state": {"running": {}}}],
            }

        if pod["spec"].get("nodeName") and alive(pod) and not pod["metadata"].get("deletionTimestamp"):
            self.server.change(kube.PODS, pod["metadata"]["name"], edit)

    def end_pod(self, pod: Object, code: int, reason: str = "Error", message: str = "") -> None:
        """A pod's main process ends."""
        if not alive(pod) or not pod["spec"].get("nodeName"):
            return
        ended = {"exitCode": code, "reason": reason, "message": message, "finishedAt": to_text(self.now)}

        def edit(body: Object) -> None:
            body["status"] |= {
                "phase": "Succeeded" if code == 0 else "Failed",
                "conditions": [{"type": "Ready", "status": "False"}],
                "containerStatuses": [{"name": "main", "state": {"terminated": ended}}],
            }

        self.note(f"{pod['metadata']['name']} ends with {code} {reason}")
        self.server.change(kube.PODS, pod["metadata"]["name"], edit)

    def end_driver(self, pod: Object, how: str) -> None:
        """The driver ends, by itself or by a blow."""
        if label(pod, wire.LABEL_ROLE) != wire.ROLE_HEAD or not alive(pod) or not pod["spec"].get("nodeName"):
            return
        attempt = int(label(pod, wire.LABEL_ATTEMPT))
        self.endings[label(pod, wire.LABEL_JOB_UID), attempt] = how
        if self._given_up(pod):
            self.unknowable.add((label(pod, wire.LABEL_JOB_UID), attempt))
        if how == "Succeeded":
            self._say(pod, 0, outcome("Succeeded", attempt))
        elif how == "UserError":
            self._say(pod, 1, outcome("Failed", attempt, cause="UserError", message="a mistake"))
        elif how == "Interrupted":
            self._say(pod, 143, outcome("Interrupted", attempt))
        elif how == "OutOfMemory":
            self.end_pod(pod, 137, "OOMKilled")
        else:
            self.end_pod(pod, 139)

    def _say(self, pod: Object, code: int, word: str) -> None:
        """The driver's last word: beside its progress first, then as it exits."""
        attempt = label(pod, wire.LABEL_ATTEMPT)
        progress = json.dumps({"attempt": int(attempt), "outcome": json.loads(word)})

        def edit(config: Object) -> None:
            if config["metadata"]["labels"][wire.LABEL_JOB_UID] == label(pod, wire.LABEL_JOB_UID):
                config["data"][wire.KEY_PROGRESS] = progress

        self.server.change(kube.CONFIG_MAPS, f"digits-{attempt}", edit)
        self.end_pod(pod, code, "Completed" if code == 0 else "Error", word)

    def terminate(self, pod: Object) -> None:
        """The kubelet carries a deletion on: first the process ends, then the object goes."""
        if not pod["metadata"].get("deletionTimestamp"):
            return
        if not alive(pod):
            of = (label(pod, wire.LABEL_JOB_UID), int(label(pod, wire.LABEL_ATTEMPT)))
            if self.endings.get(of) == "OutOfMemory":
                # A driver that is killed leaves no word but its pod's.
                self.unknowable.add(of)
            self.server.remove(kube.PODS, pod["metadata"]["name"])
        elif label(pod, wire.LABEL_ROLE) == wire.ROLE_HEAD:
            self.end_driver(pod, "Interrupted")
        else:
            self.end_pod(pod, 143)

    def take_away(self, pod: Object, *, by_force: bool) -> None:
        """Somebody deletes a pod."""
        self.note(f"somebody deletes {pod['metadata']['name']}{' by force' if by_force else ''}")
        if label(pod, wire.LABEL_ROLE) == wire.ROLE_HEAD and (by_force or not alive(pod)):
            self.unknowable.add((label(pod, wire.LABEL_JOB_UID), int(label(pod, wire.LABEL_ATTEMPT))))
        if by_force:
            self.server.remove(kube.PODS, pod["metadata"]["name"])
        else:
            self.server.delete(kube.PODS, pod["metadata"]["name"])

    # The user

    def edit(self, **spec: Any) -> None:
        """The user changes the spec."""
        self.note(f"the user sets {spec}")
        self.server.change(kube.JOBS, "digits", lambda job: job["spec"].update(spec))

    def delete_job(self) -> None:
        """The user deletes the job."""
        if self.job() is not None:
            self.note("the user deletes the job")
            self.server.delete(kube.JOBS, "digits")

    def create_job(self) -> None:
        """The user applies the job again."""
        if self.job() is None:
            self.note("the user creates the job again")
            self.server.create(kube.JOBS, "default", document(**self.spec))

    # What must hold

    def check(self) -> None:
        """What must hold at any moment."""
        job = self.job()
        uid = job["metadata"]["uid"] if job is not None else None
        living = [
            pod
            for pod in self.pods()
            if alive(pod) and label(pod, wire.LABEL_JOB_UID) == uid and not self._given_up(pod)
        ]
        attempts = {label(pod, wire.LABEL_ATTEMPT) for pod in living}
        assert len(attempts) <= 1, f"two attempts live: {sorted(attempts)}"
        heads = [pod for pod in living if label(pod, wire.LABEL_ROLE) == wire.ROLE_HEAD]
        assert len(heads) <= 1, "two heads live"
        workers = len(living) - len(heads)
        wanted = (self.status().get("workers") or {}).get("desired") or self.spec.get("workers", {}).get("replicas", 1)
        assert workers <= wanted, f"{workers} workers live, {wanted} were asked for"
        numbers = [entry["number"] for entry in self.status().get("attempts", [])]
        assert numbers == sorted(set(numbers)), f"attempts out of order: {numbers}"

    def _given_up(self, pod: Object) -> bool:
        """Whether a pod should have been gone so long ago that its node counts as lost."""
        going = to_seconds(pod["metadata"].get("deletionTimestamp"))
        return going is not None and self.now > going + OVERDUE_SECONDS

    def check_settled(self) -> None:
        """What must hold when everything has come to rest."""
        job = self.job()
        for resource in OURS:
            left = [body["metadata"]["name"] for body in self.server.of(resource)]
            assert not left, f"{resource.plural} left behind: {left}"
        if job is None:
            return
        status = self.status()
        assert status["phase"] in (*FINISHED, "Suspended"), f"neither finished nor suspended: {status}"
        uid = job["metadata"]["uid"]
        for entry in status.get("attempts", []):
            if (uid, entry["number"]) in self.unknowable:
                continue
            truth = self.endings.get((uid, entry["number"]))
            if truth in ("Succeeded", "UserError", "OutOfMemory"):
                said = entry.get("cause", "Succeeded")
                assert said == truth, f"attempt {entry['number']} ended with {truth}, the status says {said}"
        if any(of == uid for of, _ in self.unknowable):
            return
        succeeded = any(self.endings.get((uid, number)) == "Succeeded" for number in range(1, 100))
        assert (status["phase"] == "Succeeded") == succeeded, f"{status['phase']}, though {self.endings}"

    def settle(self) -> None:
        """Nothing goes wrong any more: everything that is under way comes to its end."""
        self.note("settling")
        for _ in range(400):
            self.deliver_all()
            for _ in range(LOOKS_IN_A_MOMENT):
                if not self.work():
                    break
                self.check()
                self.deliver_all()
            else:
                raise AssertionError(f"the operator looks again and again: {self.status()}")
            self._go_on()
            self.check()
            if self._at_rest():
                return
            self.now += 5
            if int(self.now) % 4 == 0:
                self.compare()
        raise AssertionError(f"never at rest: {self.status()}")

    def _go_on(self) -> None:
        self.server.collect_garbage()
        for pod in list(self.pods()):
            if pod["metadata"].get("deletionTimestamp"):
                self.terminate(pod)
            elif "running" in main_state(pod):
                if label(pod, wire.LABEL_ROLE) == wire.ROLE_HEAD and self.status().get("phase") == "Running":
                    self.end_driver(pod, "Succeeded")
            else:
                self.schedule(pod)
                self.run_pod(pod)

    def _at_rest(self) -> bool:
        resting = self.job() is None or self.status().get("phase") in (*FINISHED, "Suspended")
        left = any(self.server.of(resource) for resource in OURS)
        self.collect()
        return resting and not left and not any(self.streams.values())
