"""The TrainingJobs of a world of one ModelDeployment: they end, publish, go on and are deleted as it comes; and what
the deployment has to know of that in the end."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from headway_operator.engine import kube
from headway_operator.engine.kube import Object
from headway_operator.engine.times import to_seconds, to_text
from sim.fakes.api import ApiServer

MODELS = "23456789abcdef"
Order = tuple[float, str, str]
"""The time of an offer, the job's uid, the model's digest: the greater one is the newer one."""


class Jobs:
    """Jobs that publish to a deployment, or to another one."""

    def __init__(
        self, server: ApiServer, chance: random.Random, now: Callable[[], float], note: Callable[[str], None], to: str
    ) -> None:
        self._server, self._chance, self._now, self._note, self._to = server, chance, now, note, to
        self._count = 0
        self.offered: dict[Order, dict[str, Any]] = {}
        """All that was ever offered to the deployment: the models."""
        self._last_words: list[Order] = []
        """Of jobs that were deleted, as far as the operator must hear them."""
        self._newest: dict[str, Order] = {}
        """What the status of a deployment, by its uid, has said."""

    def act(self) -> None:
        """A job begins, ends, goes on or is deleted."""
        bodies = self._server.of(kube.JOBS)
        running = [body for body in bodies if body["status"]["phase"] == "Running"]
        ended = [body for body in bodies if body not in running]
        drawn = self._chance.random()
        if drawn < 0.3 or not bodies:
            name, ends = self._begin(), self._chance.random() < 0.5
            if ends:
                self._end(name)
            if self._chance.random() < (0.6 if ends else 0.1):
                self._delete(name)
        elif drawn < 0.6 and running:
            self._end(self._chance.choice(running)["metadata"]["name"])
        elif drawn < 0.7 and ended:
            name = self._chance.choice(ended)["metadata"]["name"]
            self._note(f"job {name} goes on")
            self._server.change(kube.JOBS, name, lambda body: body["status"].update(phase="Running"))
        else:
            self._delete(self._chance.choice(bodies)["metadata"]["name"])

    def burst(self) -> None:
        """Several jobs end at about the same time, faster than any rollout could judge what they publish."""
        for _ in range(self._chance.randint(2, 4)):
            self._end(self._begin())

    def lost(self) -> None:
        """Whoever is there now has not heard what was said last before."""
        self._last_words.clear()

    def broken(self, uid: str, status: dict[str, Any], *, at_rest: bool = False) -> str | None:
        """What is wrong about what the status of a deployment of that uid says of the newest model, if anything is."""
        published = status.get("published")
        order = _order(published["time"], published["uid"], published["source"]) if published else None
        if order is not None and order not in self.offered:
            return f"{published} was never offered"
        before = self._newest.get(uid)
        if before is not None and (order is None or order < before):
            return f"the newest model was {before}, and goes back to {order}"
        if order is not None:
            self._newest[uid] = order
        newest = max([*self._there(), *self._last_words], default=None)
        if at_rest and newest is not None and (order is None or order < newest):
            return f"{newest} was published, and in the end {order} is taken for the newest"
        return None

    def _begin(self) -> str:
        self._count += 1
        name = f"job-{self._count}"
        to = self._to if self._chance.random() < 0.8 else "another"
        publish = {"publish": {"deployment": to}} if self._chance.random() < 0.9 else {}
        self._note(f"job {name} begins, for {to if publish else 'nobody'}")
        body = {"metadata": {"name": name}, "spec": publish, "status": {"phase": "Running"}}
        self._server.create(kube.JOBS, "default", body)
        return name

    def _end(self, name: str) -> None:
        # What is listed late has ended before others that were listed.
        time = to_text(self._now() - self._chance.choice((0, 0, 0, 40, 400)))
        phase = "Succeeded" if self._chance.random() < 0.85 else "Failed"
        claim = {"name": "models", "path": f"default/{name}"}
        digest = f"sha256:{self._chance.choice(MODELS) * 64}"
        bundle = {"digest": digest, "persistentVolumeClaim": claim}
        status = {"phase": phase, "completionTime": time, "result": {"bundle": bundle}}
        self._note(f"job {name} ends as {phase} with {digest[:9]}, {time}")
        self._server.change(kube.JOBS, name, lambda body: body.update(status=status))
        self._there()

    def _delete(self, name: str) -> None:
        body = self._server.find(kube.JOBS, name)
        if body is not None:
            self._note(f"job {name} is deleted")
            self._last_words += self._offers(body)
            self._server.remove(kube.JOBS, name)

    def _there(self) -> list[Order]:
        return [order for body in self._server.of(kube.JOBS) for order in self._offers(body)]

    def _offers(self, body: Object) -> list[Order]:
        publish, status = body["spec"].get("publish"), body["status"]
        if status["phase"] != "Succeeded" or not publish or publish["deployment"] != self._to:
            return []
        source = status["result"]["bundle"]
        order = _order(status["completionTime"], body["metadata"]["uid"], source)
        self.offered[order] = source
        return [order]


def _order(time: str, uid: str, source: dict[str, Any]) -> Order:
    return to_seconds(time) or 0.0, uid, source["digest"]
