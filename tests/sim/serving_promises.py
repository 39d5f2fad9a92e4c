"""What must hold in a world of one ModelDeployment, after every write and in the end; of shares see serving_shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headway_operator.engine import kube
from headway_operator.serving import names
from sim.fakes.api import Call

if TYPE_CHECKING:
    from sim.serving import ServingWorld

Status = dict[str, Any]
PODS_OF = (kube.DEPLOYMENTS.plural, kube.INFERENCE_SERVICES.plural)
"""With these a version's pods go."""
WRITES, WRITES_A_VERSION = 20, 12
"""So often the status of a deployment may be written; and once for each change that others make to anything."""


class Promises:
    """The promises, and what has to be remembered to judge them."""

    def __init__(self, world: ServingWorld, of: str) -> None:
        self._world, self._of = world, of
        self._rejected: set[tuple[str, str]] = set()
        self._was: Status = {}
        self.numbers: dict[str, int] = {}
        """By the deployment's uid: the last number that was given."""
        self._writes: dict[str, tuple[int, int]] = {}
        """By the deployment's uid: how often its status was written, and how many changes others had made before."""
        self.worst = 0.0
        """The largest share of its bound that the writes of a status have taken."""

    def remember(self) -> None:
        """A write is about to be tried."""
        self._was = self._world.status()
        self._world.safety.remember()

    def look(self, call: Call | None) -> None:
        """What must hold after every write."""
        world = self._world
        uid, status = world.uid(), world.status()
        versions = status.get("versions", [])
        self._look_at_places(status, versions)
        for version in versions:
            name = (uid, version["name"])
            if version["state"] == "Rejected":
                self._rejected.add(name)
            elif name in self._rejected:
                world.fail(f"{version['name']} was rejected, and is {version['state']}")
            if version["state"] == "Champion" and not world.pods.were_ready(uid, version["number"]):
                world.fail(f"{version['name']} answers, and was never ready")
        self._look_at_numbers(uid, status)
        self._look_at_offers(uid, status)
        if call is not None:
            self._look_at(call, uid)
            world.safety.wrote(call)
            if world.zero is not None:
                world.zero.wrote(call)

    def _look_at_places(self, status: Status, versions: list[Status]) -> None:
        weights = [version["weight"] for version in versions]
        if sum(weights) != (100 if status.get("champion") else 0):
            self._world.fail(f"the weights are {weights}, with the champion {status.get('champion')}")
        places = [version["state"] for version in versions]
        for state in ("Candidate", "Champion", "Previous"):
            if places.count(state) > 1:
                self._world.fail(f"there are two versions in the place {state}")

    def _look_at_numbers(self, uid: str, status: Status) -> None:
        last = status.get("lastNumber", 0)
        if last < self.numbers.get(uid, 0):
            self._world.fail(f"the number {last} comes after {self.numbers[uid]}")
        self.numbers[uid] = last

    def _look_at_offers(self, uid: str, status: Status, *, at_rest: bool = False) -> None:
        broken = self._world.jobs.broken(uid, status, at_rest=at_rest) if uid else None
        if broken:
            self._world.fail(broken)

    def _look_at(self, call: Call, uid: str) -> None:
        world = self._world
        if call[:2] == ("patch", "services") and call.name == self._of:
            target = world.target()
            if target is not None and not world.pods.were_ready(uid, target):
                world.fail(f"clients are sent to version {target}, which was never ready")
        if world.routes is not None:
            world.routes.look(call, uid)
        if call[:2] == ("patch", "modeldeployments"):
            self._look_at_status(uid, self._was, world.status())
        if call.resource == "configmaps" and call.verb in ("create", "patch") and call.name == world.judge.name(uid):
            world.shares.told(uid, world.status())
        if call.verb == "delete" and call.resource in PODS_OF and not call.name.endswith(("-judge", "-holder")):
            number = int(call.name.rpartition("-")[2])
            if call.name == names.object_name(self._of, uid, number) and world.target() == number:
                world.fail(f"the pods of version {number} are taken away, which clients are sent to")
            if call.name == names.object_name(self._of, uid, number):
                world.shares.removed(uid, number, world.status())

    def _look_at_status(self, uid: str, old: Status, new: Status) -> None:
        """A status was written."""
        world = self._world
        for part in (world.shares, world.load, world.drift, world.safety):
            if part is not None:
                part.moved(uid, old, new)
        self._count_write(uid)

    def _count_write(self, uid: str) -> None:
        server = self._world.server
        changes = server.version() - len(server.writes)
        count, since = self._writes.get(uid, (0, changes))
        self._writes[uid] = count + 1, since
        bound = WRITES + WRITES_A_VERSION * self.numbers[uid] + changes - since
        self.worst = max(self.worst, (count + 1) / bound)
        if count + 1 > bound:
            self._world.fail(f"the status is written {count + 1} times, and {bound} are its bound")

    def at_rest(self) -> None:
        """What must hold when nothing happens any more."""
        world = self._world
        body = world.server.find(kube.MODEL_DEPLOYMENTS, self._of)
        if body is None:
            world.fail("the deployment is gone")
            return
        if behind := world.operator.behind():
            world.fail(
                f"the watches have shown all that happened, and these are still to show what was written: {behind}"
            )
        status, uid = world.status(), world.uid()
        accepted = next(item for item in status["conditions"] if item["type"] == "Accepted")
        if accepted["status"] != "True":
            return
        if status.get("candidate") and status.get("champion") and self._waits_for_the_dead(status):
            return
        if status.get("candidate"):
            world.fail(f"{status['candidate']} is still on its way")
        champion = next((each for each in status["versions"] if each["name"] == status.get("champion")), None)
        number = champion["number"] if champion is not None else None
        self._look_at_deployments(number, status, body["spec"])
        self._look_at_ways(number)
        if world.load is None and world.drift is None:
            world.shares.at_rest(uid, status, world.server.of(kube.DEPLOYMENTS))
        self._look_at_offers(uid, status, at_rest=True)
        self._was_tried(body["spec"]["versions"], status)

    def _look_at_deployments(self, number: int | None, status: Status, spec: Status) -> None:
        """The version that answers has its pods, and nothing else is there but what goes with the load."""
        world, uid = self._world, self._world.uid()
        there = {each["metadata"]["name"]: each["spec"]["replicas"] for each in world.server.of(kube.DEPLOYMENTS)}
        replicas = spec["replicas"]
        if world.load is not None:
            world.load.at_rest(uid, status, spec)
            replicas = (status.get("autoscaling") or {}).get("desired")
        wanted = {names.object_name(self._of, uid, number): replicas} if number is not None else {}
        watched = world.drift is not None and world.drift.at_rest(uid, status, spec)
        if (world.load is not None and wanted) or watched:
            wanted[world.judge.name(uid)] = 1
        if world.zero is not None and wanted:
            wanted |= world.zero.holders(uid, spec)
        if there != wanted:
            world.fail(f"in the end there are the Deployments {there}, and should be {wanted}")

    def _look_at_ways(self, number: int | None) -> None:
        """Clients and gateways lead to the version that answers."""
        world = self._world
        if world.zero is not None and world.zero.asleep():
            number = None
        if world.target() != number:
            world.fail(f"in the end clients are sent to {world.target()}, and {number} should answer")
        if world.routes is not None:
            world.routes.at_rest()

    @staticmethod
    def _waits_for_the_dead(status: Status) -> bool:
        """Whether a rollout stalls as none of the champion's pods will ever be ready again, and says so."""
        told = next(item for item in status["conditions"] if item["type"] == "Progressing")
        champion = next(each for each in status["versions"] if each["name"] == status["champion"])
        dead = champion["replicas"]["ready"] == 0 and "none of the pods of version" in told["message"]
        return dead and told["reason"] == "Stalled"

    def _was_tried(self, spec: Status, status: Status) -> None:
        """What is wanted answers in the end, or was rejected for a reason."""
        pinned = [each for each in status["versions"] if each["name"] == spec.get("pin")]
        source = spec.get("source") or (status.get("published") or {}).get("source")
        if source is None or (pinned and pinned[0]["state"] != "Rejected"):
            return
        tried = [each for each in status["versions"] if each["source"] == source]
        if not any(each["state"] == "Champion" or (each["state"] == "Rejected" and each["message"]) for each in tried):
            self._world.fail(f"what is wanted, {source}, does not answer and was not rejected")
