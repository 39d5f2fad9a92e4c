"""From objects as the API server sends them to the small records that decisions rest on. Pure.

Whose an object is, is told by its controller and by its name, which nobody else can have: labels are easily copied.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import ValidationError

from headway_api.base import StatusSection
from headway_api.drift_wire import DRIFT_MAX_BYTES, KEY_DRIFT, KEY_WATCH, WATCH_MAX_BYTES, DriftWord, Watch
from headway_api.rollout_wire import (
    KEY_LOAD,
    KEY_ROUTE,
    KEY_VERDICT,
    LOAD_MAX_BYTES,
    ROUTE_MAX_BYTES,
    VERDICT_MAX_BYTES,
    Load,
    Route,
    Verdict,
)
from headway_api.served import ModelSource
from headway_operator.engine.keys import controller_of
from headway_operator.engine.kube import Object
from headway_operator.engine.text import bounded
from headway_operator.engine.times import to_seconds
from headway_operator.serving import names
from headway_operator.serving.identity import identity
from headway_operator.serving.plan.model import Autoscaler, Front, RolloutRecord, ServerPod, Workload
from headway_operator.serving.plan.offers import Offer
from headway_operator.serving.plan.trouble import UNSCHEDULABLE

MOST_SELECTED = 16
"""A selector of more labels is none of ours."""
MOST_PORTS = 16
"""Nor is a Service of more ports."""
WORDS_LIMIT = 300
_NUMBER = re.compile("[1-9][0-9]{0,8}", re.ASCII)
_QUIET_WAITS = ("ContainerCreating", "PodInitializing")


def number_of(body: Mapping[str, Any]) -> int | None:
    """The version that an object is there for, by its name; None if it is none of ours.

    0 for the clients' Service, names.JUDGE for the judge's objects.
    """
    controller = controller_of(body)
    if controller is None:
        return None
    name = str(body["metadata"]["name"])
    if name == controller.key.name:
        return 0
    if name == names.judge_name(controller.key.name, controller.uid):
        return names.JUDGE
    if name == names.holder_name(controller.key.name, controller.uid):
        return names.HOLDER
    if name == names.servers_name(controller.key.name, controller.uid):
        return names.SERVERS
    prefix = f"{names.shared_name(controller.key.name, controller.uid)}-"
    rest = name[len(prefix) :] if name.startswith(prefix) else ""
    return int(rest) if _NUMBER.fullmatch(rest) else None


def count(value: object) -> int:
    """A number of something, where nobody knows who wrote it."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else 0


def workload(body: Object, _: Workload | None, __: float) -> Workload | None:
    """A version's Deployment, or the judge's."""
    number, controller = number_of(body), controller_of(body)
    if not number or controller is None:
        return None
    meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    updated, ready = count(status.get("updatedReplicas")), count(status.get("readyReplicas"))
    return Workload(
        **identity(body, controller),
        number=number,
        # The API server has one where none is given.
        desired=count(spec.get("replicas", 1)),
        replicas=count(status.get("replicas")),
        ready=min(updated, ready),
        seen=count(status.get("observedGeneration")) >= count(meta.get("generation")) > 0,
        made_as=str((meta.get("labels") or {}).get(names.LABEL_TEMPLATE, ""))[:64],
        reports=reports((spec.get("template") or {}).get("spec") or {}),
        secrets=_query_secrets(spec) if number == names.JUDGE else (),
    )


def reports(pod: Mapping[str, Any]) -> bool:
    """Whether the servers of such pods are told of a judge."""
    return any("--judge" in (container.get("args") or ()) for container in pod.get("containers") or ())


def _query_secrets(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The Secrets that a judge's pod mounts for its queries."""
    volumes = ((spec.get("template") or {}).get("spec") or {}).get("volumes") or ()
    of_queries = (each for each in volumes if str(each.get("name")).startswith(names.QUERY_VOLUME))
    return tuple(str((each.get("secret") or {}).get("secretName")) for each in of_queries)


def front(body: Object, _: Front | None, __: float) -> Front | None:
    """A Service."""
    number, controller = number_of(body), controller_of(body)
    if number is None or controller is None:
        return None
    spec = body.get("spec") or {}
    selector, ports = spec.get("selector") or {}, spec.get("ports") or ()
    if len(selector) > MOST_SELECTED:
        selector = {}
    return Front(
        **identity(body, controller),
        number=number,
        selector=tuple(sorted((str(key), str(value)) for key, value in selector.items())),
        ports=tuple(count(port.get("port")) for port in ports[:MOST_PORTS]),
    )


def rollout(body: Object, before: RolloutRecord | None, now: float) -> RolloutRecord | None:
    """The ConfigMap by which operator and judge talk. The judge's memory in it is not kept."""
    controller = controller_of(body)
    if controller is None or number_of(body) != names.JUDGE:
        return None
    data = body.get("data") or {}
    route, verdict = _bounded(data.get(KEY_ROUTE), ROUTE_MAX_BYTES), _bounded(data.get(KEY_VERDICT), VERDICT_MAX_BYTES)
    load = _bounded(data.get(KEY_LOAD), LOAD_MAX_BYTES)
    watch, drift = _bounded(data.get(KEY_WATCH), WATCH_MAX_BYTES), _bounded(data.get(KEY_DRIFT), DRIFT_MAX_BYTES)
    made = RolloutRecord(
        **identity(body, controller),
        route=None,
        verdict=None,
        heard=0.0,
        texts=tuple(map(hash, (route, verdict, load, watch, drift))),
    )
    if before is None or before.uid != made.uid:
        made = replace(made, seen=now, watch=_read(Watch, watch), drift=_read(DriftWord, drift))
        return replace(made, route=_read(Route, route), verdict=_read(Verdict, verdict), load=_read(Load, load))
    led, told, busy, watched, drifts = (old == new for old, new in zip(before.texts, made.texts, strict=True))
    return replace(
        made,
        route=before.route if led else _read(Route, route),
        verdict=before.verdict if told else _read(Verdict, verdict),
        heard=before.heard if told else now,
        load=before.load if busy else _read(Load, load),
        load_heard=before.load_heard if busy else now,
        watch=before.watch if watched else _read(Watch, watch),
        drift=before.drift if drifts else _read(DriftWord, drift),
        drift_heard=before.drift_heard if drifts else now,
        seen=before.seen,
    )


def only_counts(old: RolloutRecord, new: RolloutRecord) -> bool:
    """Whether all that is new is how much the judge has counted: what it says of the candidate, of drift, and how busy
    servers are, is the same."""
    return _without_counts(old) == _without_counts(new)


def _without_counts(record: RolloutRecord) -> RolloutRecord:
    verdict = record.verdict
    told = (
        Verdict(
            rollout=verdict.rollout,
            epoch=verdict.epoch,
            verdict=verdict.verdict,
            servers=verdict.servers,
            following=verdict.following,
            breakers=verdict.breakers,
            queries=verdict.queries,
        )
        if verdict is not None
        else None
    )
    load = record.load
    held = min(load.held, 1) if load is not None else 0
    busy = Load(versions=load.versions, held=held, holders=load.holders) if load is not None else None
    word = record.drift
    drift = DriftWord(uid=word.uid, version=word.version, state=word.state) if word is not None else None
    return replace(
        record,
        version=0,
        heard=0.0,
        load_heard=0.0,
        drift_heard=0.0,
        seen=0.0,
        texts=(),
        verdict=told,
        load=busy,
        drift=drift,
    )


def _bounded(text: object, most: int) -> str:
    """A text of the ConfigMap; empty where it is none, or longer than any that is written there."""
    return text if isinstance(text, str) and len(text) <= most else ""


S = TypeVar("S", bound=StatusSection)


def _read(kind: type[S], text: str) -> S | None:
    """What a text says; None where nobody could have meant it."""
    if not text:
        return None
    try:
        return kind.model_validate_json(text)
    except ValidationError:
        return None


def autoscaler(body: Object, _: Autoscaler | None, __: float) -> Autoscaler | None:
    """The HorizontalPodAutoscaler of a deployment."""
    controller = controller_of(body)
    meta, spec = body["metadata"], body.get("spec") or {}
    if controller is None or meta["name"] != names.shared_name(controller.key.name, controller.uid):
        return None
    target, metrics = spec.get("scaleTargetRef") or {}, spec.get("metrics") or []
    resource = metrics[0].get("resource") or {} if len(metrics) == 1 else {}
    ours = target.get("kind") == controller.key.kind and target.get("name") == controller.key.name
    by_cpu = ours and resource.get("name") == "cpu"
    return Autoscaler(
        **identity(body, controller),
        # The API server has one where none is given.
        least=count(spec.get("minReplicas", 1)),
        most=count(spec.get("maxReplicas")),
        cpu_percent=count((resource.get("target") or {}).get("averageUtilization")) if by_cpu else 0,
    )


def server_pod(body: Object) -> ServerPod | None:
    """A version's pod; None of one that is on its way out: it may be ready still, and no client is sent to it."""
    meta, status = body["metadata"], body.get("status") or {}
    if "deletionTimestamp" in meta:
        return None
    conditions = {each.get("type"): each for each in status.get("conditions") or ()}
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    scheduled = conditions.get("PodScheduled") or {}
    words = _words(scheduled.get("message")) if scheduled.get("status") == "False" else ""
    waiting = UNSCHEDULABLE if scheduled.get("status") == "False" else ""
    for container in containers:
        why = (container.get("state") or {}).get("waiting") or {}
        reason = str(why.get("reason") or "")
        if reason and reason not in _QUIET_WAITS and not waiting:
            waiting, words = bounded(reason, WORDS_LIMIT), _last_words(container) or _words(why.get("message"))
    return ServerPod(
        name=str(meta["name"]),
        ready=(conditions.get("Ready") or {}).get("status") == "True",
        restarts=max((count(container.get("restartCount")) for container in containers), default=0),
        waiting=waiting,
        words=words or next((said for each in containers if (said := _last_words(each))), ""),
    )


def offer(body: Object) -> Offer | None:
    """What a TrainingJob offers to a ModelDeployment, once it has succeeded."""
    publish, status = (body.get("spec") or {}).get("publish"), body.get("status") or {}
    bundle = (status.get("result") or {}).get("bundle")
    if not publish or not bundle or status.get("phase") != "Succeeded":
        return None
    source = ModelSource.model_validate(bundle)
    time = str(status["completionTime"])
    if to_seconds(time) is None:
        raise ValueError(f"status.completionTime is no time: {time[:64]}")
    return Offer(
        job=str(body["metadata"]["name"]),
        uid=str(body["metadata"]["uid"]),
        refers_to=str(publish["deployment"]),
        time=time,
        digest=source.digest,
        source=source.model_dump_json(by_alias=True, exclude_none=True),
    )


def _last_words(container: Mapping[str, Any]) -> str:
    """How a container ended last."""
    for state in (container.get("state") or {}, container.get("lastState") or {}):
        ended = state.get("terminated")
        if ended and ended.get("exitCode"):
            said = _words(ended.get("message"))
            return f"exit code {count(ended.get('exitCode'))} ({ended.get('reason') or 'Error'}){said and ': '}{said}"
    return ""


def _words(value: object) -> str:
    """The last line of what somebody said: the end of a log has the error in its last one."""
    lines = value.strip().splitlines() if isinstance(value, str) else []
    return bounded(lines[-1].strip(), WORDS_LIMIT) if lines else ""
