"""The route of a gateway in a world of one ModelDeployment: nobody is sent where nobody answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headway_operator.engine import kube
from headway_operator.serving import names
from sim.fakes.api import Call

if TYPE_CHECKING:
    from sim.serving import ServingWorld

FIRST_SEED = 1_000_000
"""Worlds from this seed on have a gateway: those before are what they were."""


def gateway(rollout: dict[str, Any]) -> dict[str, Any]:
    """What a user asks for beside a rollout."""
    split = "servers" if "abTest" in rollout else "gateway"
    return {"gateway": {"parentRefs": [{"name": "public"}], "split": split}}


class Routes:
    """The promises about it."""

    def __init__(self, world: ServingWorld, of: str) -> None:
        self._world, self._of = world, of
        self.shared = 0
        """How often a candidate was given a weight."""

    def weights(self) -> dict[str, int] | None:
        """Where it leads; None where there is none."""
        body = self._world.server.find(kube.HTTP_ROUTES, names.route_name(self._of))
        if body is None:
            return None
        return {each["name"]: each["weight"] for rule in body["spec"]["rules"] for each in rule["backendRefs"]}

    def candidates(self) -> list[str]:
        """The versions that it leads to beside the clients' Service."""
        return [name for name in self.weights() or () if name != self._of]

    def look(self, call: Call, uid: str) -> None:
        """What must hold after a write."""
        weights = self.weights() or {}
        if call[:2] == ("delete", "deployments") and call.name in weights:
            self._world.fail(f"the pods of {call.name} are taken away, and the route leads there: {weights}")
        if call.resource != kube.HTTP_ROUTES.plural or call.verb == "delete":
            return
        others = {name: weight for name, weight in weights.items() if name != self._of}
        if not others:
            return
        self.shared += 1
        rollout = self._world.status().get("rollout") or {}
        number = rollout.get("number", 0)
        if len(others) > 1 or set(others) != {names.object_name(self._of, uid, number)} or sum(weights.values()) != 100:
            self._world.fail(f"the route leads to {weights}, and the rollout is of version {number}")
        if rollout.get("stage") != "Splitting" or max(others.values()) > rollout["weight"]:
            self._world.fail(f"the route leads to {weights}, and the rollout is {rollout}")
        if not self._world.pods.were_ready(uid, number):
            self._world.fail(f"the route leads to version {number}, which was never ready")

    def settled(self, uid: str) -> None:
        """What must hold where the operator knows all that there is."""
        body = self._world.server.find(kube.HTTP_ROUTES, names.route_name(self._of))
        if body is not None and uid not in {owner["uid"] for owner in body["metadata"].get("ownerReferences", ())}:
            return  # It was of a deployment that is deleted, and is in the way until it is collected.
        for name in self.weights() or ():
            body = self._world.server.find(kube.DEPLOYMENTS, name)
            if name != self._of and (body is None or not (body.get("status") or {}).get("readyReplicas")):
                self._world.fail(f"the route of {uid} leads to {name}, where nobody is ready")

    def at_rest(self) -> None:
        """What must hold when nothing happens any more."""
        wanted = {self._of: 1} if self._world.status().get("champion") else None
        if self.weights() != wanted:
            self._world.fail(f"in the end the route leads to {self.weights()}")
