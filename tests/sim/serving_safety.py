"""What keeps clients of a ModelDeployment safe whatever happens: judged at each write, and as time passes.

Of what the operator cannot know yet nothing is held against it: a watch that is late, a spec that has just changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headway_api.rollout_wire import KEY_ROUTE, KEY_VERDICT
from headway_operator.engine import kube
from headway_operator.engine.times import to_seconds
from headway_operator.serving import names
from sim.fakes.api import Call
from sim.serving_shares import LATE

if TYPE_CHECKING:
    from sim.serving import ServingWorld

Status = dict[str, Any]
PROMPT = 5.0
"""So long after the judge has said so, if nothing comes in between, what fails has no share any more."""


class Safety:
    """The promises, and what has to be remembered to judge them."""

    def __init__(self, world: ServingWorld, of: str) -> None:
        self._world, self._of = world, of
        self._identities: dict[tuple[str, int], tuple[str, str]] = {}
        """By the deployment's uid and a version's number: its model and its server."""
        self._failing: dict[tuple[str, int], float] = {}
        """By the deployment's uid and a version's number: since when the judge's word is that it fails."""
        self.meddled_at = float("-inf")
        """When somebody last changed by hand what is the operator's."""

    def moved(self, uid: str, old: Status, new: Status) -> None:
        """A status was written."""
        for version in new.get("versions", []):
            self._is_itself(uid, version)
            before = next((each for each in old.get("versions", []) if each["number"] == version["number"]), None)
            if before is None and version["state"] == "Candidate":
                self._may_begin(old, version)
            if before is not None and (before["state"], version["state"]) == ("Previous", "Retired"):
                self._has_baked(old, new, version)

    def _is_itself(self, uid: str, version: Status) -> None:
        """A number is given once."""
        identity = str(version["source"]), str(version["server"])
        known = self._identities.setdefault((uid, version["number"]), identity)
        if known != identity:
            self._world.fail(f"version {version['number']} is {identity}, and was {known}")

    def _may_begin(self, old: Status, version: Status) -> None:
        """What was rejected is tried again only if somebody says so."""
        alike = [
            each["name"]
            for each in old.get("versions", [])
            if each["state"] == "Rejected"
            and (each["source"], each["server"]) == (version["source"], version["server"])
        ]
        if alike and not any(alike[-1] in (spec["versions"].get("retry") or ()) for spec in self._asked()):
            self._world.fail(
                f"{version['name']} is what was rejected as {alike[-1]}, and nobody has asked for another try"
            )

    def _has_baked(self, old: Status, new: Status, version: Status) -> None:
        """The version before the champion keeps its pods until the champion has baked."""
        champion = new.get("champion")
        if champion is None or champion != old.get("champion"):
            return  # Another one has come meanwhile, as somebody wanted it.
        since = next(each["since"] for each in new["versions"] if each["name"] == champion)
        asked = [_bake_seconds(spec["rollout"]) for spec in self._asked()]
        alone = self._world.now - (to_seconds(since) or 0.0)
        if alone < min(asked):
            self._world.fail(
                f"{version['name']} gives its pods back after {alone:.0f} s, and {min(asked)} s are asked for"
            )

    def _asked(self) -> list[Status]:
        """The specs that the operator may go by."""
        return self._world.shares.asked_since(self._world.now - LATE)

    def remember(self) -> None:
        """A write is about to be tried."""
        self._was_target = self._world.target()

    def wrote(self, call: Call) -> None:
        """The operator has written something: clients that were answered must be answered still."""
        world, target = self._world, self._world.target()
        if self._world.now - self.meddled_at < LATE or target is None:
            return
        name = names.object_name(self._of, world.uid(), target)
        if call[:2] == ("patch", "services") and call.name == self._of and self._was_target not in (None, target):
            before = names.object_name(self._of, world.uid(), self._was_target or 0)
            if self._answers(before) and not self._answers(name):
                world.fail(
                    f"clients are sent from version {self._was_target}, which has pods, to {target}, which has none"
                )
        body = world.server.find(kube.DEPLOYMENTS, name)
        emptied = call[:2] == ("patch", "deployments") and call.name == name and body is not None
        recreates = any("recreate" in spec["rollout"] for spec in self._asked())
        if emptied and body is not None and body["spec"]["replicas"] == 0 and not recreates:
            world.fail(f"version {target}, which clients are sent to, is to have no pods")

    def _answers(self, name: str) -> bool:
        """Whether a Deployment has ready pods, or has a model whose pods may go at any time by themselves."""
        body = self._world.server.find(kube.DEPLOYMENTS, name)
        if body is None:
            return False
        if self._world.pods.nature(body) != "good":
            return True
        return bool((body.get("status") or {}).get("readyReplicas", 0))

    def look(self) -> None:
        """Some time has passed: what the judge has found to fail has no share."""
        world, uid = self._world, self._world.uid()
        word, status = world.judge.data(uid, KEY_VERDICT), world.status()
        candidate = next((each for each in status.get("versions", []) if each["state"] == "Candidate"), None)
        fails = word.get("verdict") == "fail" and word.get("uid") == uid
        route = world.judge.data(uid, KEY_ROUTE)
        number = candidate["number"] if candidate is not None else route.get("candidate", 0)
        shared = (candidate["weight"] if candidate is not None else 0) or (
            route.get("share", 0.0) if route.get("uid") == uid and not route.get("baking") else 0.0
        )
        place = (uid, number)
        if not fails or word.get("rollout") != number or not shared or self._halted():
            self._failing.pop(place, None)
            return
        if world.operator.is_late():
            self._failing[place] = world.now
        since = max(self._failing.setdefault(place, world.now), world.operator.disturbed_at)
        if world.now - since > PROMPT:
            world.fail(f"version {number} was found to fail {world.now - since:.0f} s ago, and has a share still")

    def _halted(self) -> bool:
        """Whether somebody has suspended all, or has told servers something by hand."""
        meddled = self._world.now - self.meddled_at < LATE
        return meddled or any(spec.get("suspend") for spec in self._asked())


def _bake_seconds(rollout: Status) -> int:
    kinds = [kind for kind in ("canary", "abTest", "shadow", "blueGreen", "recreate") if kind in rollout]
    return 0 if kinds == ["recreate"] else min(int(rollout[kind].get("bakeSeconds", 0)) for kind in kinds)
