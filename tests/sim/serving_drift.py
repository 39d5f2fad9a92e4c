"""Drift in a world of one ModelDeployment, as its judge tells of it: late, of another version, broken, or not at all.

What the status says of it is held against all that was ever said. It draws from a chance of its own.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from headway_api.drift_wire import KEY_DRIFT, KEY_WATCH
from headway_operator.engine import kube
from headway_operator.engine.kube import Object
from headway_operator.engine.times import to_seconds
from headway_operator.serving import names
from headway_operator.serving.plan.drift import FRESH_SECONDS, TURN_SECONDS

if TYPE_CHECKING:
    from sim.serving import ServingWorld

Status = dict[str, Any]
FIRST_DRIFT_SEED = 10_000_000
"""From here on the requests of worlds are watched for drift, and no gateways split them."""
BEAT = 30.0
LATE = 200.0
"""The operator may have been dead, or its watches behind, for so long: what it knows is of then."""
STATES = ("Stable", "Stable", "Drifted", "Drifted", "Insufficient", "Unavailable")
BROKEN = ("", "{", "[]", "null", '{"state": "Drifted"}', '{"uid": 7, "state": "Stable"}', '{"state": "Cursed"}')


class Drifting:
    """Those who ask for it, and the judge that tells of it."""

    def __init__(self, world: ServingWorld, seed: int, of: str) -> None:
        self._world, self._of = world, of
        self._chance = random.Random(f"drift of {seed}")  # noqa: S311 - nobody is to be kept from guessing it
        self._stepped = self._silent_until = 0.0
        self._beat = 0
        self._silent = self._chance.random() < 0.3
        """Whether the judge says nothing any more in the end."""
        self._said: list[tuple[float, Status]] = []
        """All words that can be read, and when they were written."""
        self.begun = 0.0
        """When the operator has begun last: for a while it cannot tell how old a word is that it finds."""
        self.told = 0
        """How often the status has said Stable or Drifted anew."""

    def spec(self) -> Status:
        """What a user asks for."""
        rows = self._chance.choice((100, 1000, 100_000))
        return {"drift": {"sample": self._chance.choice((0.01, 1)), "window": {"rows": rows}}}

    def next(self) -> float:
        """When anything of this happens again."""
        return self._stepped + BEAT

    def step(self, *, calm: bool) -> None:
        """Some time has passed."""
        world = self._world
        if world.now < self.next():
            return
        self._stepped = world.now
        drawn = 1.0 if calm else self._chance.random()
        if drawn < 0.03:
            world.edit(monitoring=None if self._chance.random() < 0.5 else self.spec())
        elif drawn < 0.09:
            self._silent_until = world.now + self._chance.choice((100.0, 1500.0))
        if not self._silent if calm else world.now >= self._silent_until:
            self._say(world.uid(), calm=calm)

    def _say(self, uid: str, *, calm: bool) -> None:
        watch = self._world.judge.data(uid, KEY_WATCH)
        if watch.get("uid") != uid:
            return
        self._beat += 1
        state = self._state(calm=calm)
        word = {"uid": uid, "version": watch["version"], "state": state, "beat": self._beat, "windows": self._beat}
        if state in ("Stable", "Drifted"):
            word |= {"score": self._chance.uniform(0.0, 3.0), "features": [{"name": "age", "score": 2.0}]}
        drawn = 1.0 if calm else self._chance.random()
        if drawn < 0.1 and self._said:
            word = self._chance.choice(self._said[-6:])[1]
        elif drawn < 0.15:
            word["version"] += 1
        elif drawn < 0.2:
            word["uid"] = "that of another"
        text = self._chance.choice(BROKEN) if 0.2 <= drawn < 0.3 else json.dumps(word)
        if not 0.2 <= drawn < 0.3:
            self._said.append((self._world.now, word))

        def edit(body: Object) -> None:
            body["data"] = {**(body.get("data") or {}), KEY_DRIFT: text}

        self._world.server.change(kube.CONFIG_MAPS, names.judge_name(self._of, uid), edit)

    def _state(self, *, calm: bool) -> str:
        """In the end it is one for good."""
        return "Drifted" if calm else self._chance.choice(STATES)

    def moved(self, uid: str, old: Status, new: Status) -> None:
        """A status was written."""
        drift, told = new.get("drift"), _condition(new)
        if (drift is None) != (told is None):
            self._world.fail(f"the status says of drift {drift}, and the condition is {told}")
        if drift is None or told is None:
            return
        if drift["version"] != new.get("champion"):
            self._world.fail(f"{drift['version']} is said to be {drift['state']}, and {new.get('champion')} answers")
        known = {"Stable": "False", "Drifted": "True"}.get(drift["state"], "Unknown")
        if told["status"] != known:
            self._world.fail(f"the state is {drift['state']}, and the condition is {told['status']}")
        if drift["state"] in ("Stable", "Drifted"):
            self.told += drift != old.get("drift")
            self._was_said(uid, drift, new)
        self._look_at_turn(_condition(old), told)

    def _was_said(self, uid: str, drift: Status, status: Status) -> None:
        number = next(each["number"] for each in status["versions"] if each["name"] == drift["version"])
        said = (uid, number, drift["state"])
        times = [time for time, word in self._said if (word["uid"], word["version"], word["state"]) == said]
        new = bool(times) and times[-1] >= self._world.now - FRESH_SECONDS - LATE
        if not new and (not times or self._world.now > self.begun + FRESH_SECONDS):
            self._world.fail(f"{drift['version']} is said to be {drift['state']}, and nobody has said so of late")

    def _look_at_turn(self, old: Status | None, new: Status) -> None:
        """Whoever turns between the two each second is told of now and then."""
        if old is None or {old["status"], new["status"]} != {"True", "False"}:
            return
        since = to_seconds(old["lastTransitionTime"]) or 0.0
        if self._world.now < since + TURN_SECONDS - 1.0 and _version(old) == _version(new):
            self._world.fail(f"drift turns to {new['status']} {self._world.now - since:.0f} s after it has turned")

    def at_rest(self, uid: str, status: Status, spec: Status) -> bool:
        """Nothing happens any more; whether the judge is to be there for this."""
        watch, drift = self._world.judge.data(uid, KEY_WATCH), status.get("drift")
        champion = next((each for each in status["versions"] if each["name"] == status.get("champion")), None)
        if spec.get("monitoring") is None or champion is None:
            if watch or drift is not None:
                self._world.fail(f"nothing is to be watched in the end, and there are {watch} and {drift}")
            return spec.get("monitoring") is not None and champion is not None
        if (watch.get("uid"), watch.get("version")) != (uid, champion["number"]):
            self._world.fail(f"in the end version {champion['number']} answers, and the judge is to watch {watch}")
        if watch["rows"] != spec["monitoring"]["drift"]["window"]["rows"]:
            self._world.fail(f"in the end the judge is told of windows of {watch['rows']} rows")
        if drift is None or drift["state"] != ("Unavailable" if self._silent else "Drifted"):
            what = "nobody tells of drift" if self._silent else "the judge says that requests drift"
            self._world.fail(f"in the end {what}, and the status says {drift}")
        return True


def _condition(status: Status) -> Status | None:
    return next((each for each in status.get("conditions", ()) if each["type"] == "Drifted"), None)


def _version(condition: Status) -> str:
    """The version that a sentence is about."""
    return str(condition.get("message", "")).partition(" version ")[2].partition(" ")[0]
