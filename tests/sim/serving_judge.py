"""The judge of a world of one ModelDeployment, and its servers, as far as they know which shares they are to keep to.

The judge says what a model deserves, by its digest; late, twice, or of a rollout that is long over, as it comes. It is
dead for a while now and then, and knows nothing of before when it comes back. Servers hear of shares one by one.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from headway_api.rollout_wire import KEY_ROUTE, KEY_VERDICT
from headway_operator.engine import kube
from headway_operator.engine.kube import Object
from headway_operator.serving import names
from serving_fleet import report
from sim.fakes.api import ApiServer

TICK = 10.0
"""The judge says so often what it has found, as a real one does at least."""
SERVERS = 2
Held = dict[tuple[str, int, int], dict[str, Any]]


class Judge:
    """The judge and the servers."""

    def __init__(
        self, server: ApiServer, chance: random.Random, now: Callable[[], float], note: Callable[[str], None], of: str
    ) -> None:
        self._server, self._chance, self._now, self._note, self._of = server, chance, now, note, of
        self._merits: dict[str, str] = {}
        """By digest: sound, faulty or quiet, which gets too few requests."""
        self.held: Held = {}
        """What servers keep to, by the deployment's uid, the version that they serve, and which of them it is."""
        self._said: list[str] = []
        self._dead_until = 0.0
        self._stepped = 0.0
        self.wrote_at = 0.0
        self._beat = 0

    def name(self, uid: str) -> str:
        """Of the judge's objects."""
        return names.judge_name(self._of, uid)

    def data(self, uid: str, key: str) -> dict[str, Any]:
        """What stands in the ConfigMap; nothing where that cannot be read."""
        body = self._server.find(kube.CONFIG_MAPS, self.name(uid))
        try:
            found = json.loads(((body or {}).get("data") or {}).get(key, "{}"))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def next(self) -> float:
        """When it says something again."""
        return self._stepped + TICK

    def step(self, uid: str, *, calm: bool) -> None:
        """Some time has passed."""
        if self._now() < self._stepped + 1.0:
            return
        self._stepped = self._now()
        workload = self._server.find(kube.DEPLOYMENTS, self.name(uid))
        if workload is None:
            return
        if not calm and self._chance.random() < 0.02:
            self._dead_until = self._now() + self._chance.choice((20.0, 100.0, 700.0))
            self._note(f"the judge is dead until {self._dead_until - self._now():.0f} s from now")
        alive = calm or self._now() >= self._dead_until
        report(self._server, self.name(uid), workload["spec"]["replicas"] if alive else 0)
        if alive:
            self._hear(uid, calm=calm)

    def _hear(self, uid: str, *, calm: bool) -> None:
        route = self.data(uid, KEY_ROUTE)
        if not route.get("stable"):
            return
        number = int(route["candidate"])
        merit = self._merit(uid, number)
        seen = route.get("share", 0) > 0 or route.get("mirror", 0) > 0
        before = self.data(uid, KEY_VERDICT)
        failed = before.get("verdict") == "fail" and before.get("rollout") == number
        failed = failed or (merit == "faulty" and seen and (calm or self._chance.random() < 0.3))
        following = sum(self._tell(uid, route, server, failed=failed, calm=calm) for server in range(SERVERS))
        enough = calm or (merit == "sound" and self._chance.random() < 0.6)
        found = "fail" if failed else "pass" if enough and seen and merit != "faulty" else "open"
        self._beat += 1
        word = {
            "uid": uid,
            "rollout": number,
            "epoch": route["epoch"],
            "verdict": found,
            "beat": self._beat,
            "servers": SERVERS,
            "following": following,
            "candidateRequests": self._beat,
            "message": "so it is",
            **({"reason": "ErrorRate"} if failed else {}),
        }
        self._say(uid, json.dumps(word), calm=calm)

    def _tell(self, uid: str, route: dict[str, Any], server: int, *, failed: bool, calm: bool) -> bool:
        """A server hears of the route, or not; whether it keeps to it now."""
        place = (uid, int(route["stable"]), server)
        if calm or self._chance.random() < 0.7:
            self.held[place] = {**route, "share": 0.0} if failed else route
        return bool(self.held.get(place, {}).get("epoch") == route["epoch"])

    def _say(self, uid: str, word: str, *, calm: bool) -> None:
        drawn = 1.0 if calm else self._chance.random()
        self._said.append(word)
        if drawn < 0.1:
            return  # It is never heard of.
        if drawn < 0.2:
            word = self._chance.choice(
                self._said[-12:]
            )  # An old word comes late, as from a judge that was thought dead.
        self.wrote_at = self._now()

        def edit(body: Object) -> None:
            body["data"] = {**(body.get("data") or {}), KEY_VERDICT: word}

        self._server.change(kube.CONFIG_MAPS, self.name(uid), edit)

    def _merit(self, uid: str, number: int) -> str:
        body = self._server.find(kube.DEPLOYMENTS, names.object_name(self._of, uid, number))
        if body is None:
            return "sound"
        digest = body["spec"]["template"]["spec"]["initContainers"][0]["command"][-1]
        if digest not in self._merits:
            self._merits[digest] = self._chance.choice(("sound", "sound", "faulty", "quiet"))
        return self._merits[digest]

    def meddle(self, uid: str) -> None:
        """Somebody changes or deletes the ConfigMap by hand."""
        body = self._server.find(kube.CONFIG_MAPS, self.name(uid))
        if body is None:
            return
        drawn = self._chance.random()
        self._note(f"somebody meddles with the ConfigMap {self.name(uid)}: {drawn:.2f}")
        if drawn < 0.3:
            self._server.remove(kube.CONFIG_MAPS, self.name(uid))
            return
        route = self.data(uid, KEY_ROUTE)
        theirs = {**route, "share": 1.0, "epoch": route.get("epoch", 0) + self._chance.choice((0, 0, 1, 50, 2**40))}
        data = (
            {KEY_ROUTE: json.dumps(theirs)} if drawn < 0.7 else {KEY_VERDICT: "{"} if drawn < 0.85 else {KEY_ROUTE: ""}
        )
        self._server.change(kube.CONFIG_MAPS, self.name(uid), lambda body: body["data"].update(data))
