"""A simulated cluster: a scheduler with so much room, nodes that stop answering, the garbage collector, kubelets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway_operator.engine import kube
from headway_operator.engine.kube import Object
from headway_operator.engine.times import to_text
from sim.fakes.api import Event
from sim.kubelet import NOBODYS, SIGKILL, TRACELESS, Container, Kubelets, Node, ended, set_condition

if TYPE_CHECKING:
    from sim.world import World

Place = tuple[str, str]
"""A namespace and a name."""


class Cluster(Kubelets):
    """Everything below the API server that is not the training itself."""

    def __init__(self, world: World, nodes: int, slots: int) -> None:
        super().__init__(world)
        self.nodes = [Node(f"node-{number}", slots, slots, world.clocks.another()) for number in range(nodes)]
        self._waiting: dict[str, Place] = {}
        """Pods that found no room, by uid."""

    # What it sees

    def happened(self, event: Event) -> None:
        """Something has changed at the API server."""
        world = self.world
        if event.type == "ADDED" and self._owner_is_gone(event.body):
            world.agenda.after(world.some(0.5, 4.0), self.collect_garbage)
        if event.resource == "pods":
            meta = event.body["metadata"]
            if event.type == "ADDED":
                place = meta["namespace"], meta["name"]
                world.agenda.after(world.some(0.01, 0.3), self._schedule, place, meta["uid"])
            elif event.type == "DELETED":
                self._pod_gone(event.body)
            elif meta.get("deletionTimestamp") and (container := self.containers.get(meta["uid"])):
                world.agenda.after(world.some(0.01, 0.3), self.terminate, container)
        elif event.resource == "trainingjobs" and event.type == "DELETED":
            world.agenda.after(world.some(0.05, 4.0), self.collect_garbage)
            world.agenda.after(8.0, self.collect_garbage)

    def _owner_is_gone(self, body: Object) -> bool:
        """Whether an object came into being after the job that owns it had gone."""
        meta = body["metadata"]
        owners = [owner for owner in meta.get("ownerReferences") or () if owner.get("kind") == kube.JOBS.kind]
        jobs = [self.world.server.find(kube.JOBS, owner["name"], meta["namespace"]) for owner in owners]
        alive = {job["metadata"]["uid"] for job in jobs if job is not None}
        return bool(owners) and all(owner["uid"] not in alive for owner in owners)

    def collect_garbage(self) -> None:
        """What belongs to nobody goes."""
        self.world.server.collect_garbage()

    # The scheduler

    def _schedule(self, place: Place, uid: str) -> None:
        namespace, name = place
        pod = self.world.server.find(kube.PODS, name, namespace)
        if pod is None or pod["metadata"]["uid"] != uid or pod["spec"].get("nodeName"):
            self._waiting.pop(uid, None)
            return
        node = self._room()
        if node is None:
            if uid not in self._waiting:
                self._waiting[uid] = place
                lack = ("PodScheduled", "False", "Unschedulable", "0/3 nodes are available")
                self.world.server.change(kube.PODS, name, lambda body: set_condition(body, *lack), namespace)
            return
        self._waiting.pop(uid, None)

        def bind(body: Object) -> None:
            body["spec"]["nodeName"] = node.name
            set_condition(body, "PodScheduled", "True", at=to_text(self.world.server_now))

        self.world.server.change(kube.PODS, name, bind, namespace)
        container = self.containers[uid] = Container(
            namespace=namespace,
            name=name,
            uid=uid,
            whose=self.world.whose.get(uid, NOBODYS),
            node=node,
            grace=pod["spec"].get("terminationGracePeriodSeconds") or 30,
            since=self.world.now,
        )
        self.world.agenda.after(self.world.some(0.05, 1.0), self.start, container)

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
        """There may be room: the scheduler tries again those that wait."""
        for uid, place in list(self._waiting.items()):
            self.world.agenda.after(self.world.some(0.05, 0.5), self._schedule, place, uid)

    def _pod_gone(self, pod: Object) -> None:
        self._waiting.pop(pod["metadata"]["uid"], None)
        container = self.containers.get(pod["metadata"]["uid"])
        if container is None:
            self.kick()
        elif container.over:
            del self.containers[container.uid]
            self.kick()
        else:
            # By force.
            self.world.agenda.after(self.world.some(0.1, 2.0), self.kill_orphan, container)

    # Nodes come and go

    def lose_node(self, node: Node, *, off: bool = False) -> None:
        """A node stops answering. What runs there runs on, or not."""
        world = self.world
        if not node.reachable:
            return
        world.note(node.name, "is switched off" if off else "stops answering; what runs there runs on")
        node.reachable = False
        world.checks.silent_nodes += 1
        # Once for those that can reach nobody any more, and once for those that are given up later.
        world.checks.struck((container.whose for container in self.on(node)), 2)
        for container in self.on(node):
            if off:
                self.end_container(container, SIGKILL, TRACELESS)
            world.agenda.after(world.some(15.0, 25.0), self._taint, container)

    def _taint(self, container: Container) -> None:
        """The node controller gives the pods of a silent node up."""
        pod = self.pod(container)
        if container.node.reachable or pod is None or ended(pod):
            return

        def edit(body: Object) -> None:
            set_condition(body, "Ready", "False")
            set_condition(body, "DisruptionTarget", "True", "DeletionByTaintManager")

        self.world.server.change(kube.PODS, container.name, edit, container.namespace)
        self.world.server.delete(kube.PODS, container.name, container.namespace)

    def find_node(self, node: Node) -> None:
        """A node answers again: its kubelet does what was missed, and says what has happened."""
        if node.reachable:
            return
        self.world.note(node.name, "answers again")
        node.reachable = True
        for container in self.on(node):
            pod = self.pod(container)
            if pod is None:
                self.kill_orphan(container)
            elif container.over:
                self.report_end(container)
            elif pod["metadata"].get("deletionTimestamp"):
                container.stopping = False
                self.terminate(container)
            elif container.ready:
                self.patch(container, {}, None, ready=True)
        self.kick()

    def give_node_up(self, node: Node) -> None:
        """An administrator deletes the node: the pods that are bound to it go without its word."""
        if node.reachable:
            return
        self.world.note(node.name, "is given up: its pods are deleted by force")
        for container in self.on(node):
            if self.pod(container) is not None:
                self.world.server.remove(kube.PODS, container.name, container.namespace)

    def on(self, node: Node) -> list[Container]:
        """The containers that are on a node."""
        return [container for container in self.containers.values() if container.node is node]
