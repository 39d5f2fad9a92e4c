"""What the status says: conditions, phase and the rest, from the versions as they stand."""

from __future__ import annotations

from headway_api.deployment_status import (
    ConditionType,
    DeploymentCondition,
    DriftStatus,
    Endpoint,
    ModelDeploymentStatus,
    Phase,
    Version,
)
from headway_api.served import GRPC_PORT
from headway_operator.engine.text import bounded
from headway_operator.engine.times import to_text
from headway_operator.serving import names
from headway_operator.serving.plan import backend, gateway
from headway_operator.serving.plan.book import Book
from headway_operator.serving.plan.model import Situation
from headway_operator.serving.plan.offers import waiting_for, wanted

Said = tuple[str, str, str]
"""A condition's status, reason and message."""
_MADE = "its pods are made"


def say(situation: Situation, book: Book) -> ModelDeploymentStatus:
    """The status as it should be."""
    before, champion = situation.status, book.champion
    workload = situation.workloads.get(champion.number) if champion is not None else None
    labels = names.selector(situation.uid, champion.number) if champion is not None else {}
    said: dict[ConditionType, Said | None] = {
        "Accepted": _accepted(situation),
        "Ready": _ready(situation, book),
        "Progressing": _progressing(situation, book),
        "RolledBack": _rolled_back(book),
        "RouteAccepted": gateway.accepted(situation, book),
        "Scaling": _scaling(book),
        "Drifted": book.drifted,
    }
    return before.model_copy(
        update={
            "observed_generation": situation.generation,
            "phase": _phase(situation, book),
            "conditions": _conditions(situation, said),
            "champion": book.champion_name,
            "candidate": book.candidate_name,
            "previous": book.previous_name,
            "published": book.published,
            "last_number": book.last_number,
            "route": book.route,
            "rollout": book.rollout,
            "autoscaling": book.scaling,
            "drift": book.drift,
            "versions": book.versions,
            "endpoint": _endpoint(situation, champion),
            "replicas": workload.replicas if workload is not None else 0,
            "selector": ",".join(f"{key}={value}" for key, value in labels.items()),
        }
    )


def _endpoint(situation: Situation, champion: Version | None) -> Endpoint | None:
    if champion is None:
        return None
    host = f"{situation.name}.{situation.namespace}.svc"
    return Endpoint(url=f"http://{host}", grpc=f"{host}:{GRPC_PORT}" if champion.server.grpc else None)


def _conditions(situation: Situation, said: dict[ConditionType, Said | None]) -> list[DeploymentCondition]:
    known = {condition.type: condition for condition in situation.status.conditions}
    made = []
    for kind, word in said.items():
        if word is None:
            continue
        status, reason, message = word
        old = known.get(kind)
        same = old is not None and old.status == status
        made.append(
            DeploymentCondition.model_validate(
                {
                    "type": kind,
                    "status": status,
                    "reason": reason,
                    "message": bounded(message),
                    "lastTransitionTime": old.last_transition_time if old and same else to_text(situation.now),
                    "observedGeneration": situation.generation,
                }
            )
        )
    return made


def _accepted(situation: Situation) -> Said:
    if situation.spec is None:
        goes_on = "; what answers goes on as it is" if situation.status.champion else ""
        return "False", "InvalidSpec", "; ".join(situation.problems) + goes_on
    return "True", "Valid", ""


def _short(version: Version) -> str:
    return f"{version.replicas.ready} of {version.replicas.desired} pods of version {version.name} are ready"


def _ready(situation: Situation, book: Book) -> Said:
    champion = book.champion
    front = situation.refusals.get(situation.name)
    if champion is None:
        waits = situation.spec is not None and wanted(situation.spec, book.published) is None
        return "False", "NoVersion", waiting_for(situation.name) if waits else "no version answers yet"
    if front is not None:
        return "False", "Refused", f"the Service {situation.name} is refused: {front.message}"
    if champion.replicas.ready == 0 and holds(book):
        return "True", "ScaledToZero", "no pod is there: requests are held until one is"
    if champion.replicas.ready == 0:
        return "False", "NotReady", _short(champion)
    return "True", "Answering", _short(champion)


def _progressing(situation: Situation, book: Book) -> Said:
    candidate, suspended = book.candidate, situation.spec is not None and situation.spec.suspend
    if suspended:
        return "False", "Suspended", "spec.suspend is true: versions stay as they are"
    if candidate is not None:
        reason, message = book.progress or ("Preparing", f"version {candidate.name}: {candidate.message or _MADE}")
        return "True", reason, message + _newer(situation, book, candidate)
    if book.previous is not None:
        return "True", "Baking", f"version {book.champion_name} answers; {book.previous_name} still has its pods"
    if situation.spec is not None and book.champion is None and wanted(situation.spec, book.published) is None:
        return "False", "WaitingForPublish", waiting_for(situation.name)
    if book.rollout is not None:
        return "True", "Ending", f"servers are told to send nothing to version {book.rollout.version} any more"
    lacking = backend.lacking(situation, situation.spec.server) if situation.spec is not None else None
    return ("False", *(lacking or ("Idle", "")))


def _newer(situation: Situation, book: Book, candidate: Version) -> str:
    """That a job has published another model meanwhile, which waits for this one."""
    spec, published = situation.spec, book.published
    if spec is None or published is None or spec.versions.source is not None or spec.versions.pin is not None:
        return ""
    if published.source == candidate.source:
        return ""
    return f"; what the job {published.job} has published meanwhile is tried after it"


def _rolled_back(book: Book) -> Said | None:
    """True from a rejection until another version begins, or one that is newer answers."""
    rejected = [version for version in book.versions if version.state == "Rejected"]
    if not rejected:
        return None
    last = rejected[-1]
    if book.candidate is not None or (book.champion is not None and book.champion.number > last.number):
        return "False", "Superseded", ""
    return "True", last.reason or "NotReady", f"version {last.name} is rejected: {last.message or ''}"


_SCALING = {
    "Starting": "no version answers yet",
    "NoData": "the judge tells of no server of the version that answers: nothing changes until it does",
    "AtTarget": "as many pods are there as the requests in flight ask for",
    "AtMin": "fewer pods than min are never there",
    "AtMax": "more pods than max are never there",
    "StepLimit": "more pods are needed: twice as many at most, every 15 s",
    "Stabilizing": "fewer pods are needed, and go once no load of the last scaleDownSeconds has asked for more",
    "Rollout": "fewer pods are needed, and go once the rollout is over",
    "Asked": "spec.replicas has asked for this number",
    "Limits": "min and max are others now",
    "Idle": "no request came for idleSeconds: the next one is held until a pod is there",
    "FallingAsleep": "no request came for idleSeconds: the last pods are deleted once all clients use the holder",
    "Held": "a request is held, and waits for a pod",
    "NoHolder": "no request came for idleSeconds, and the pods stay as long as there is no holder that is heard",
    "InFlight": "the requests in flight have asked for another number",
}


def holds(book: Book) -> bool:
    """Whether there are no pods for want of requests, and those that come are held."""
    return book.scaling is not None and book.scaling.stage in ("Asleep", "Waking")


def _scaling(book: Book) -> Said | None:
    known = book.scaling
    if known is None:
        return None
    figure = f" ({known.in_flight:.3g} in flight)" if known.in_flight is not None else ""
    says = f"{known.desired} pods{figure}: {_SCALING.get(known.reason, '')}"
    return "False" if known.reason in ("NoData", "Starting") else "True", known.reason, says


def _phase(situation: Situation, book: Book) -> Phase:
    champion = book.champion
    if situation.spec is not None and situation.spec.suspend:
        return "Suspended"
    if book.candidate is not None:
        return "Progressing"
    if champion is None:
        return "Degraded" if any(version.state == "Rejected" for version in book.versions) else "Pending"
    return "Ready" if holds(book) or champion.replicas.ready >= champion.replicas.desired else "Degraded"


def essential(status: ModelDeploymentStatus) -> ModelDeploymentStatus:
    """A status without what others have said: what decisions rest on."""
    conditions = [each.model_copy(update={"message": ""}) for each in status.conditions]
    versions = [each.model_copy(update={"message": None}) for each in status.versions]
    rollout = status.rollout.model_copy(update={"message": None, "gates": []}) if status.rollout is not None else None
    drift = DriftStatus(state=status.drift.state, version=status.drift.version) if status.drift is not None else None
    return status.model_copy(
        update={"conditions": conditions, "versions": versions, "rollout": rollout, "drift": drift}
    )
