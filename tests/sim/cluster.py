"""A simulated cluster: a scheduler with so much room, kubelets, nodes that stop answering, the garbage collector."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headway_api import wire
from headway_operator.engine import kube
from headway_operator.engine.kube import Object
from headway_operator.engine.times import to_text
from sim.fakes.api import Event
from sim.trainer import Driver

if TYPE_CHECKING:
    from sim.world import World

RETRY_SECONDS = 2.0
JOIN_SECONDS = 60.0
"""How long a worker tries to join its head."""
SIGKILL = 137


def label(body: Object, name: str) -> str:
    """A label."""
    value: str = body["metadata"]["labels"].get(name, "")
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


@dataclass(eq=False)
class Node:
    """A machine."""

    name: str
    slots: int
    """So many pods it takes."""
    room: int
    """So many it takes now, as other work is on it."""
    reachable: bool = True


@dataclass(eq=False)
class Container:
    """The main container of a pod, as it really is."""

    name: str
    uid: str
    job_uid: str
    job: str
    attempt: int
    role: str
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


class Cluster:
    """Everything below the API server that is not the training itself."""

    def __init__(self, world: World, nodes: int, slots: int) -> None:
        self.world = world
        self.nodes = [Node(f"node-{number}", slots, slots) for number in range(nodes)]
        self.containers: dict[str, Container] = {}
        """By the uid of the pod."""
        self.images_fail_until = 0.0
        self._waiting: dict[str, str] = {}
        """Pods that found no room: their names by uid."""

    # What it sees

    def happened(self, event: Event) -> None:
        """Something has changed at the API server."""
        world = self.world
        if event.type == "ADDED" and self._owner_is_gone(event.body):
            world.agenda.after(world.some(0.5, 4.0), self.collect_garbage)
        if event.resource == "pods":
            meta = event.body["metadata"]
            if event.type == "ADDED":
                world.agenda.after(world.some(0.01, 0.3), self._schedule, meta["name"], meta["uid"])
            elif event.type == "DELETED":
                self._pod_gone(event.body)
            elif meta.get("deletionTimestamp") and (container := self.containers.get(meta["uid"])):
                world.agenda.after(world.some(0.01, 0.3), self._terminate, container)
        elif event.resource == "trainingjobs" and event.type == "DELETED":
            world.agenda.after(world.some(0.05, 4.0), self.collect_garbage)
            world.agenda.after(8.0, self.collect_garbage)

    def _owner_is_gone(self, body: Object) -> bool:
        """Whether an object came into being after the job that owns it had gone."""
        owners = body["metadata"].get("ownerReferences") or ()
        jobs = [self.world.server.find(kube.JOBS, owner["name"]) for owner in owners]
        alive = {job["metadata"]["uid"] for job in jobs if job is not None}
        return bool(owners) and all(owner["uid"] not in alive for owner in owners)

    def collect_garbage(self) -> None:
        """What belongs to nobody goes."""
        self.world.server.collect_garbage()

    def pod(self, name: str, uid: str) -> Object | None:
        """A pod that exists."""
        body = self.world.server.find(kube.PODS, name)
        return body if body is not None and body["metadata"]["uid"] == uid else None

    # The scheduler

    def _schedule(self, name: str, uid: str) -> None:
        pod = self.pod(name, uid)
        if pod is None or pod["spec"].get("nodeName"):
            self._waiting.pop(uid, None)
            return
        node = self._room()
        if node is None:
            if uid not in self._waiting:
                self._waiting[uid] = name
                self._condition(pod, "PodScheduled", "False", "Unschedulable", "0/3 nodes are available")
            return
        self._waiting.pop(uid, None)

        def bind(body: Object) -> None:
            body["spec"]["nodeName"] = node.name
            set_condition(body, "PodScheduled", "True")

        self.world.server.change(kube.PODS, name, bind)
        container = self.containers[uid] = Container(
            name=name,
            uid=uid,
            job_uid=label(pod, wire.LABEL_JOB_UID),
            job=label(pod, wire.LABEL_JOB),
            attempt=int(label(pod, wire.LABEL_ATTEMPT)),
            role=label(pod, wire.LABEL_ROLE),
            node=node,
            grace=pod["spec"].get("terminationGracePeriodSeconds") or 30,
            since=self.world.now,
        )
        self.world.agenda.after(self.world.some(0.05, 1.0), self._start, container)

    def _room(self) -> Node | None:
        used: dict[str, int] = {}
        for container in self.containers.values():
            if not container.over:
                used[container.node.name] = used.get(container.node.name, 0) + 1
        free = [node for node in self.nodes if node.reachable and used.get(node.name, 0) < node.room]
        return self.world.chance.choice(free) if free else None

    def make_room(self) -> None:
        """Other work is over."""
        for node in self.nodes:
            node.room = node.slots
        self.kick()

    def kick(self) -> None:
        """There may be room: the scheduler looks again at who waits."""
        for uid, name in list(self._waiting.items()):
            self.world.agenda.after(self.world.some(0.05, 0.5), self._schedule, name, uid)

    # The kubelets

    def _start(self, container: Container) -> None:
        """The kubelet starts a container, as soon as all that it mounts is there."""
        world = self.world
        pod = self.pod(container.name, container.uid)
        if pod is None or container.over or container.stopping or container.running:
            return
        if not container.node.reachable:
            world.agenda.after(RETRY_SECONDS, self._start, container)
        elif world.now < self.images_fail_until:
            self._patch(container, {"phase": "Pending"}, {"waiting": {"reason": "ErrImagePull", "message": "no route"}})
            world.agenda.after(RETRY_SECONDS, self._start, container)
        elif not self._mountable(container):
            world.agenda.after(RETRY_SECONDS, self._start, container)
        else:
            container.running = True
            self._patch(container, {"phase": "Running"}, {"running": {}})
            if container.role == wire.ROLE_HEAD:
                container.driver = Driver(world, container)
            world.agenda.after(world.some(0.3, 2.0), self._become_ready, container)

    def _mountable(self, container: Container) -> bool:
        name = wire.object_name(container.job, container.job_uid, container.attempt)
        return self.world.server.find(kube.SECRETS, name) is not None

    def _become_ready(self, container: Container) -> None:
        world = self.world
        if not container.running or container.stopping:
            return
        if container.role == wire.ROLE_WORKER and not self._head_runs(container):
            if world.now > container.since + JOIN_SECONDS:
                self.end(container, 70)
            else:
                world.agenda.after(RETRY_SECONDS, self._become_ready, container)
            return
        container.ready = True
        self._patch(container, {}, None, ready=True)
        if container.driver is not None:
            container.driver.begin()

    def _head_runs(self, worker: Container) -> bool:
        return any(
            other.running and other.role == wire.ROLE_HEAD and other.attempt == worker.attempt
            for other in self.containers.values()
            if other.job_uid == worker.job_uid
        )

    def crew(self, job_uid: str, attempt: int) -> list[Container]:
        """The workers of an attempt that run and have joined."""
        return [
            container
            for container in self.containers.values()
            if container.job_uid == job_uid
            and container.attempt == attempt
            and container.role == wire.ROLE_WORKER
            and container.running
            and container.ready
        ]

    def end(
        self, container: Container, code: int, reason: str = "Error", message: str = "", status_reason: str = ""
    ) -> None:
        """The container's process ends, and its kubelet says so, if it can."""
        if container.over:
            return
        container.running, container.ready, container.over = False, False, True
        world = self.world
        if container.driver is not None:
            container.driver.ended(reason, spoke=bool(message))
        state = {"exitCode": code, "reason": reason, "message": message, "finishedAt": to_text(world.now)}
        container.end = {"state": {"terminated": state}, "phase": "Succeeded" if code == 0 else "Failed"}
        if status_reason:
            container.end["reason"] = status_reason
        world.note(container.node.name, f"{container.name} ends with code {code}{'' if code == 0 else ' ' + reason}")
        self._report_end(container)
        if container.role == wire.ROLE_HEAD:
            for worker in self.crew(container.job_uid, container.attempt):
                in_order = bool(message)
                seconds = world.some(0.1, 3.0) if in_order else world.some(2.0, 12.0)
                world.agenda.after(seconds, self.end, worker, 0 if in_order else 70)
        self.kick()

    def _report_end(self, container: Container) -> None:
        if not container.node.reachable:
            return
        extra = {key: value for key, value in container.end.items() if key not in ("state", "phase")}
        status = {"phase": container.end["phase"], **extra}
        self._patch(container, status, container.end["state"], ready=False)
        pod = self.pod(container.name, container.uid)
        if pod is not None and pod["metadata"].get("deletionTimestamp"):
            self.world.agenda.after(self.world.some(0.05, 1.0), self.remove, container)

    def _terminate(self, container: Container) -> None:
        """The kubelet has seen that a pod is to go."""
        world = self.world
        if not container.node.reachable or container.stopping:
            return
        container.stopping = True
        if container.over:
            world.agenda.after(world.some(0.05, 1.0), self.remove, container)
        elif not container.running:
            self.end(container, SIGKILL, "ContainerStatusUnknown")
        elif container.driver is not None:
            container.driver.asked_to_stop()
            world.agenda.after(container.grace, self.end, container, SIGKILL)
        else:
            world.agenda.after(world.some(0.05, 2.0), self.end, container, 143)

    def remove(self, container: Container) -> None:
        """The object goes."""
        if container.node.reachable and self.pod(container.name, container.uid) is not None:
            self.world.server.remove(kube.PODS, container.name)

    def _pod_gone(self, pod: Object) -> None:
        self._waiting.pop(pod["metadata"]["uid"], None)
        container = self.containers.get(pod["metadata"]["uid"])
        if container is None:
            self.kick()
        elif container.over:
            del self.containers[container.uid]
            self.kick()
        else:
            # By force: the kubelet finds a process that no pod belongs to any more.
            self.world.agenda.after(self.world.some(0.1, 2.0), self._kill_orphan, container)

    def _kill_orphan(self, container: Container) -> None:
        if container.node.reachable:
            self.end(container, SIGKILL)
            self.containers.pop(container.uid, None)
            self.kick()

    # Nodes come and go

    def lose_node(self, node: Node, *, off: bool) -> None:
        """A node stops answering. What runs there runs on, or not."""
        world = self.world
        if not node.reachable:
            return
        world.note(node.name, "is switched off" if off else "stops answering; what runs there runs on")
        node.reachable = False
        world.checks.silent_nodes += 1
        for container in self._on(node):
            if off:
                self.end(container, SIGKILL, "ContainerStatusUnknown")
            world.agenda.after(world.some(15.0, 25.0), self._taint, container)

    def _taint(self, container: Container) -> None:
        """The node controller gives the pods of a silent node up."""
        pod = self.pod(container.name, container.uid)
        if container.node.reachable or pod is None or ended(pod):
            return

        def edit(body: Object) -> None:
            set_condition(body, "Ready", "False")
            set_condition(body, "DisruptionTarget", "True", "DeletionByTaintManager")

        self.world.server.change(kube.PODS, container.name, edit)
        self.world.server.delete(kube.PODS, container.name)

    def find_node(self, node: Node) -> None:
        """A node answers again: its kubelet does what was missed, and says what has happened."""
        if node.reachable:
            return
        self.world.note(node.name, "answers again")
        node.reachable = True
        for container in self._on(node):
            pod = self.pod(container.name, container.uid)
            if pod is None:
                self._kill_orphan(container)
            elif container.over:
                self._report_end(container)
            elif pod["metadata"].get("deletionTimestamp"):
                container.stopping = False
                self._terminate(container)
            elif container.ready:
                self._patch(container, {}, None, ready=True)
        self.kick()

    def give_node_up(self, node: Node) -> None:
        """An administrator deletes the node: the pods that are bound to it go without its word."""
        if node.reachable:
            return
        self.world.note(node.name, "is given up: its pods are deleted by force")
        for container in self._on(node):
            if self.pod(container.name, container.uid) is not None:
                self.world.server.remove(kube.PODS, container.name)

    def _on(self, node: Node) -> list[Container]:
        return [container for container in self.containers.values() if container.node is node]

    # Status

    def _patch(
        self, container: Container, status: dict[str, Any], state: dict[str, Any] | None, *, ready: bool | None = None
    ) -> None:
        if not container.node.reachable or self.pod(container.name, container.uid) is None:
            return

        def edit(body: Object) -> None:
            body["status"].update(status)
            if state is not None:
                body["status"]["containerStatuses"] = [{"name": wire.MAIN_CONTAINER, "state": state}]
            if ready is not None:
                set_condition(body, "Ready", "True" if ready else "False")

        self.world.server.change(kube.PODS, container.name, edit)

    def _condition(self, pod: Object, *condition: str) -> None:
        self.world.server.change(kube.PODS, pod["metadata"]["name"], lambda body: set_condition(body, *condition))


def set_condition(body: Object, kind: str, status: str, reason: str = "", message: str = "") -> None:
    """Set a condition of a pod."""
    others = [item for item in body["status"].get("conditions") or () if item["type"] != kind]
    added = {"type": kind, "status": status, "reason": reason, "message": message}
    body["status"]["conditions"] = [*others, added]
