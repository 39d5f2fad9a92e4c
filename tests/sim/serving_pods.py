"""The Deployments of a world of one ModelDeployment. What becomes of their pods depends on the model they serve."""

from __future__ import annotations

import random
from collections.abc import Collection

from headway_operator.engine import kube
from headway_operator.engine.kube import Object
from headway_operator.serving import names
from serving_fleet import pod, report
from sim.fakes.api import ApiServer
from sim.serving_kserve import KServe


class Pods:
    """Controllers and kubelets."""

    def __init__(self, server: ApiServer, chance: random.Random, *, sound: int) -> None:
        """sound: so many of every `sound` + 3 models work for good."""
        self._server, self._chance, self._sound = server, chance, sound
        self.kserve: KServe | None = None
        """Who makes a part of the Deployments, in some worlds."""
        self.natures: dict[str, str] = {}
        """By digest: good, fades, never or crashes."""
        self.proven: set[tuple[str, int]] = set()
        """Versions, by the deployment's uid and their number, of which all pods were ready at some time."""

    def step(self, *, calm: bool) -> None:
        """Some time passes."""
        if self.kserve is not None:
            self.kserve.step(calm=calm)
        for body in self.deployments():
            name, nature = body["metadata"]["name"], self.nature(body)
            wanted = body["spec"]["replicas"]
            if nature == "never":
                report(self._server, name, 0)
            elif nature == "crashes":
                report(self._server, name, 0)
                pod(self._server, body, waiting="CrashLoopBackOff", said="no such input", restarts=3)
            elif calm or self._chance.random() < 0.5:
                ready = wanted if calm else self._chance.randint(0, wanted)
                report(self._server, name, max(ready, min(wanted, _ready(body))))
                if nature == "fades" and self._chance.random() < 0.05 and not calm:
                    self.natures[digest_of(body)] = "crashes"
            self._prove(name)
        if self.kserve is not None:
            self.kserve.tell(calm=calm)

    def lose(self, names: Collection[str]) -> None:
        """All pods of these Deployments go at once, as those of a node do; others come in their place."""
        for name in names:
            report(self._server, name, 0)

    def deployments(self) -> list[Object]:
        """All Deployments but those of judges and holders."""
        found = self._server.of(kube.DEPLOYMENTS)
        return [body for body in found if not body["metadata"]["name"].endswith(("-judge", "-holder"))]

    def _prove(self, name: str) -> None:
        body = self._server.find(kube.DEPLOYMENTS, name)
        if body is None:
            return
        meta, status = body["metadata"], body.get("status") or {}
        whole = status.get("readyReplicas", 0) >= body["spec"]["replicas"] > 0
        if whole and status.get("observedGeneration") == meta["generation"]:
            self.proven.add((meta["labels"][names.LABEL_DEPLOYMENT_UID], int(meta["labels"][names.LABEL_VERSION])))

    def were_ready(self, uid: str, number: int) -> bool:
        """Whether all pods of a version are ready, or were at some time.

        KServe hears of another number after the operator has said it: the pods that are asked for count there.
        """
        if self.kserve is not None and self.kserve.ready(uid, number):
            self.proven.add((uid, number))
        return (uid, number) in self.proven

    def nature(self, body: Object) -> str:
        """What becomes of a Deployment's pods."""
        digest = digest_of(body)
        if digest not in self.natures:
            good = ("good",) * self._sound
            self.natures[digest] = self._chance.choice((*good, "fades", "never", "crashes"))
        return self.natures[digest]


def digest_of(body: Object) -> str:
    """That of the model that a Deployment serves."""
    digest: str = body["spec"]["template"]["spec"]["initContainers"][0]["command"][-1]
    return digest


def _ready(body: Object) -> int:
    return int((body.get("status") or {}).get("readyReplicas", 0))
