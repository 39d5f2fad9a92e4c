"""A ModelDeployment in a few lines, for people: which version answers, and how far the next one is."""

from __future__ import annotations

from datetime import datetime

from headway_cli.cluster.fields import Object, at, entries, number, text, whole
from headway_cli.cluster.job_lines import Line, phase
from headway_cli.cluster.times import ago, duration, grouped, seconds_since


def headline(deployment: Object) -> str:
    """The deployment in one line."""
    parts = [text(deployment, "metadata", "name"), text(deployment, "metadata", "namespace"), phase(deployment)]
    if ready := text(deployment, "status", "summary", "ready"):
        parts.append(f"{ready} ready")
    if champion := text(deployment, "status", "champion"):
        parts.append(f"{champion} answers")
    return "   ".join(part for part in parts if part)


def lines(deployment: Object, now: datetime) -> list[Line]:
    """What there is to say below the headline."""
    status = at(deployment, "status")
    found = [
        ("message", text(status, "summary", "message")),
        ("rollout", _rollout(status, now)),
        *(("gate", _gate(each)) for each in entries(status, "rollout", "gates")),
        *(("version", _version(each, now)) for each in reversed(entries(status, "versions"))),
        ("drift", _drift(status)),
        ("endpoint", _endpoint(status)),
    ]
    return [(name, told) for name, told in found if told]


def _rollout(status: object, now: datetime) -> str:
    rollout = at(status, "rollout")
    if not isinstance(rollout, dict):
        candidate = text(status, "candidate")
        return f"{candidate} is on its way, as blueGreen" if candidate else ""
    stage, step, of = text(rollout, "stage"), whole(rollout, "step"), whole(rollout, "of")
    since = seconds_since(text(rollout, "since"), now)
    told = f"{text(rollout, 'mode')} of {text(rollout, 'version')}: {stage}"
    if step:
        told += f", step {step} of {of}"
    told += f", {whole(rollout, 'weight') or 0}% of the requests"
    if since is not None:
        told += f", for {duration(since)}"
    asked = whole(rollout, "candidateRequests")
    if asked:
        told += f"; {asked:,} requests answered, {whole(rollout, 'stableRequests') or 0:,} by the old version"
    return told


def _gate(gate: Object) -> str:
    told = f"{text(gate, 'name')}: {text(gate, 'verdict') or 'open'}"
    value, limit = number(gate, "value"), number(gate, "limit")
    if value is not None:
        told += f", {grouped(value)}"
    if limit is not None:
        told += f" (held against {grouped(limit)})"
    return told


def _version(version: Object, now: datetime) -> str:
    parts = [
        f"{text(version, 'name')} {text(version, 'state')}",
        f"{whole(version, 'weight') or 0}%",
        f"{whole(version, 'replicas', 'ready') or 0}/{whole(version, 'replicas', 'desired') or 0} ready",
        f"since {since}" if (since := ago(text(version, "since"), now)) else "",
        f"from job {job}" if (job := text(version, "job")) else "",
        ": ".join(part for part in (text(version, "reason"), text(version, "message")) if part),
    ]
    return ", ".join(part for part in parts if part)


def _drift(status: object) -> str:
    return ": ".join(part for part in (text(status, "drift", "state"), text(status, "drift", "message")) if part)


def _endpoint(status: object) -> str:
    url, grpc = text(status, "endpoint", "url"), text(status, "endpoint", "grpc")
    return f"{url}   gRPC {grpc}" if grpc else url
