"""The pages of ModelDeployments: all of them, and one with its versions, its rollout and its load."""

from __future__ import annotations

from dataclasses import dataclass

from headway_cli.cluster.errors import RefusedError
from headway_cli.cluster.fields import Object, text
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.kubectl import find, is_name, missing, objects
from headway_cli.cluster.names import MODEL_DEPLOYMENTS
from headway_cli.cluster.tables import DEPLOYMENT
from headway_cli.cluster.timeline import Entry, of_events
from headway_cli.ui import deployments as parts
from headway_cli.ui import drift as drifting
from headway_cli.ui.asking import Asked, Route, View
from headway_cli.ui.listing import Listed, listed, shortened

PHASES = ("Progressing", "Degraded", "Pending", "Suspended", "Ready")
KEPT_SECONDS, EVENT_SECONDS = 2.0, 6.0
LIST_EVERY, EVERY = 5.0, 3.0
MOST_EVENTS = 50


@dataclass(frozen=True)
class Row(Listed):
    """What the table has of a deployment."""

    champion: str
    ready: str
    candidate: str
    weight: str
    stage: str


def deployments(asked: Asked) -> View:
    """All deployments, or those of a namespace, a phase, and with a text in their names."""
    _, data = listed(
        asked,
        "/deployments",
        PHASES,
        lambda namespace: asked.kept(("deployments", namespace), KEPT_SECONDS, lambda: _read(asked, namespace)),
    )
    data["phases"] = PHASES
    return View("deployments.html", "Deployments", data, every=LIST_EVERY)


def deployment(asked: Asked) -> View:
    """One deployment."""
    namespace, name = asked.names["namespace"], asked.names["name"]
    found = asked.kept(("deployment", namespace, name), KEPT_SECONDS, lambda: _one(asked))
    events, seen = asked.kept(("deployment-events", namespace, name), EVENT_SECONDS, lambda: _events(asked, found))
    versions = parts.versions(found, asked.now)
    data = {
        "namespace": namespace,
        "name": name,
        "phase": phase(found),
        "sentence": parts.sentence(found),
        "problem": parts.problem(found),
        "url": text(found, "status", "endpoint", "url"),
        "grpc": text(found, "status", "endpoint", "grpc"),
        "shares": parts.shares(found),
        "rollout": parts.rollout(found, asked.now),
        "versions": [each for each in versions if each.state != "Rejected"],
        "rejected": [each for each in versions if each.state == "Rejected"],
        "jobs": {each.job for each in versions if is_name(each.job)},
        "load": parts.load(found, asked.now),
        "drift": drifting.drift(found, asked.now),
        "conditions": parts.conditions(found, asked.now),
        "events": events[::-1][:MOST_EVENTS],
        "seen": seen,
        "commands": parts.commands(found, asked.site.target_of(namespace).options()),
    }
    return View("deployment.html", name, data, every=EVERY)


def _read(asked: Asked, namespace: str) -> list[Row]:
    found = [_row(each) for each in objects(asked.kubectl(namespace).get(MODEL_DEPLOYMENTS))]
    # What is on its way or has trouble comes first, as that is looked for.
    order = {name: place for place, name in enumerate(PHASES)}
    return sorted(found, key=lambda each: (order.get(each.phase, len(order)), each.namespace, each.name))


def _row(found: Object) -> Row:
    message = text(found, "status", "summary", "message") if phase(found) != "Ready" else ""
    return Row(
        namespace=text(found, "metadata", "namespace"),
        name=text(found, "metadata", "name"),
        phase=phase(found),
        champion=text(found, "status", "champion"),
        ready=text(found, "status", "summary", "ready"),
        candidate=text(found, "status", "candidate"),
        weight=text(found, "status", "summary", "weight"),
        stage=text(found, "status", "rollout", "stage"),
        created=text(found, "metadata", "creationTimestamp"),
        message=shortened(message),
    )


def _one(asked: Asked) -> Object:
    name, kubectl = asked.names["name"], asked.kubectl()
    found = objects(find(kubectl, MODEL_DEPLOYMENTS, name))
    if not found:
        raise missing(kubectl.target, DEPLOYMENT, name)
    return found[0]


def _events(asked: Asked, found: Object) -> tuple[list[Entry], bool]:
    """Events of the deployment, the oldest first; and whether they may be seen."""
    uid = text(found, "metadata", "uid")
    try:
        return of_events(
            objects(asked.kubectl().get("events", f"--field-selector=involvedObject.uid={uid}")), found
        ), True
    except RefusedError:
        return [], False


ROUTES = (
    Route("/deployments", deployments, "deployments", nav="Deployments"),
    Route("/deployments/{namespace}/{name}", deployment, "deployment"),
)
