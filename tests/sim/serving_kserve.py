"""KServe in a world of one ModelDeployment: it makes a Deployment of each InferenceService, and tells little of it.

The Deployment is called as the InferenceService is, where KServe puts `-predictor` behind it: so what the world does to
Deployments, and what must hold of them, holds of these, too.
"""

from __future__ import annotations

import random
from typing import Any

from headway_operator.engine import kube
from headway_operator.engine.keys import controller_of
from headway_operator.engine.kube import Object
from headway_operator.serving import names
from sim.fakes.api import ApiServer

FIRST_KSERVE_SEED = 500_000
"""Worlds from this seed on, and below those of gateways, have KServe: those before are what they were."""
KIND = kube.INFERENCE_SERVICES.kind


class KServe:
    """Its controller."""

    def __init__(self, server: ApiServer, chance: random.Random) -> None:
        self._server, self._chance = server, chance
        self.made = 0
        """How many InferenceServices it has seen."""

    def step(self, *, calm: bool) -> None:
        """Deployments become what InferenceServices ask for, sooner or later."""
        services = {body["metadata"]["uid"]: body for body in self._server.of(kube.INFERENCE_SERVICES)}
        for body in self._server.of(kube.DEPLOYMENTS):
            owner = controller_of(body)
            if owner is not None and owner.key.kind == KIND and owner.uid not in services:
                self._set_pods(body, 0, 0)
                self._server.remove(kube.DEPLOYMENTS, body["metadata"]["name"])
        for service in services.values():
            if calm or self._chance.random() < 0.7:
                self._reconcile(service)

    def tell(self, *, calm: bool) -> None:
        """Pods are as their Deployments say, and so much of it as KServe tells is told."""
        for service in self._server.of(kube.INFERENCE_SERVICES):
            body = self._server.find(kube.DEPLOYMENTS, service["metadata"]["name"])
            if body is None or (controller_of(body) or ("", ""))[1] != service["metadata"]["uid"]:
                continue
            wanted, ready = body["spec"]["replicas"], (body.get("status") or {}).get("readyReplicas", 0)
            self._set_pods(body, wanted, ready)
            if not calm and self._chance.random() < 0.05:
                self._say(service, "False", "ReconcileFailed")
            elif ready >= wanted and (calm or self._chance.random() < 0.7):
                # It says so still when pods are lost.
                self._say(service, "True", "NewReplicaSetAvailable")

    def ready(self, uid: str, number: int) -> bool:
        """Whether an InferenceService has as many ready pods as it asks for."""
        labels = {names.LABEL_DEPLOYMENT_UID: uid, names.LABEL_VERSION: str(number)}.items()
        own = [
            body for body in self._server.of(kube.INFERENCE_SERVICES) if labels <= body["metadata"]["labels"].items()
        ]
        pods = [body for body in self._server.of(kube.PODS) if labels <= body["metadata"]["labels"].items()]
        ready = sum(body["status"]["conditions"][0]["status"] == "True" for body in pods)
        return any(ready >= body["spec"]["predictor"]["minReplicas"] for body in own)

    def _reconcile(self, service: Object) -> None:
        meta, predictor = service["metadata"], service["spec"]["predictor"]
        body = self._server.find(kube.DEPLOYMENTS, meta["name"])
        if body is not None:
            if body["spec"]["replicas"] != predictor["minReplicas"]:
                spec = {"replicas": predictor["minReplicas"]}
                self._server.change(kube.DEPLOYMENTS, meta["name"], lambda body: body["spec"].update(spec))
            return
        self.made += 1
        owner = {"apiVersion": service["apiVersion"], "kind": KIND, "name": meta["name"], "uid": meta["uid"]}
        labels = {**meta["labels"], **predictor["labels"]}
        made: Object = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": meta["name"], "labels": labels, "ownerReferences": [{**owner, "controller": True}]},
            "spec": {
                "replicas": predictor["minReplicas"],
                "template": {"metadata": {"labels": labels}, "spec": predictor},
            },
        }
        self._server.create(kube.DEPLOYMENTS, meta["namespace"], made)

    def _set_pods(self, deployment: Object, count: int, ready: int) -> None:
        meta = deployment["metadata"]
        labels = {key: meta["labels"][key] for key in (names.LABEL_DEPLOYMENT_UID, names.LABEL_VERSION)}
        for body in self._server.of(kube.PODS):
            name, _, index = body["metadata"]["name"].rpartition("-")
            if name == meta["name"] and (index == "x" if not count else index.isdigit() and int(index) >= count):
                self._server.remove(kube.PODS, body["metadata"]["name"])
        for index in range(count):
            name = f"{meta['name']}-{index}"
            status = {"conditions": [{"type": "Ready", "status": "True" if index < ready else "False"}]}
            if self._server.find(kube.PODS, name) is None:
                owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": meta["uid"]}
                metadata = {"name": name, "labels": labels, "ownerReferences": [{**owner, "controller": True}]}
                self._server.create(kube.PODS, meta["namespace"], {"metadata": metadata})
            self._server.report(kube.PODS, name, status)

    def _say(self, service: Object, status: str, reason: str) -> None:
        said: dict[str, Any] = {"conditions": [{"type": "PredictorReady", "status": status, "reason": reason}]}
        self._server.report(kube.INFERENCE_SERVICES, service["metadata"]["name"], said)
