"""What must hold of shares in a world of one ModelDeployment: whoever gets more has shown that it may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headway_api.rollout_wire import KEY_ROUTE, KEY_VERDICT
from headway_operator.engine.kube import Object
from headway_operator.serving import names
from sim.serving_judge import Judge

Status = dict[str, Any]
SPLITS = ("canary", "abTest", "shadow")
LATE = 200.0
"""The operator may still go by a spec that is so old, as its watch may be late."""
OLD = 90.0
"""The same of a word of the judge: it may be seen late, and counts for a while."""
GRACE = 29.0


class Shares:
    """The promises of rollouts that split requests."""

    def __init__(self, judge: Judge, now: Callable[[], float], fail: Callable[[str], None], of: str) -> None:
        self._judge, self._now, self._fail, self._of = judge, now, fail, of
        self._specs: list[tuple[float, dict[str, Any]]] = []
        self._told: dict[str, dict[str, Any]] = {}
        self._ours: set[tuple[str, int, float]] = set()
        """What the operator has ever told: all else was written by hand."""
        self._begun: dict[tuple[str, int], float] = {}
        self._shared: dict[tuple[str, int], float] = {}
        """When a version last had a share by its status."""
        self.risen = 0
        """How often a share was raised, or a version promoted, by evidence."""

    def wanted(self, spec: dict[str, Any]) -> None:
        """A user has changed the spec."""
        self._specs.append((self._now(), spec))

    def moved(self, uid: str, old: Status, new: Status) -> None:
        """A status was written."""
        rollout = new.get("rollout") or {}
        for version in new.get("versions", []):
            if version["state"] == "Candidate":
                self._begun.setdefault((uid, version["number"]), self._now())
            if version["state"] in ("Candidate", "Champion") and version["weight"]:
                self._shared[uid, version["number"]] = self._now()
        if rollout and rollout["stage"] == "Splitting" and rollout["weight"] != self._weight(new, rollout["number"]):
            self._fail(f"the rollout's share is {rollout['weight']}, and the version's {self._weight(new)}")
        before = next((each for each in old.get("versions", []) if each["state"] == "Candidate"), None)
        if before is None or not old.get("champion"):
            return
        number, was = before["number"], old.get("rollout") or {}
        promoted = new.get("champion") == before["name"]
        risen = rollout.get("number") == was.get("number") == number and rollout.get("step", 0) > was.get("step", 0) > 0
        if promoted and self._word(uid, number).get("verdict") == "fail":
            self._fail(f"version {number} is promoted, and the judge has found it to fail")
        if (promoted or risen) and not self._exempt(uid, number):
            self._prove(uid, number, was)
            if promoted and not self._approved(uid, number, before["name"]):
                self._fail(f"version {number} is promoted, and nobody has approved of it")

    def _prove(self, uid: str, number: int, was: dict[str, Any]) -> None:
        if was.get("stage") != "Splitting" or was["number"] != number:
            self._fail(f"version {number} is promoted without any step")
            return
        self.risen += 1
        word = self._word(uid, number)
        if (word.get("epoch"), word.get("verdict")) != (was["epoch"], "pass"):
            self._fail(f"version {number} goes on, and the judge has said of epoch {was['epoch']}: {word}")
        elif not word["servers"] or word["following"] < word["servers"]:
            self._fail(
                f"version {number} goes on, and {word['following']} of {word['servers']} servers keep to its share"
            )
        elif self._now() - self._judge.wrote_at > OLD:
            self._fail(f"version {number} goes on by a word that is {self._now() - self._judge.wrote_at:.0f} s old")

    def _word(self, uid: str, number: int) -> dict[str, Any]:
        word = self._judge.data(uid, KEY_VERDICT)
        return word if (word.get("uid"), word.get("rollout")) == (uid, number) else {}

    @staticmethod
    def _weight(status: Status, number: int = 0) -> int:
        return next((each["weight"] for each in status.get("versions", []) if each["number"] == number), 0)

    def _asked(self, uid: str, number: int) -> list[dict[str, Any]]:
        """All that users have asked for since a version began, as far as the operator may go by it."""
        return self.asked_since(self._begun.get((uid, number), 0.0) - LATE)

    def asked_since(self, since: float) -> list[dict[str, Any]]:
        """The spec that stood at a time, and all that came after it."""
        earlier = [spec for time, spec in self._specs if time < since]
        return [*earlier[-1:], *(spec for time, spec in self._specs if time >= since)]

    def _approved(self, uid: str, number: int, name: str) -> bool:
        asked = self._asked(uid, number)
        return any(
            spec["rollout"].get("approval") != "manual" or spec["versions"].get("approve") == name for spec in asked
        )

    def _exempt(self, uid: str, number: int) -> bool:
        """Whether somebody has asked for another kind of rollout, or for a version by name, since it began."""
        return any(
            spec["versions"].get("pin") or not any(kind in spec["rollout"] for kind in SPLITS)
            for spec in self._asked(uid, number)
        )

    def settled(self, uid: str, status: Status, spec: dict[str, Any]) -> None:
        """The operator knows all, and has nothing more to do now."""
        candidate = next((each for each in status.get("versions", []) if each["state"] == "Candidate"), None)
        if candidate is not None and not spec.get("suspend"):
            word = self._word(uid, candidate["number"])
            if word.get("verdict") == "fail":
                self._fail(
                    f"{candidate['name']} is found to fail, and has {candidate['weight']} % of the requests still"
                )

    def told(self, uid: str, status: Status) -> None:
        """The operator has written what servers are told."""
        route, last = self._judge.data(uid, KEY_ROUTE), self._told.get(uid)
        if route.get("uid") != uid:
            return
        epoch, number = route.get("epoch", 0), route.get("candidate", 0)
        if epoch != (status.get("route") or {}).get("epoch", 0):
            self._fail(f"servers are told of epoch {epoch}, and the status has {status.get('route')}")
        if last is not None and (epoch < last["epoch"] or (epoch == last["epoch"] and route != last)):
            self._fail(f"servers are told {route} after {last}")
        self._told[uid] = route
        self._ours.add((uid, epoch, route.get("share", 0.0)))
        rollout = status.get("rollout") or {}
        stages = {"Splitting": self._weight(status, number) / 100, "Baking": 1.0}
        share = stages.get(rollout.get("stage", ""), 0.0)
        if route.get("share", 0.0) != share or (route.get("stable", 0) == number and number):
            self._fail(f"servers are told {route}, and the status says {rollout}")

    def removed(self, uid: str, number: int, status: Status) -> None:
        """The operator has taken a version's pods away."""
        champion = next((each["number"] for each in status.get("versions", []) if each["state"] == "Champion"), 0)
        sent = any(
            route.get("candidate") == number
            and route.get("share", 0) > 0
            and (uid, route.get("epoch", 0), route["share"]) in self._ours
            for (of, version, _), route in self._judge.held.items()
            if of == uid and version == champion
        )
        since = self._now() - self._shared.get((uid, number), 0.0)
        if sent and since < GRACE:
            self._fail(
                f"the pods of version {number} go {since:.0f} s after its last share, and servers send it requests"
            )

    def at_rest(self, uid: str, status: Status, deployments: list[Object]) -> None:
        """Nothing happens any more."""
        if status.get("rollout"):
            self._fail(f"in the end there is the rollout {status['rollout']}")
        if any(body["metadata"]["name"] == names.judge_name(self._of, uid) for body in deployments):
            self._fail("in the end the judge is still there")
        if self._judge.data(uid, KEY_ROUTE).get("stable"):
            self._fail(f"in the end servers are told {self._judge.data(uid, KEY_ROUTE)}")
