"""The finished models of jobs, and who serves them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from headway_cli.cluster.fields import Object, at, entries, number, text
from headway_cli.cluster.tables import DEPLOYMENT, JOB, Row
from headway_cli.cluster.times import in_bytes, seconds_since, short

_SERVING = ("Champion", "Candidate", "Previous")


def rows(found: Sequence[Object], now: datetime, *, namespaces: bool, wide: bool) -> tuple[Row, list[Row]]:
    """Heads, and a row for each job that has left files; the newest first. found: jobs and deployments."""
    serving = _serving([each for each in found if text(each, "kind") == DEPLOYMENT])
    jobs = [each for each in found if text(each, "kind") == JOB and entries(each, "status", "result", "artifacts")]
    jobs.sort(key=lambda job: text(job, "status", "completionTime"), reverse=True)
    heads = [
        *(["NAMESPACE"] if namespaces else []),
        *("NAME", "METRIC", "SIZE", "AGE", "SERVED BY", "DIGEST"),
        *(["PLACE"] if wide else []),
    ]
    return heads, [_row(job, serving, now, namespaces=namespaces, wide=wide) for job in jobs]


def place(job: Object) -> str:
    """Where a job's model lies, as `spec.versions.source` of a ModelDeployment has it."""
    bundle = at(job, "status", "result", "bundle")
    if claim := text(bundle, "persistentVolumeClaim", "name"):
        return f"claim {claim}: {text(bundle, 'persistentVolumeClaim', 'path')}"
    files = {text(each, "name"): text(each, "uri") for each in entries(job, "status", "result", "artifacts")}
    return text(bundle, "uri") or files.get("model", "")


def _row(job: Object, serving: dict[tuple[str, str], list[str]], now: datetime, *, namespaces: bool, wide: bool) -> Row:
    namespace, digest = text(job, "metadata", "namespace"), text(job, "status", "result", "bundle", "digest")
    size = sum(number(each, "sizeBytes") or 0 for each in entries(job, "status", "result", "artifacts"))
    return [
        *([namespace] if namespaces else []),
        text(job, "metadata", "name"),
        text(job, "status", "summary", "metric"),
        in_bytes(size),
        short(seconds_since(text(job, "status", "completionTime"), now)),
        ", ".join(serving.get((namespace, digest), [])) if digest else "",
        digest,
        *([place(job)] if wide else []),
    ]


def _serving(deployments: Sequence[Object]) -> dict[tuple[str, str], list[str]]:
    """Versions that have pods, by namespace and digest of their models."""
    found: dict[tuple[str, str], list[str]] = {}
    for deployment in deployments:
        for version in entries(deployment, "status", "versions"):
            if text(version, "state") in _SERVING:
                key = text(deployment, "metadata", "namespace"), text(version, "source", "digest")
                found.setdefault(key, []).append(f"{text(version, 'name')} ({text(version, 'state')})")
    return found
