"""From a plan to the engine's steps, with every manifest rendered. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from headway_api import rollout_wire
from headway_api.deployment_status import Version
from headway_operator.engine import kube
from headway_operator.engine.keys import Ref
from headway_operator.engine.kube import Resource
from headway_operator.engine.steps import Change, Delete, DeleteOwned, Ensure, Exists, Listed, Read, Stage, Step, Verify
from headway_operator.policies import accounts
from headway_operator.serving import names, records
from headway_operator.serving.plan.model import (
    Autoscaler,
    Front,
    GatewayRoute,
    Plan,
    RolloutRecord,
    RouteSpec,
    Situation,
    Workload,
)
from headway_operator.serving.render import gateway, kserve, objects, rollout
from headway_operator.serving.render import holder as hold
from headway_operator.serving.render.objects import Of

Made = frozenset[tuple[str, str]]
"""Objects that nobody watches, as far as this process has made them: their resources' plurals and names."""


def pods_of(uid: str, number: int) -> str:
    """The selector of a version's pods."""
    return ",".join(f"{key}={value}" for key, value in names.selector(uid, number).items())


def reads(situation: Situation, plan: Plan) -> tuple[Read, ...]:
    """What a plan asks to be read."""
    found: list[Read] = []
    if plan.verify:
        refs = [Ref(_kind_of(each), each.name) for each in situation.workloads.values()]
        found.append(Verify((*refs, Ref(kube.SERVICES, situation.name))))
    return (*found, *counts(situation.uid, sorted(plan.look_at)))


def counts(uid: str, numbers: Iterable[int]) -> tuple[Listed, ...]:
    """The reads of versions' pods."""
    return tuple(Listed(kube.PODS, pods_of(uid, number), records.server_pod) for number in numbers)


def token_of(situation: Situation, plan: Plan) -> Exists | None:
    """The read that tells whether the Secret of a rollout is there, where its judge does not start: its pod waits for
    the Secret, which nobody watches, and which somebody may have deleted."""
    judge = situation.judge
    if not plan.judge or judge is None or judge.ready > 0:
        return None
    return Exists((Ref(kube.SECRETS, names.judge_name(situation.name, situation.uid)),))


def render(
    situation: Situation, plan: Plan, made: Made, pull_policy: str, new_token: Callable[[], str]
) -> tuple[Stage, ...]:
    """The steps of a plan: what is needed for clients to be answered comes first."""
    of = Of(situation.name, situation.namespace, situation.uid, pull_policy)
    maker = _Maker(situation, made, of, _shares(situation, plan), new_token)
    stages = [
        # Before all that may be refused: it may be what takes a bad version's requests away.
        maker.told(plan),
        maker.led_elsewhere(plan),
        maker.shared(plan),
        *(maker.version(number, plan.replicas[number]) for number in _order(plan) if number == plan.target),
        maker.clients(plan),
        *(maker.version(number, plan.replicas[number]) for number in _order(plan) if number != plan.target),
        maker.held(plan),
        maker.scaled(plan),
        maker.led(plan),
        *maker.judged(plan),
        *maker.leftover(plan),
        *maker.unjudged(plan),
    ]
    return tuple(stage for stage in stages if stage.steps)


def _shares(situation: Situation, plan: Plan) -> bool:
    """Whether there is to be all by which versions share requests; as it is, where nobody can say."""
    there = situation.rollout is not None or names.JUDGE in situation.fronts
    return plan.route is not None or plan.judge or (situation.spec is None and there)


def _place(said: RouteSpec) -> tuple[object, ...]:
    return said.parents, said.hostnames


def _takes_away(clients: str, route: GatewayRoute, wanted: RouteSpec) -> bool:
    """Whether a change of a route gives a candidate less than it has."""
    has = {each.name: each.weight for each in route.said.rules.backends} if route.said.rules is not None else {}
    gets = {each.name: each.weight for each in wanted.rules.backends} if wanted.rules is not None else {}
    return any(gets.get(name, 0) < weight for name, weight in has.items() if name != clients)


def _order(plan: Plan) -> list[int]:
    return sorted(plan.replicas)


def _away(resource: Resource, there: Workload | Front | RolloutRecord | Autoscaler | GatewayRoute | None) -> list[Step]:
    """What is there goes, unless it does already."""
    return [] if there is None or there.deleting else [Delete(Ref(resource, there.name), there.uid)]


def _with_pods(workload: Workload, replicas: int) -> list[Step]:
    """A Deployment, or an InferenceService, has so many pods."""
    if workload.desired == replicas or workload.deleting:
        return []
    patch = {"spec": {"predictor": kserve.replicas(replicas)} if workload.kserve else {"replicas": replicas}}
    return [Change(Ref(_kind_of(workload), workload.name), workload.uid, workload.version, patch)]


def _kind_of(workload: Workload) -> Resource:
    return kube.INFERENCE_SERVICES if workload.kserve else kube.DEPLOYMENTS


@dataclass(frozen=True, slots=True)
class _Maker:
    """What makes a deployment's objects, and takes them away."""

    situation: Situation
    made: Made
    of: Of
    shares: bool
    """Whether there is to be all by which versions share requests, but the judge itself."""
    new_token: Callable[[], str]

    def shared(self, plan: Plan) -> Stage:
        """What has to be there before any pod."""
        if not plan.replicas:
            return Stage(())
        steps = [
            *self._unwatched(kube.NETWORK_POLICIES, objects.network_policy(self.of)),
            *self._unwatched(kube.SECRETS, rollout.secret(self.of, self.new_token())),
        ]
        if self.shares:
            steps.extend(self._unwatched(kube.NETWORK_POLICIES, rollout.servers_policy(self.of)))
            steps.extend(self._unwatched(kube.NETWORK_POLICIES, rollout.judge_policy(self.of)))
        return Stage(tuple(steps))

    def scaled(self, plan: Plan) -> Stage:
        """Who sets the number of replicas, as soon as there are pods that it can go by."""
        situation, record = self.situation, self.situation.autoscaler
        name = names.shared_name(situation.name, situation.uid)
        if situation.spec is None or self._refused(name) or (record is not None and record.deleting):
            return Stage(())
        wanted = situation.spec.autoscaling
        if wanted is None or wanted.target_in_flight is not None:
            return Stage(tuple(_away(kube.AUTOSCALERS, record)))
        if record is None:
            return Stage(
                () if plan.target is None else (Ensure(kube.AUTOSCALERS, objects.autoscaler(self.of, wanted)),)
            )
        if (record.least, record.most, record.cpu_percent) == (wanted.min, wanted.max, wanted.cpu_target):
            return Stage(())
        patch = {"spec": objects.autoscaling(self.of, wanted)}
        return Stage((Change(Ref(kube.AUTOSCALERS, name), record.uid, record.version, patch),))

    def told(self, plan: Plan) -> Stage:
        """What servers are told, where they are told anything by now."""
        record = self.situation.rollout
        if plan.route is None or record is None or record.deleting:
            return Stage(())
        told: dict[str, str | None] = {}
        if record.route != plan.route:
            told[rollout_wire.KEY_ROUTE] = rollout.route_text(plan.route)
        if record.watch != plan.watch:
            told |= rollout.watch_texts(plan.watch)
        if not told:
            return Stage(())
        patch = {"data": told}
        return Stage((Change(Ref(kube.CONFIG_MAPS, record.name), record.uid, record.version, patch),))

    def led_elsewhere(self, plan: Plan) -> Stage:
        """Where routes that are there lead. It is changed by itself: what may be refused, as a host's name that is not
        allowed, must not keep a version's requests from being taken away."""
        steps: list[Step] = []
        for resource, route, wanted in self._ways(plan):
            if route is None or wanted is None or route.deleting or route.said.rules == wanted.rules:
                continue
            if self._refused(route.name) and not _takes_away(self.of.name, route, wanted):
                continue
            steps.append(
                Change(Ref(resource, route.name), route.uid, route.version, {"spec": gateway.rules(resource, wanted)})
            )
        return Stage(tuple(steps))

    def led(self, plan: Plan) -> Stage:
        """The routes that are to be there, at the gateways where they are to be, and no others."""
        steps: list[Step] = []
        for resource, route, wanted in self._ways(plan):
            ref = Ref(resource, names.route_name(self.of.name))
            if wanted is None:
                if not plan.ways.keep:
                    steps.extend(_away(resource, route))
            elif self._refused(ref.name):
                continue
            elif route is None:
                steps.append(Ensure(resource, gateway.route(self.of, resource, wanted)))
            elif route.said.rules == wanted.rules and not route.deleting and _place(route.said) != _place(wanted):
                steps.append(Change(ref, route.uid, route.version, {"spec": gateway.place(wanted)}))
        return Stage(tuple(steps))

    def _ways(self, plan: Plan) -> Iterator[tuple[Resource, GatewayRoute | None, RouteSpec | None]]:
        """The kinds of routes that there may be: what there is of each, and what is to be."""
        situation, has = self.situation, self.situation.gateways
        if has.enabled and has.http:
            yield kube.HTTP_ROUTES, situation.http_route, plan.ways.http
        if has.enabled and has.grpc:
            yield kube.GRPC_ROUTES, situation.grpc_route, plan.ways.grpc

    def judged(self, plan: Plan) -> Iterator[Stage]:
        """All by which versions share requests, and the judge."""
        situation = self.situation
        name, judge = names.judge_name(situation.name, situation.uid), situation.judge
        if not self.shares or self._refused(name):
            return
        steps: list[Step] = []
        if plan.route is not None and situation.rollout is None:
            steps.append(Ensure(kube.CONFIG_MAPS, rollout.config_map(self.of, plan.route, plan.watch)))
        steps.extend(self._service(names.JUDGE, rollout.service(self.of)))
        image = self._judge_image()
        if plan.judge and judge is None and image is not None:
            steps.extend(accounts.ensured(situation.namespace, rollout_wire.SERVICE_ACCOUNT))
        yield Stage(tuple(steps))
        secrets = rollout.query_secrets(plan.route) if plan.route is not None else None
        if not plan.judge:
            return
        if judge is None:
            if image is not None:
                yield Stage((Ensure(kube.DEPLOYMENTS, rollout.judge(self.of, image, secrets or (), load=plan.load)),))
        elif self._outdated(plan, judge, secrets):
            # Nothing of it may be changed but its number of pods. The next one knows all that this one did.
            yield Stage(tuple(_away(kube.DEPLOYMENTS, judge)))
        else:
            yield Stage(tuple(_with_pods(judge, 1)))

    def _judge_image(self) -> str | None:
        """The operator's default server image; where there is none, that of the newest version."""
        versions = self.situation.status.versions
        return self.situation.defaults.image or (versions[-1].image if versions else None)

    def unjudged(self, plan: Plan) -> Iterator[Stage]:
        """What no rollout needs any more goes. The Secret stays: the pods of versions may mount it."""
        situation, steps = self.situation, list[Step]()
        front = situation.fronts.get(names.JUDGE)
        if not plan.judge:
            steps.extend(_away(kube.DEPLOYMENTS, situation.judge))
        told = self.shares and (plan.route is not None or situation.spec is None)
        if not told:
            steps.extend(_away(kube.CONFIG_MAPS, situation.rollout))
        if front is not None and not self.shares and not front.deleting:
            # What nobody watches goes first: while the Service is there, it may be.
            policies = (names.split_name(self.of.name, self.of.uid), names.judge_name(self.of.name, self.of.uid))
            yield Stage(tuple(DeleteOwned(Ref(kube.NETWORK_POLICIES, name)) for name in policies))
            steps.extend(_away(kube.SERVICES, front))
        yield Stage(tuple(steps))

    def _outdated(self, plan: Plan, judge: Workload, secrets: tuple[str, ...] | None) -> bool:
        """Whether the judge is to be made anew: for other queries, or where it is to tell of the load or of drift, and
        so is there for long, and does not, or is of another image."""
        if secrets not in (None, judge.secrets):
            return True
        image = self._judge_image()
        stays = plan.load or plan.watch is not None
        if image is None or not stays or self.situation.spec is None:
            return False
        return judge.made_as != rollout.made_as(rollout.judge(self.of, image, secrets or (), load=plan.load))

    def version(self, number: int, replicas: int) -> Stage:
        """The objects of a version, as they should be."""
        situation = self.situation
        name = names.object_name(situation.name, situation.uid, number)
        version = self._version(number)
        if version is None or self._refused(name):
            return Stage(())
        steps: list[Step] = []
        policy = objects.version_policy(self.of, version)
        if policy is not None:
            steps.extend(self._unwatched(kube.NETWORK_POLICIES, policy))
        workload = situation.workloads.get(number)
        if workload is None:
            made = rollout.reporting(self.of, objects.workload(self.of, version, replicas))
            if version.server.backend is None:
                steps.append(Ensure(kube.DEPLOYMENTS, made))
            elif situation.kserve.served:
                steps.append(Ensure(kube.INFERENCE_SERVICES, kserve.inference_service(made)))
        else:
            steps.extend(_with_pods(workload, replicas))
        steps.extend(self._service(number, objects.version_service(self.of, version)))
        steps.extend(self._unwatched(kube.DISRUPTION_BUDGETS, objects.disruption_budget(self.of, number)))
        return Stage(tuple(steps))

    def clients(self, plan: Plan) -> Stage:
        """The clients' Service leads to the version that answers."""
        version = self._version(plan.target)
        if version is None or self._refused(self.situation.name):
            return Stage(())
        service = objects.client_service(self.of, version)
        if plan.asleep and 0 in self.situation.fronts:
            service["spec"]["selector"] = names.holders(self.of.uid)
        return Stage(tuple(self._service(0, service)))

    def held(self, plan: Plan) -> Stage:
        """What keeps requests while there are no servers; it goes once clients are sent to servers again."""
        situation, version, holder = self.situation, self._version(plan.target), self.situation.holder
        if not plan.hold:
            steps: list[Step] = []
            if holder is not None and not holder.deleting:
                steps.append(DeleteOwned(Ref(kube.NETWORK_POLICIES, holder.name)))
                steps.extend(_away(kube.DEPLOYMENTS, holder))
            steps.extend(_away(kube.SERVICES, situation.fronts.get(names.SERVERS)))
            return Stage(tuple(steps))
        image, name = self._judge_image(), names.holder_name(self.of.name, self.of.uid)
        if version is None or image is None or self._refused(name):
            return Stage(())
        steps = [*self._unwatched(kube.NETWORK_POLICIES, hold.policy(self.of))]
        steps.extend(self._service(names.SERVERS, hold.servers(self.of, version)))
        scaling = situation.spec.autoscaling if situation.spec is not None else None
        if scaling is None:
            # Nobody says any more how requests are to be held.
            return Stage(tuple(steps))
        made = hold.holder(self.of, image, scaling, version)
        if holder is None:
            steps.append(Ensure(kube.DEPLOYMENTS, made))
        elif holder.made_as != rollout.made_as(made) and not plan.asleep:
            steps.extend(_away(kube.DEPLOYMENTS, holder))
        else:
            steps.extend(_with_pods(holder, 1))
        return Stage(tuple(steps))

    def leftover(self, plan: Plan) -> Iterator[Stage]:
        """What is watched goes last: while it is there, the rest may be."""
        situation = self.situation
        ours = {number: names.object_name(situation.name, situation.uid, number) for number in plan.remove}
        kinds = (kube.DISRUPTION_BUDGETS, kube.NETWORK_POLICIES)
        yield Stage(tuple(DeleteOwned(Ref(kind, name)) for kind in kinds for name in ours.values()))
        steps: list[Step] = []
        for number in plan.remove:
            workload = situation.workloads.get(number)
            if workload is not None:
                steps.extend(_away(_kind_of(workload), workload))
            steps.extend(_away(kube.SERVICES, situation.fronts.get(number)))
        yield Stage(tuple(steps))

    def _version(self, number: int | None) -> Version | None:
        return next((each for each in self.situation.status.versions if each.number == number), None)

    def _service(self, number: int, wanted: objects.Manifest) -> Iterator[Step]:
        """A Service finds pods by the labels that it should, and by no others; and has its ports."""
        front, changed = self.situation.fronts.get(number), dict[str, Any]()
        if front is None:
            yield Ensure(kube.SERVICES, wanted)
            return
        selector, ports = wanted["spec"]["selector"], wanted["spec"]["ports"]
        if dict(front.selector) != selector:
            changed["selector"] = {**{key: None for key, _ in front.selector if key not in selector}, **selector}
        if front.ports != tuple(port["port"] for port in ports):
            changed["ports"] = ports
        if changed and not front.deleting:
            yield Change(Ref(kube.SERVICES, front.name), front.uid, front.version, {"spec": changed})

    def _unwatched(self, resource: Resource, body: objects.Manifest) -> Iterator[Step]:
        name = body["metadata"]["name"]
        if (resource.plural, name) not in self.made and not self._refused(name):
            yield Ensure(resource, body)

    def _refused(self, name: str) -> bool:
        """Whether it is too early to ask again for what was refused."""
        refusal = self.situation.refusals.get(name)
        return refusal is not None and refusal.retry_at > self.situation.now
