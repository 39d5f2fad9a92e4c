"""The kubelets of a simulated cluster: what they do with the containers of pods, and what they say of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from headway_api import wire
from headway_operator.engine import kube
from headway_operator.engine.kube import Object
from headway_operator.engine.times import to_text
from sim.clocks import Clock
from sim.trainer import Driver

if TYPE_CHECKING:
    from sim.world import World

RETRY_SECONDS = 2.0
JOIN_SECONDS = 900.0
"""How long a worker tries to join its head, where its job's startupDeadlineSeconds does not say."""
SIGKILL = 137
TRACELESS = "ContainerStatusUnknown"
"""The reason of a container's end that its kubelet has not seen: it says no time of it."""


def label(body: Object, name: str) -> str:
    """A label."""
    value: str = (body["metadata"].get("labels") or {}).get(name, "")
    return value


def main_state(pod: Object) -> dict[str, Any]:
    """The state of a pod's main container."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
    state: dict[str, Any] = statuses[0].get("state") or {}
    return state


def ended(pod: Object) -> bool:
    """Whether the pod's work is over, as far as the API server knows."""
    return "terminated" in main_state(pod) or pod["status"]["phase"] in ("Succeeded", "Failed")


def condition(pod: Object, kind: str) -> str:
    """The status of a condition of a pod; empty if it has none of the kind."""
    found = [item["status"] for item in pod["status"].get("conditions") or () if item["type"] == kind]
    return found[0] if found else ""


def set_condition(body: Object, kind: str, status: str, reason: str = "", message: str = "", *, at: str = "") -> None:
    """Set a condition of a pod."""
    others = [item for item in body["status"].get("conditions") or () if item["type"] != kind]
    added = {"type": kind, "status": status, "reason": reason, "message": message}
    body["status"]["conditions"] = [*others, added | ({"lastTransitionTime": at} if at else {})]


class Whose(NamedTuple):
    """What an object of the operator's is, whatever somebody makes of its labels later."""

    namespace: str
    job: str
    job_uid: str
    attempt: int
    role: str
    place: int
    """A worker's index."""


NOBODYS = Whose("", "", "", 0, "", 0)
"""What an object is that somebody else has made."""


@dataclass(eq=False)
class Node:
    """A machine."""

    name: str
    slots: int
    """So many pods it takes."""
    room: int
    """So many it takes now, as other work is on it."""
    clock: Clock
    reachable: bool = True


@dataclass(eq=False)
class Container:
    """The main container of a pod, as it really is."""

    namespace: str
    name: str
    uid: str
    whose: Whose
    node: Node
    grace: float
    since: float
    running: bool = False
    ready: bool = False
    over: bool = False
    """It has run, and ended."""
    stopping: bool = False
    """It has been sent SIGTERM."""
    driver: Driver | None = None
    end: dict[str, Any] = field(default_factory=dict)

    @property
    def of(self) -> tuple[str, int]:
        """The uid of its job, and the attempt."""
        return self.whose.job_uid, self.whose.attempt

    @property
    def role(self) -> str:
        """Head, worker, or nothing of ours."""
        return self.whose.role


class Kubelets:
    """All kubelets."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.containers: dict[str, Container] = {}
        """By the uid of the pod."""
        self.images_fail_until = 0.0

    def kick(self) -> None:
        """There may be room: the scheduler tries again those that wait."""
        raise NotImplementedError

    def pod(self, container: Container) -> Object | None:
        """The pod of a container, if it exists."""
        body = self.world.server.find(kube.PODS, container.name, container.namespace)
        return body if body is not None and body["metadata"]["uid"] == container.uid else None

    def workers(self, of: tuple[str, int]) -> list[Container]:
        """The workers of an attempt that run and have joined."""
        return [one for one in self.containers.values() if one.of == of and one.role == wire.ROLE_WORKER and one.ready]

    # Containers begin

    def start(self, container: Container) -> None:
        """The kubelet starts a container, as soon as all that it mounts is there."""
        world = self.world
        if self.pod(container) is None or container.over or container.stopping or container.running:
            return
        if not container.node.reachable or not self._mountable(container):
            world.agenda.after(RETRY_SECONDS, self.start, container)
        elif world.now < self.images_fail_until:
            self.patch(container, {"phase": "Pending"}, {"waiting": {"reason": "ErrImagePull", "message": "no route"}})
            world.agenda.after(RETRY_SECONDS, self.start, container)
        else:
            container.running = True
            self.patch(container, {"phase": "Running"}, {"running": {}})
            if container.role == wire.ROLE_HEAD:
                container.driver = Driver(world, container)
            elif not container.role:
                world.agenda.after(world.some(1.0, 30.0), self._end_of_a_copy, container)
            world.agenda.after(world.some(0.3, 2.0), self._become_ready, container)

    def _mountable(self, container: Container) -> bool:
        whose = container.whose
        name = wire.object_name(whose.job, whose.job_uid, whose.attempt)
        secret = self.world.server.find(kube.SECRETS, name, whose.namespace)
        return whose == NOBODYS or (secret is not None and wire.KEY_RUN in (secret.get("stringData") or {}))

    def _become_ready(self, container: Container) -> None:
        world = self.world
        if not container.running or container.stopping:
            return
        if container.role == wire.ROLE_WORKER and not self._head_runs(container):
            plan = world.plans.get((container.namespace, container.whose.job))
            scheduling = plan.spec.get("scheduling", {}) if plan is not None else {}
            if world.now > container.since + scheduling.get("startupDeadlineSeconds", JOIN_SECONDS):
                self.end_container(container, wire.EXIT_INTERNAL)
            else:
                world.agenda.after(RETRY_SECONDS, self._become_ready, container)
            return
        container.ready = True
        self.patch(container, {}, None, ready=True)
        if container.driver is not None:
            container.driver.begin()

    def _head_runs(self, worker: Container) -> bool:
        of, heads = worker.of, (one for one in self.containers.values() if one.role == wire.ROLE_HEAD)
        return any(head.running and head.of == of for head in heads)

    # Containers end

    def end_container(
        self, container: Container, code: int, reason: str = "Error", message: str = "", status_reason: str = ""
    ) -> None:
        """The container's process ends, and its kubelet says so, if it can."""
        if container.over:
            return
        container.running, container.ready, container.over = False, False, True
        world = self.world
        if container.driver is not None:
            container.driver.ended(reason, spoke=bool(message))
        state = {"exitCode": code, "reason": reason, "message": message}
        if reason != TRACELESS:
            state["finishedAt"] = self._time(container)
        container.end = {"state": {"terminated": state}, "phase": "Succeeded" if code == 0 else "Failed"}
        if status_reason:
            container.end["reason"] = status_reason
        world.note(container.node.name, f"{container.name} ends with code {code}{'' if code == 0 else ' ' + reason}")
        self.report_end(container)
        if container.role == wire.ROLE_HEAD:
            # A port that is shut says that the head is gone; one that is silent, that its node or the network may be.
            code = wire.EXIT_SUCCEEDED if container.node.reachable else wire.EXIT_UNREACHABLE
            for worker in self.workers(container.of):
                seconds = world.some(0.1, 3.0) if message else world.some(2.0, 12.0)
                world.agenda.after(seconds, self.end_container, worker, code)
        self.kick()

    def _end_of_a_copy(self, container: Container) -> None:
        """A copy of a head claims that its job is done, and fails: the port of the head is taken, say."""
        pod = self.pod(container)
        code = self.world.chance.choice((0, 1, 70))
        word = self.world.claim(pod) if pod is not None else ""
        self.end_container(container, code, "Completed" if code == 0 else "Error", word)

    def report_end(self, container: Container) -> None:
        """Say how a container has ended."""
        if not container.node.reachable:
            return
        extra = {key: value for key, value in container.end.items() if key not in ("state", "phase")}
        status = {"phase": container.end["phase"], **extra}
        self.patch(container, status, container.end["state"], ready=False)
        pod = self.pod(container)
        if pod is not None and pod["metadata"].get("deletionTimestamp"):
            self.world.agenda.after(self.world.some(0.05, 1.0), self.remove, container)
        elif pod is not None and container.role == wire.ROLE_WORKER:
            self.world.checks.worker_ended(container)

    def terminate(self, container: Container) -> None:
        """The kubelet has seen that a pod is to go."""
        world = self.world
        if not container.node.reachable or container.stopping:
            return
        container.stopping = True
        if container.over:
            world.agenda.after(world.some(0.05, 1.0), self.remove, container)
        elif not container.running:
            self.end_container(container, SIGKILL, TRACELESS)
        elif container.driver is not None:
            container.driver.asked_to_stop()
            world.agenda.after(container.grace, self.end_container, container, SIGKILL)
        else:
            world.agenda.after(world.some(0.05, 2.0), self.end_container, container, 143)

    def remove(self, container: Container) -> None:
        """The object goes."""
        if container.node.reachable and self.pod(container) is not None:
            self.world.server.remove(kube.PODS, container.name, container.namespace)

    def kill_orphan(self, container: Container) -> None:
        """The kubelet finds a process that no pod belongs to any more."""
        if container.node.reachable:
            self.end_container(container, SIGKILL)
            self.containers.pop(container.uid, None)
            self.kick()

    # Status

    def patch(
        self, container: Container, status: dict[str, Any], state: dict[str, Any] | None, *, ready: bool | None = None
    ) -> None:
        """Say something of a pod, if the node reaches the API server."""
        if not container.node.reachable or self.pod(container) is None:
            return

        def edit(body: Object) -> None:
            body["status"].update(status)
            if state is not None:
                body["status"]["containerStatuses"] = [{"name": wire.MAIN_CONTAINER, "state": state}]
            if ready is not None:
                set_condition(body, "Ready", "True" if ready else "False", at=self._time(container))

        self.world.server.change(kube.PODS, container.name, edit, container.namespace)

    def _time(self, container: Container) -> str:
        """Now, by the clock of a container's node."""
        return to_text(container.node.clock.at(self.world.now))
