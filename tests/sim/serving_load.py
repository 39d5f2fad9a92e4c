"""The load of a world of one ModelDeployment, as its judge tells of it: late, of a part of the servers, or not at all.

What comes of it is held against what was ever said: nobody takes pods away without a word that asks for it, and all
that was asked for lately is there.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from headway_api.rollout_wire import KEY_LOAD
from headway_operator.engine import kube
from headway_operator.engine.kube import Object
from headway_operator.engine.times import to_seconds
from headway_operator.serving import names
from headway_operator.serving.plan.load import FRESH_SECONDS
from sim.fakes.api import ApiServer
from sim.serving_zero import Zero

Status = dict[str, Any]
BEAT = 10.0
SHORT_BEAT, CALM_BEAT = 5.0, 15.0
"""Where there may be no pod: between two looks of the judge, and between two words that say the same."""
LATE = 200.0
"""The operator may have seen of a spec or a word only now what was written so long ago."""
TARGET = 10
WINDOW = 100.0


class Load:
    """The servers of all versions, and what is known of them. It draws from a chance of its own."""

    def __init__(
        self,
        server: ApiServer,
        seed: int,
        now: Callable[[], float],
        fail: Callable[[str], None],
        of: str,
        *,
        zero: Zero,
    ) -> None:
        self._server, self._now, self._fail, self._of = server, now, fail, of
        self._chance = random.Random(f"load of {seed}")  # noqa: S311 - nobody is to be kept from guessing it
        self._in_flight = 5.0
        self.zero = zero if zero.there else None
        """Whether there may be no pod."""
        self._silent_until = 0.0
        self._stepped = 0.0
        self._beat = 0
        self._words: list[tuple[float, dict[str, Any]]] = []
        """All that was ever written, and when."""
        self._limits: list[tuple[float, dict[str, Any], int]] = []
        """All that users have asked for: when, the limits, and `spec.replicas`."""
        self.changes = 0

    def spec(self) -> dict[str, Any]:
        """What a user asks for."""
        least = self._chance.randint(1, 3)
        most = least + self._chance.randint(0, 6)
        limits = {"min": least, "max": most, "targetInFlight": TARGET, "scaleDownSeconds": int(WINDOW)}
        return limits if self.zero is None else self.zero.spec(limits)

    def wanted(self, spec: dict[str, Any]) -> None:
        """A user has changed the spec."""
        self._limits.append((self._now(), spec["autoscaling"], spec["replicas"]))

    def next(self) -> float:
        """When the judge says something again."""
        return self._stepped + (BEAT if self.zero is None else SHORT_BEAT)

    def step(self, uid: str, *, calm: bool) -> None:
        """Some time has passed."""
        if self._now() < self.next():
            return
        self._stepped = self._now()
        if not calm:
            drawn = self._chance.random()
            if drawn < 0.15:
                self._in_flight = self._chance.choice((0.0, 3.0, 19.0, 42.0, 80.0))
            elif drawn < 0.2:
                self._silent_until = self._now() + self._chance.choice((30.0, 100.0, 700.0))
        if self.zero is not None:
            self.zero.step(uid, calm=calm)
            self._in_flight = float(self.zero.in_flight)
            if not calm and self._now() < self._silent_until:
                self.zero.judge_begins()
        if calm or self._now() >= self._silent_until:
            self._say(uid, calm=calm)

    def _say(self, uid: str, *, calm: bool) -> None:
        versions = []
        for body in self._server.of(kube.DEPLOYMENTS):
            number = body["metadata"]["labels"].get(names.LABEL_VERSION)
            ready = (body.get("status") or {}).get("readyReplicas", 0)
            heard = ready if calm or self._chance.random() < 0.7 else self._chance.randint(0, ready)
            if number is not None and heard and body["metadata"]["labels"][names.LABEL_DEPLOYMENT_UID] == uid:
                # The ready pods share all of it, and some of them are not heard.
                told = round(self._in_flight * heard / ready, 3)
                versions.append({"version": int(number), "servers": heard, "inFlight": told})
        self._beat += 1
        word = {"uid": uid, "versions": versions, "beat": self._beat}
        if self.zero is not None:
            word |= self.zero.word(uid)
            if not self._is_due(word):
                return
        drawn = 1.0 if calm else self._chance.random()
        if drawn < 0.1:
            return
        if drawn < 0.2 and self._words:
            word = self._chance.choice(self._words[-6:])[1]
        text = json.dumps(word) if drawn >= 0.23 else self._chance.choice(("", "{", "[]", '{"uid": 7}'))
        self._words.append((self._now(), word))

        def edit(body: Object) -> None:
            body["data"] = {**(body.get("data") or {}), KEY_LOAD: text}

        self._server.change(kube.CONFIG_MAPS, names.judge_name(self._of, uid), edit)

    def _is_due(self, word: dict[str, Any]) -> bool:
        """Whether a judge says it: that somebody is held, what is new, and now and then that servers are there."""
        time, last = self._words[-1] if self._words else (0.0, {})
        news = any(word[part] != last.get(part) for part in ("uid", "versions", "held", "holders"))
        return bool(word["held"]) or news or (bool(word["versions"]) and self._now() - time >= CALM_BEAT)

    def moved(self, uid: str, old: Status, new: Status) -> None:
        """A status was written."""
        before, after = old.get("autoscaling"), new.get("autoscaling")
        if before is None or after is None or before["desired"] == after["desired"]:
            return
        self.changes += 1
        number, was = after["desired"], before["desired"]
        asked = [each for each in self._limits if each[0] >= self._now() - LATE] or self._limits[-1:]
        earlier = [each for each in self._limits if each[0] < self._now() - LATE][-1:]
        known = [*earlier, *asked]
        if not any(limits["min"] <= number <= limits["max"] for _, limits, _ in known):
            self._fail(f"{number} pods are to be there, and {known} were asked for")
        by_hand = before["asked"] != after["asked"] or len({str(limits) for _, limits, _ in known}) > 1
        # A version may begin in the same turn: the number was decided before, by the load of all requests.
        if number < was and any(old.get(place) for place in ("candidate", "previous", "rollout")) and not by_hand:
            self._fail(f"from {was} to {number} pods while versions change places")
        if self.zero is not None and not number:
            self.zero.sleeps(uid, self._words)
        elif self.zero is not None and not was and not by_hand:
            self.zero.wakes(new, self._words)
        if number and was and not by_hand:
            self._by_load(uid, known[-1][1], old, new)

    def _by_load(self, uid: str, limits: dict[str, Any], old: Status, new: Status) -> None:
        """The load has asked for another number of pods."""
        before, number, champion = old["autoscaling"], new["autoscaling"]["desired"], _champion(new)
        was = before["desired"]
        loads = self._heard(uid, champion)
        if not loads:
            self._fail(f"from {was} to {number} pods, and nothing was heard of the load of version {champion}")
        elif number > was and max(loads) <= was * TARGET * 1.1 - 1e-6:
            self._fail(f"from {was} to {number} pods, and no more than {max(loads)} requests were in flight")
        elif number > 2 * was:
            self._fail(f"from {was} to {number} pods at once")
        elif number < was:
            self._fewer(limits, loads, was, number, before)

    def _fewer(self, limits: dict[str, Any], loads: list[float], was: int, number: int, before: Status) -> None:
        if number < limits["min"] or min(loads) > number * TARGET:
            self._fail(f"from {was} to {number} pods, and never fewer than {min(loads)} requests were in flight")
        lately = [each for each in before["recent"] if (to_seconds(each["until"]) or 0.0) > self._now() - WINDOW + 1.0]
        if number < max([before.get("recommended") or 0, *(each["replicas"] for each in lately)]):
            self._fail(f"from {was} to {number} pods, and lately more were asked for: {before}")

    def _heard(self, uid: str, version: int) -> list[float]:
        """What the operator may go by now: the loads of a version in words that are not too old."""
        found = []
        for time, word in self._words:
            if time >= self._now() - FRESH_SECONDS - LATE and word["uid"] == uid:
                found += [each["inFlight"] for each in word["versions"] if each["version"] == version]
        return found

    def at_rest(self, uid: str, status: Status, spec: dict[str, Any]) -> None:
        """Nothing happens any more, and the load is the same for long."""
        scaling, limits = status.get("autoscaling"), spec["autoscaling"]
        if self.zero is not None:
            self.zero.at_rest(uid, status, spec)
        champion = _champion(status)
        told = self._words[-1][1]["versions"] if self._words else []
        if scaling is None or not any(each["version"] == champion for each in told):
            return
        number = scaling["desired"]
        most = max(limits["min"], min(limits["max"], int(-(-self._in_flight // TARGET))))
        within = number * TARGET * 0.9 - 1e-6 <= self._in_flight <= number * TARGET * 1.1 + 1e-6
        if number != most and not within:
            self._fail(f"in the end there are {number} pods, and {self._in_flight} requests in flight ask for {most}")


def _champion(status: Status) -> int:
    """The number of the version that answers; 0 where there is none."""
    return next((each["number"] for each in status["versions"] if each["name"] == status.get("champion")), 0)
