"""From InferenceServices as the API server sends them to the records that decisions rest on. Pure.

KServe says whether the predictor is ready, but not how many of its pods are, and goes on saying so when pods are lost
once all were there. So the pods are counted, each time that something is decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from headway_operator.engine.keys import controller_of
from headway_operator.engine.kube import Object
from headway_operator.engine.text import bounded
from headway_operator.serving.identity import identity
from headway_operator.serving.plan.model import ServerPod, Workload
from headway_operator.serving.records import WORDS_LIMIT, count, number_of, reports

READY = "PredictorReady"


def workload(body: Object, _: Workload | None, __: float) -> Workload | None:
    """A version's InferenceService, before its pods are counted."""
    number, controller = number_of(body), controller_of(body)
    if number is None or number <= 0 or controller is None:
        return None
    spec, status = body.get("spec") or {}, body.get("status") or {}
    predictor = spec.get("predictor") or {}
    conditions = {each.get("type"): each for each in status.get("conditions") or ()}
    ready = conditions.get(READY) or {}
    is_ready = ready.get("status") == "True"
    words = ": ".join(str(ready[key]) for key in ("reason", "message") if ready.get(key))
    return Workload(
        **identity(body, controller),
        number=number,
        # KServe has one where none is given.
        desired=count(predictor.get("minReplicas", 1)),
        replicas=0,
        ready=0,
        seen=is_ready,
        reports=reports(predictor),
        kserve=True,
        said="" if is_ready else bounded(words, WORDS_LIMIT),
    )


def counted(workloads: Iterable[Workload], pods: Mapping[int, tuple[ServerPod, ...]]) -> Iterator[tuple[int, Workload]]:
    """The same with their pods, as far as these are known."""
    for each in workloads:
        found = pods.get(each.number, ())
        ready = sum(pod.ready for pod in found)
        yield each.number, replace(each, replicas=len(found), ready=min(ready, each.desired))
