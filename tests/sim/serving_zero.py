"""Scaling to zero in a world of one ModelDeployment: its clients, the holder that keeps what they ask while there is no
pod, and what must hold of both: nobody who asks is forgotten, and no pod goes that somebody asks.

Where requests go follows from the clients' Service, as it is. What the judge says of them is said by serving_load.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from headway_api.rollout_wire import KEY_LOAD
from headway_operator.engine import kube
from headway_operator.serving import names
from serving_fleet import report
from sim.fakes.api import Call
from sim.serving_shares import LATE
from sim.versions import STRICTER

if TYPE_CHECKING:
    from sim.serving import ServingWorld

Status = dict[str, Any]
PROMPT = 6.0
"""Within so many seconds, if nothing comes in between, what has to be done for those who ask is done."""
SETTLED = 14.0
"""So long after clients are sent to the holder the last pods stay, at the least."""
ODDS = 0.4
"""The part of the worlds with a load in which there may be no pod."""
BEGINS, ENDS, ONCE = 0.03, 0.06, 0.3
"""Of each look: that somebody begins to ask, that nobody does any more; and of those that begin, who ask but once."""


class Zero:
    """Clients, the holder, and what is promised to them. It draws from a chance of its own."""

    def __init__(self, world: ServingWorld, seed: int, of: str) -> None:
        self._world, self._of = world, of
        self._chance = random.Random(f"zero of {seed}")  # noqa: S311 - nobody is to be kept from guessing it
        self.there = self._chance.random() < ODDS
        """Whether this is such a world."""
        self._idle = self._chance.choice((20, 60))
        self._asking, self._once = 0, False
        """Requests that clients have at a time; and whether they are asked only once."""
        self.in_flight = self.held = 0
        """Those of them that servers have; and that the holder keeps."""
        self._active = world.now
        """When anybody was last asked, as far as the judge knows."""
        self._holder_dead_until = 0.0
        self._led_at: float | None = None
        """Since when clients are sent to the holder; None while they are not."""
        self._proven: set[str] = set()
        """By uid: holders that were ready at some time."""
        self._since: dict[str, float] = {}
        """What has yet to be done for those who ask, and since when."""
        self.slept = self.woken = 0
        """How often the last pods went, and the first came back."""

    def spec(self, limits: dict[str, Any]) -> dict[str, Any]:
        """What a user asks for, of these limits."""
        return {**limits, "min": 0, "idleSeconds": self._idle, "holdSeconds": 60} if self.there else limits

    def limit(self) -> None:
        """A user wants a pod all the time, or does not any more."""
        body = self._world.server.find(kube.MODEL_DEPLOYMENTS, self._of)
        if body is None:
            return
        limits = {key: body["spec"]["autoscaling"][key] for key in ("max", "targetInFlight", "scaleDownSeconds")}
        self._world.edit(autoscaling={**limits, "min": 1} if self._chance.random() < 0.5 else self.spec(limits))

    # What becomes of requests

    def step(self, uid: str, *, calm: bool) -> None:
        """Some time has passed."""
        if not calm:
            self._draw()
        self._keep_holder(uid, calm=calm)
        front = self._leads(self._of)
        self._track(front)
        servers = self._leads(names.servers_name(self._of, uid)) if front == "holder" else front
        reached = self._asking if self._ready(uid, servers) else 0
        self.held = self._asking if front == "holder" and not reached and self._holder_ready(uid) else 0
        if front == "holder" and not self._holder_ready(uid):
            reached = 0
        self.in_flight = reached
        if self.in_flight or self.held:
            self._active = self._world.now

    def _draw(self) -> None:
        if self._asking:
            self._asking = 0 if self._once or self._chance.random() < ENDS else self._asking
        elif self._chance.random() < BEGINS:
            self._asking, self._once = self._chance.choice((1, 3, 19, 42)), self._chance.random() < ONCE

    def calms_down(self) -> None:
        """From now on somebody asks all the time, or nobody does."""
        self._asking, self._once = self._chance.choice((0, 0, 5)), False

    def judge_begins(self) -> None:
        """The judge knows nothing of before."""
        self._active = self._world.now

    def word(self, uid: str) -> dict[str, Any]:
        """What the judge says of those who ask, beside the load of servers."""
        quiet = int(self._world.now - self._active)
        return {"held": self.held, "holders": int(self._holder_ready(uid)), "quietSeconds": quiet}

    def _keep_holder(self, uid: str, *, calm: bool) -> None:
        name, now = names.holder_name(self._of, uid), self._world.now
        if not calm and self._chance.random() < (0.01 if self._led_at is None else 0.05):
            self._holder_dead_until = now + self._chance.choice((5.0, 30.0, 200.0))
            self._world.note("the holder's pod is killed")
        alive = calm or now >= self._holder_dead_until
        report(self._world.server, name, 1 if alive else 0)
        body = self._world.server.find(kube.DEPLOYMENTS, name)
        if body is not None and self._holder_ready(uid):
            self._proven.add(body["metadata"]["uid"])

    def _holder_ready(self, uid: str) -> bool:
        body = self._world.server.find(kube.DEPLOYMENTS, names.holder_name(self._of, uid))
        return body is not None and bool((body.get("status") or {}).get("readyReplicas", 0))

    def _ready(self, uid: str, version: int | str | None) -> bool:
        """Whether a version has pods that answer."""
        body = self._deployment(uid, version) if isinstance(version, int) else None
        if body is None:
            return False
        pods: int = min(body["spec"]["replicas"], (body.get("status") or {}).get("readyReplicas", 0))
        return pods > 0

    def _deployment(self, uid: str, version: int) -> dict[str, Any] | None:
        return self._world.server.find(kube.DEPLOYMENTS, names.object_name(self._of, uid, version))

    def _leads(self, service: str) -> int | str | None:
        """Where a Service leads: to a version, to the holder, or to nobody."""
        body = self._world.server.find(kube.SERVICES, service)
        selector = body["spec"]["selector"] if body is not None else {}
        if selector == names.holders(self._world.uid()):
            return "holder"
        version = int(selector.get(names.LABEL_VERSION, 0))
        return version if version and selector.get(names.LABEL_DEPLOYMENT_UID) == self._world.uid() else None

    def _track(self, front: int | str | None) -> None:
        if front != "holder":
            self._led_at = None
        elif self._led_at is None:
            self._led_at = self._world.now

    # What must hold

    def wrote(self, call: Call) -> None:
        """The operator has written something."""
        front = self._leads(self._of)
        if call[:2] == ("patch", "services") and call.name == self._of and front == "holder" and self._led_at is None:
            body = self._world.server.find(kube.DEPLOYMENTS, names.holder_name(self._of, self._world.uid()))
            if (body is None or body["metadata"]["uid"] not in self._proven) and not self._meddled():
                self._world.fail("clients are sent to a holder that was never ready")
        self._track(front)

    def sleeps(self, uid: str, words: list[tuple[float, dict[str, Any]]]) -> None:
        """A status was written by which no pod is to be left. words: what the judge has said, and when."""
        self.slept += 1
        if self._meddled():
            return
        if self._led_at is None:
            self._world.fail("no pod is to be left, and clients are sent to pods")
            return
        now, settled = self._world.now, self._world.now - self._led_at
        if settled < SETTLED:
            self._world.fail(f"no pod is to be left {settled:.1f} s after clients are sent to the holder")
        since = [word for time, word in words if time >= self._led_at and word["uid"] == uid]
        if not any(not _busy(word) and word["quietSeconds"] >= self._least_idle() for word in since):
            self._world.fail(
                f"no pod is to be left, and since clients are held nobody has said that none asks: {since}"
            )
        if self._world.operator.is_late():
            return
        if self._said(uid).get("holders") == 0:
            self._world.fail("no pod is to be left, and no holder is heard")
        if _busy(self._said(uid)):
            self._world.fail(f"at {now:.0f} no pod is to be left, and somebody asks: {self._said(uid)}")

    def wakes(self, new: Status, words: list[tuple[float, dict[str, Any]]]) -> None:
        """A status was written by which there are pods again."""
        self.woken += 1
        moves = any(new.get(place) for place in ("candidate", "previous", "rollout"))
        if not moves and not any(word["held"] for time, word in words if time >= self._world.now - LATE):
            self._world.fail("pods are to be there again, and nobody has asked")

    def look(self) -> None:
        """Some time has passed: what is to be done for those who ask is done."""
        world, uid, status = self._world, self._world.uid(), self._world.status()
        known = status.get("autoscaling")
        champion = next((each for each in status.get("versions", []) if each["state"] == "Champion"), None)
        body = self._deployment(uid, champion["number"]) if champion is not None else None
        front = self._leads(self._of)
        if known is None or body is None or self._meddled() or not self._understood():
            self._since.clear()
            return
        number = champion["number"] if champion is not None else 0
        held = self._said(uid).get("held", 0)
        self._in_time("requests are held, and no pod is to be made", bool(held) and not known["desired"])
        self._in_time("pods are to be there, and none is made", known["desired"] > 0 and not body["spec"]["replicas"])
        answers = self._ready(uid, number) and known["stage"] in ("Awake", "Waking")
        self._in_time("pods are ready, and clients are sent to the holder", answers and front == "holder")
        holder = world.server.find(kube.DEPLOYMENTS, names.holder_name(self._of, uid))
        self._in_time("clients are sent to a holder that is not there", front == "holder" and holder is None)

    def _in_time(self, what: str, holds: bool) -> None:
        world = self._world
        if not holds:
            self._since.pop(what, None)
            return
        if world.operator.is_late():
            self._since[what] = world.now
        since = max(self._since.setdefault(what, world.now), world.operator.disturbed_at)
        if world.now - since > PROMPT:
            world.fail(f"{what}: for {world.now - since:.0f} s")

    def at_rest(self, uid: str, status: Status, spec: dict[str, Any]) -> None:
        """Nothing happens any more: there is a pod if, and only if, somebody asks."""
        known = status.get("autoscaling")
        champion = next((each for each in status["versions"] if each["state"] == "Champion"), None)
        body = self._deployment(uid, champion["number"]) if champion is not None else None
        if known is None or body is None or self._world.pods.nature(body) != "good":
            return
        sleeps = spec["autoscaling"]["min"] == 0 and not self._asking
        if (known["stage"], bool(known["desired"])) != (("Asleep", False) if sleeps else ("Awake", True)):
            self._world.fail(f"in the end {self._asking} requests are asked at a time, and all is {known}")

    def asleep(self) -> bool:
        """Whether clients are to be sent to the holder."""
        known = self._world.status().get("autoscaling") or {}
        return bool(known) and known["stage"] != "Awake"

    def holders(self, uid: str, spec: dict[str, Any]) -> dict[str, int]:
        """The Deployments that are to be there for it."""
        return {names.holder_name(self._of, uid): 1} if spec["autoscaling"]["min"] == 0 or self.asleep() else {}

    def _said(self, uid: str) -> dict[str, Any]:
        """What stands in the ConfigMap; nothing where that cannot be read."""
        body = self._world.server.find(kube.CONFIG_MAPS, names.judge_name(self._of, uid))
        try:
            found = json.loads(((body or {}).get("data") or {}).get(KEY_LOAD, "{}"))
        except ValueError:
            return {}
        return found if isinstance(found, dict) and found.get("uid") == uid else {}

    def _least_idle(self) -> int:
        limits = [spec["autoscaling"] for spec in self._world.shares.asked_since(self._world.now - LATE)]
        return min((each["idleSeconds"] for each in limits if each["min"] == 0), default=self._idle)

    def _meddled(self) -> bool:
        """Whether somebody has changed by hand what is the operator's, a while ago."""
        return self._world.now - self._world.safety.meddled_at < LATE

    def _understood(self) -> bool:
        """Whether the operator may go by the spec: by all that it may know of it."""
        asked = self._world.shares.asked_since(self._world.now - LATE)
        strict = self._world.operator.version == STRICTER
        return not any({"blueGreen", "recreate"} <= set(spec["rollout"]) or strict for spec in asked)


def _busy(word: dict[str, Any]) -> bool:
    return bool(word.get("held")) or any(each["inFlight"] > 0 for each in word.get("versions", []))
