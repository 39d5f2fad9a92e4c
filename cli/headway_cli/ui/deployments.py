"""A ModelDeployment in parts, as its page has them: the sentence, shares, the rollout, versions, load. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from headway_cli.cluster.fields import Object, at, condition, entries, is_true, number, text, whole
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.kubectl import is_name
from headway_cli.cluster.names import MODEL_DEPLOYMENTS
from headway_cli.cluster.times import ago, duration, grouped, seconds_since

_WITH_PODS = ("Champion", "Candidate", "Previous")
_STATES = {"Champion": "good", "Candidate": "warn", "Rejected": "bad"}
_VERDICTS = {"pass": "good", "fail": "bad"}
_TELLS_OF_TROUBLE = frozenset({"RolledBack", "Drifted"})
_TELLS_OF_NEITHER = frozenset({"Progressing"})
APPROVAL = "AwaitingApproval"
_HALTED = ("Stalled", APPROVAL)
"""Reasons of the condition Progressing."""
_WIDTH = 1000
MIN_REQUESTS, MIN_SECONDS = 500, 60
"""Of `spec.rollout`, where it does not say."""
_DIGEST_SIGNS = 19
"""Of a digest in a table: the algorithm and twelve digits."""


@dataclass(frozen=True)
class Share:
    """What part of the requests a version answers."""

    name: str
    state: str
    percent: int
    left: int
    width: int
    """In thousandths of the whole."""


@dataclass(frozen=True)
class Goal:
    """Something that a step of a rollout waits for."""

    name: str
    told: str
    now: int
    """No more than `of`."""
    of: int


@dataclass(frozen=True)
class Gate:
    """What a new version is held to."""

    name: str
    verdict: str
    badge: str
    value: str
    limit: str
    evidence: str


@dataclass(frozen=True)
class Step:
    """A step of a canary."""

    weight: int
    state: str
    """`done`, `now` or `next`."""


@dataclass(frozen=True)
class Rollout:
    """A rollout that goes on."""

    version: str
    mode: str
    stage: str
    weight: int
    step: int
    of: int
    since: str
    message: str
    candidate_requests: int
    stable_requests: int
    steps: Sequence[Step]
    goals: Sequence[Goal]
    gates: Sequence[Gate]


@dataclass(frozen=True)
class Version:
    """A version, in the table of them."""

    name: str
    state: str
    badge: str
    percent: int
    pods: str
    since: str
    job: str
    image: str
    digest: str
    place: str
    reason: str
    message: str


@dataclass(frozen=True)
class Condition:
    """A condition of the status."""

    name: str
    status: str
    badge: str
    reason: str
    since: str
    message: str


def sentence(found: Object) -> str:
    """What the deployment does, or why it does not."""
    champion, candidate = text(found, "status", "champion"), text(found, "status", "candidate")
    state = phase(found)
    if state == "Suspended":
        return "It is suspended: no version has pods." if not champion else f"It is suspended. {champion} has answered."
    if not champion:
        return f"No version answers yet: {candidate} is prepared." if candidate else "No version answers yet."
    ready = text(found, "status", "summary", "ready")
    answers = f"{champion} answers" + (f", with {ready} pods ready" if ready else "")
    if candidate:
        weight = text(found, "status", "summary", "weight")
        return f"{answers}. {candidate} is on its way" + (f", with {weight} of the requests." if weight else ".")
    if is_true(found, "RolledBack"):
        rejected = [each for each in entries(found, "status", "versions") if text(each, "state") == "Rejected"]
        newest = rejected[-1] if rejected else {}
        if name := text(newest, "name"):
            why = ": ".join(part for part in (text(newest, "reason"), text(newest, "message")) if part)
            return f"{answers}. {name} was rejected" + (f": {why}" if why else ".")
    return f"{answers}."


def shares(found: Object) -> list[Share]:
    """The parts of the requests, of versions that answer some; they begin where the one before ends."""
    made, left = [], 0
    for each in entries(found, "status", "versions"):
        percent = _percent(whole(each, "weight"))
        if percent:
            width = min(percent * _WIDTH // 100, _WIDTH - left)
            made.append(Share(text(each, "name"), text(each, "state"), percent, left, width))
            left += width
    return made


def rollout(found: Object, now: datetime) -> Rollout | None:
    """The rollout that goes on; None where there is none that splits requests."""
    told = at(found, "status", "rollout")
    if not isinstance(told, dict):
        return None
    mode, step = text(told, "mode"), whole(told, "step") or 0
    since = seconds_since(text(told, "since"), now)
    return Rollout(
        version=text(told, "version"),
        mode=mode,
        stage=text(told, "stage"),
        weight=_percent(whole(told, "weight")),
        step=step,
        of=whole(told, "of") or 0,
        since=duration(since) if since is not None else "",
        message=text(told, "message"),
        candidate_requests=whole(told, "candidateRequests") or 0,
        stable_requests=whole(told, "stableRequests") or 0,
        steps=_steps(found, told),
        goals=_goals(found, told, now) if text(told, "stage") == "Splitting" else [],
        gates=[_gate(each) for each in entries(told, "gates")],
    )


def _steps(found: Object, told: Object) -> list[Step]:
    """The steps of a canary; none where the spec has others by now."""
    weights = [whole(each, "weight") or 0 for each in entries(found, "spec", "rollout", "canary", "steps")]
    step = whole(told, "step") or 0
    if text(told, "mode") != "canary" or len(weights) != (whole(told, "of") or 0):
        return []
    split = text(told, "stage") in ("Preparing", "Splitting")
    made = [
        Step(weight, "done" if place < step or not split else "now" if place == step else "next")
        for place, weight in enumerate(weights, 1)
    ]
    return [*made, Step(100, "now" if text(told, "stage") == "Baking" else "next")]


def _goals(found: Object, told: Object, now: datetime) -> list[Goal]:
    """What the step waits for: time, and requests."""
    given = at(found, "spec", "rollout")
    mode, step = text(told, "mode"), whole(told, "step") or 0
    of_mode = at(given, mode)
    if mode == "canary":
        steps = entries(of_mode, "steps")
        of_mode = steps[step - 1] if 0 < step <= len(steps) else None
    least = whole(of_mode, "minSeconds")
    seconds = MIN_SECONDS if least is None else least
    spent = int(seconds_since(text(told, "followedSince"), now) or 0)
    requests, answered = whole(given, "analysis", "minRequests") or MIN_REQUESTS, whole(told, "candidateRequests") or 0
    followed = bool(text(told, "followedSince"))
    return [
        Goal(
            "Time",
            f"{duration(spent)} of {duration(seconds)}" if followed else "begins once all servers keep to the share",
            min(max(spent, 0), seconds),
            max(seconds, 1),
        ),
        Goal("Requests", f"{answered:,} of {requests:,}", min(max(answered, 0), requests), max(requests, 1)),
    ]


def _gate(gate: Object) -> Gate:
    verdict = text(gate, "verdict") or "open"
    value, limit = number(gate, "value"), number(gate, "limit")
    evidence, needed = number(gate, "evidence"), number(gate, "needed")
    return Gate(
        name=text(gate, "name"),
        verdict=verdict,
        badge=_VERDICTS.get(verdict, ""),
        value=grouped(value) if value is not None else "",
        limit=grouped(limit) if limit is not None else "",
        evidence=f"{grouped(evidence)} of {grouped(needed)}" if evidence is not None and needed else "",
    )


def versions(found: Object, now: datetime) -> list[Version]:
    """All versions that are remembered, the newest first."""
    return [_version(each, now) for each in reversed(entries(found, "status", "versions"))]


def _version(each: Object, now: datetime) -> Version:
    source = at(each, "source")
    claim, path = text(source, "persistentVolumeClaim", "name"), text(source, "persistentVolumeClaim", "path")
    state = text(each, "state")
    ready, desired = whole(each, "replicas", "ready") or 0, whole(each, "replicas", "desired") or 0
    digest = text(source, "digest")
    return Version(
        name=text(each, "name"),
        state=state,
        badge=_STATES.get(state, ""),
        percent=_percent(whole(each, "weight")),
        pods=f"{ready}/{desired}" if state in _WITH_PODS else "",
        since=ago(text(each, "since"), now),
        job=text(each, "job"),
        image=text(each, "image"),
        digest=digest[:_DIGEST_SIGNS],
        place=text(source, "uri") or (f"claim {claim}: {path}" if path else f"claim {claim}" if claim else ""),
        reason=text(each, "reason"),
        message=text(each, "message"),
    )


def load(found: Object, now: datetime) -> list[tuple[str, str]]:
    """How many pods there are to be, and why."""
    told, given = at(found, "status", "autoscaling"), at(found, "spec", "autoscaling")
    champion = text(found, "status", "champion")
    answering = next((each for each in entries(found, "status", "versions") if text(each, "name") == champion), {})
    ready, desired = whole(answering, "replicas", "ready") or 0, whole(answering, "replicas", "desired") or 0
    lines = [("Pods that answer", f"{ready} ready of {desired}")]
    if isinstance(given, dict):
        lines.append(("Scaled between", f"{whole(given, 'min') or 0:,} and {whole(given, 'max') or 0:,} pods"))
    if isinstance(told, dict):
        flying, target = number(told, "inFlight"), number(given, "targetInFlight")
        counted = ago(text(told, "counted"), now)
        if flying is not None:
            aim = f"; {grouped(target)} in each pod is the aim" if target is not None else ""
            lines.append(("Requests in flight", f"{grouped(flying)}{aim}{f', counted {counted}' if counted else ''}"))
        since = ago(text(told, "since"), now)
        lines.append(("Wanted", f"{whole(told, 'desired') or 0:,} pods: {text(told, 'reason')}{_since(since)}"))
        if (stage := text(told, "stage")) and stage != "Awake":
            lines.append(("Stage", stage))
    return lines


def conditions(found: Object, now: datetime) -> list[Condition]:
    """The conditions, in the order of the status."""
    return [
        Condition(
            name=text(each, "type"),
            status=text(each, "status"),
            badge=_badge(each),
            reason=text(each, "reason"),
            since=ago(text(each, "lastTransitionTime"), now),
            message=text(each, "message"),
        )
        for each in entries(found, "status", "conditions")
    ]


def problem(found: Object) -> str:
    """What a person should see at once: why the spec is not followed, no version is ready, or a rollout waits for
    somebody; "" for nothing."""
    for kind in ("Accepted", "Reconciled", "Ready"):
        told = condition(found, kind)
        if text(told, "status") == "False" and (message := text(told, "message")):
            return message
    return text(condition(found, "Progressing"), "message") if _halted(found) else ""


def commands(found: Object, options: str) -> list[tuple[str, str]]:
    """What can be done from the command line: what for, and the command. options: that name the same cluster."""
    name = text(found, "metadata", "name")
    candidate = text(found, "status", "candidate")
    told = [("Watch it", f"headway status md/{name} -w{options}")]
    if is_name(candidate):
        if _halted(found) == APPROVAL:
            told.append((f"Let {candidate} answer", _asking(name, "approve", candidate, options)))
        told.append((f"Give {candidate} up", _asking(name, "abort", candidate, options)))
    return [*told, ("All of it", f"kubectl get {MODEL_DEPLOYMENTS}/{name} --output=yaml{options}")]


def _asking(name: str, word: str, version: str, options: str) -> str:
    patch = json.dumps({"spec": {"versions": {word: version}}}, separators=(",", ":"))
    return f"kubectl patch {MODEL_DEPLOYMENTS}/{name} --type=merge --patch={shlex.quote(patch)}{options}"


def _halted(found: Object) -> str:
    """Why a rollout waits for somebody; "" where it does not."""
    reason = text(condition(found, "Progressing"), "reason")
    return reason if reason in _HALTED else ""


def _badge(each: Object) -> str:
    kind, status = text(each, "type"), text(each, "status")
    if kind in _TELLS_OF_NEITHER:
        return ""
    if kind in _TELLS_OF_TROUBLE:
        return {"True": "bad", "Unknown": "warn"}.get(status, "")
    return {"True": "good", "False": "bad"}.get(status, "warn")


def _since(since: str) -> str:
    return f", {since}" if since else ""


def _percent(value: int | None) -> int:
    return min(max(value or 0, 0), 100)
