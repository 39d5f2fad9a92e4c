"""The kind ModelDeployment, as the engine takes it: what is watched, how a decision is made, and what is measured."""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pydantic import ValidationError

from headway_api import API_VERSION
from headway_api.deployment import ModelDeploymentSpec
from headway_api.deployment_status import ModelDeploymentStatus
from headway_operator.engine import kube
from headway_operator.engine.kinds import Child, Measures, Owner, Referrer, View
from headway_operator.engine.kube import Resource
from headway_operator.engine.packed import Packed
from headway_operator.engine.parsed import Parsed
from headway_operator.engine.steps import Decision, Read, StatusWrite
from headway_operator.serving import kserve, names, records, routes
from headway_operator.serving.identity import same
from headway_operator.serving.measures import Decided, DeploymentMeasures
from headway_operator.serving.plan.decide import LOOK_SECONDS
from headway_operator.serving.plan.decide import plan as decide
from headway_operator.serving.plan.model import Defaults, Gateways, KServe, Plan, Situation, Workload
from headway_operator.serving.plan.spec import resolve
from headway_operator.serving.plan.status import essential
from headway_operator.serving.steps import counts, pods_of, reads, render, token_of

logger = logging.getLogger(__name__)

TOKEN_BYTES = 32
ROUTES = (kube.HTTP_ROUTES, kube.GRPC_ROUTES)
KEPT = 64
"""Specs and statuses that were read, kept at hand: as many as deployments are looked at at a time, and some more."""

Resolved = tuple[ModelDeploymentSpec | None, tuple[str, ...]]


class ModelDeployments:
    """The kind."""

    name = "ModelDeployment"
    resource = kube.MODEL_DEPLOYMENTS
    children: tuple[Child, ...] = (
        Child(kube.DEPLOYMENTS, names.WATCHED, records.workload),
        Child(kube.SERVICES, names.WATCHED, records.front),
        Child(kube.CONFIG_MAPS, names.WATCHED_CONFIGS, records.rollout, can_wait=records.only_counts),
        Child(kube.AUTOSCALERS, names.WATCHED, records.autoscaler, same=same),
    )
    """With `gateways`, the routes of these, too; with `inference_services`, these."""
    makes: tuple[Resource, ...] = (kube.NETWORK_POLICIES, kube.DISRUPTION_BUDGETS, kube.SECRETS)
    shares: tuple[Resource, ...] = (kube.SERVICE_ACCOUNTS, kube.ROLE_BINDINGS)
    expires = False
    changes: tuple[Resource, ...] = (kube.DEPLOYMENTS, kube.SERVICES, kube.CONFIG_MAPS, kube.AUTOSCALERS)
    lists: tuple[Resource, ...] = (kube.PODS,)
    referrers: tuple[Referrer, ...] = (Referrer(kube.JOBS, records.offer),)
    busy_with = kube.DEPLOYMENTS

    measures: Measures

    def __init__(
        self,
        *,
        defaults: Defaults,
        pull_policy: str,
        measures: DeploymentMeasures,
        new_token: Callable[[], str] = lambda: secrets.token_hex(TOKEN_BYTES),
        gateways: Callable[[Resource], bool] | None = None,
        inference_services: Callable[[], bool] | None = None,
    ) -> None:
        """gateways: whether the API server serves a kind of route; None: the operator has no right to any.
        inference_services: the same of KServe's InferenceServices."""
        self.measures = measures
        self._defaults = defaults
        self._pull_policy = pull_policy
        self._new_token = new_token
        self._specs = Parsed[Resolved](KEPT)
        self._statuses = Parsed[tuple[ModelDeploymentStatus, Any]](KEPT)
        """As models, and as they were written."""
        self._served = gateways
        if gateways is not None:
            self.children += tuple(_route(resource, gateways) for resource in ROUTES)
            self.changes += ROUTES
        self._kserve = inference_services
        if inference_services is not None:
            self.children += (_inference_services(inference_services),)
            self.changes += (kube.INFERENCE_SERVICES,)

    def selector(self, owner: Owner) -> str:
        """The label that all objects of a deployment have."""
        return f"{names.LABEL_DEPLOYMENT_UID}={owner.uid}"

    def flags(self, _: Mapping[str, Any]) -> frozenset[str]:
        """Nothing is counted."""
        return frozenset()

    def plan(self, view: View) -> Decision:
        """What is to be done about a deployment now."""
        owner = view.owner
        if owner.deleting:
            return Decision()
        try:
            status, written = self._statuses.get(owner.uid, owner.status, _status)
        except ValidationError as error:
            # A newer operator may have written it. To begin anew would take away what answers.
            logger.error("its status cannot be read, it is left alone: %s", error, extra=owner.key.fields())
            return Decision()
        uncounted = self._uncounted(view, status)
        if uncounted:
            return Decision(reads=uncounted)
        situation = self._situation(view, status)
        plan = decide(situation)
        if plan.verify or plan.look_at:
            return Decision(reads=reads(situation, plan))
        made, token, wake = view.made, token_of(situation, plan), plan.wake
        if token is not None and not plan.moved:
            if token not in view.facts.done:
                return Decision(reads=(token,))
            made -= {(ref.resource.plural, ref.name) for ref in token.refs if not view.facts.existing.get(ref, True)}
            wake = min(view.now + LOOK_SECONDS, wake or math.inf)
        stages = () if plan.moved else render(situation, plan, made, self._pull_policy, self._new_token)
        return Decision(
            stages=stages,
            status=_status_write(view, plan, written),
            notices=plan.notices,
            # What was done here is no news when a watch shows it, and the status is to tell of it.
            wake=view.now if stages else wake,
            log=tuple(f"version {number}: its objects go" for number in plan.remove),
            forget=tuple(offer.uid for offer in situation.offers),
            detail=Decided(status, plan.status),
        )

    def _resolve(self, owner: Owner, packed: Packed) -> Resolved:
        if packed.too_large:
            return None, (f"spec: is too large: {packed.size} bytes as JSON",)
        document: Mapping[str, Any] = {
            "apiVersion": API_VERSION,
            "kind": self.name,
            "metadata": {"name": owner.key.name, "namespace": owner.key.namespace},
            "spec": packed.value(),
        }
        return resolve(document, self._defaults)

    @staticmethod
    def _uncounted(view: View, status: ModelDeploymentStatus) -> tuple[Read, ...]:
        """What is to be read before anything is decided: the pods of which KServe does not tell how many are ready."""
        known = {version.number for version in status.versions}
        found = view.children.get(kube.INFERENCE_SERVICES, ())
        numbers = sorted(each.number for each in found if each.number in known and not each.deleting)
        return tuple(read for read in counts(view.owner.uid, numbers) if read.labels not in view.facts.listed)

    def _situation(self, view: View, status: ModelDeploymentStatus) -> Situation:
        owner, facts = view.owner, view.facts
        spec, problems = self._specs.get(owner.uid, owner.spec, partial(self._resolve, owner))
        numbers = {version.number for version in status.versions}
        workloads = {each.number: each for each in view.children[kube.DEPLOYMENTS]}
        found = {number: facts.listed.get(pods_of(owner.uid, number)) for number in numbers}
        pods = {number: each for number, each in found.items() if each is not None}
        services: tuple[Workload, ...] = view.children.get(kube.INFERENCE_SERVICES, ())
        return Situation(
            name=owner.key.name,
            namespace=owner.key.namespace,
            uid=owner.uid,
            generation=owner.generation,
            now=view.now,
            status=status,
            spec=spec,
            problems=problems,
            workloads=dict(kserve.counted(services, pods))
            | {number: each for number, each in workloads.items() if number > 0},
            fronts={each.number: each for each in view.children[kube.SERVICES]},
            refusals=view.refusals,
            verified=facts.verified,
            pods=pods,
            defaults=self._defaults,
            offers=view.references,
            rollout=next(iter(view.children[kube.CONFIG_MAPS]), None),
            judge=workloads.get(names.JUDGE),
            holder=workloads.get(names.HOLDER),
            autoscaler=next(iter(view.children[kube.AUTOSCALERS]), None),
            kserve=KServe(self._kserve is not None, self._kserve is not None and self._kserve()),
            gateways=self._gateways(),
            http_route=next(iter(view.children.get(kube.HTTP_ROUTES, ())), None),
            grpc_route=next(iter(view.children.get(kube.GRPC_ROUTES, ())), None),
        )

    def _gateways(self) -> Gateways:
        if self._served is None:
            return Gateways()
        return Gateways(True, self._served(kube.HTTP_ROUTES), self._served(kube.GRPC_ROUTES))


def _route(resource: Resource, served: Callable[[Resource], bool]) -> Child:
    return Child(resource, names.WATCHED, routes.route, same=same, served=lambda: served(resource))


def _inference_services(served: Callable[[], bool]) -> Child:
    return Child(kube.INFERENCE_SERVICES, names.WATCHED, kserve.workload, same=same, served=served)


def _status(packed: Packed) -> tuple[ModelDeploymentStatus, Any]:
    return ModelDeploymentStatus.model_validate_json(packed.text()), packed.value()


def _status_write(view: View, plan: Plan, before: Any) -> StatusWrite | None:
    status = essential(plan.status) if view.status_refused else plan.status
    whole = _written(status)
    if whole == before:
        return None
    return StatusWrite(whole, lambda: _written(essential(status)), status.phase or "")


def _written(status: ModelDeploymentStatus) -> dict[str, Any]:
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)
