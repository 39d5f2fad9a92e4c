"""Tables of jobs and deployments, with the columns that `kubectl get` has."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import datetime

from headway_api.wording import printable
from headway_cli.cluster.fields import Object, at, text, whole
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.names import FINISHED
from headway_cli.cluster.times import duration, seconds_since, short

Row = list[str]
JOB = "TrainingJob"
DEPLOYMENT = "ModelDeployment"


def gpus(job: Object) -> int:
    """How many GPUs the job has, or wants, with its head's."""
    each, count = whole(job, "spec", "workers", "resources", "gpu") or 0, whole(job, "spec", "workers", "replicas") or 1
    return each * count + (whole(job, "spec", "head", "resources", "gpu") or 0)


def of_jobs(jobs: Sequence[Object], now: datetime, *, namespaces: bool, wide: bool) -> tuple[Row, list[Row]]:
    """Heads and rows.

    namespaces: whether there is a column for them. wide: whether there are more columns.
    """
    heads = [
        *(["NAMESPACE"] if namespaces else []),
        *("NAME", "PHASE", "PROGRESS", "LEFT", "WORKERS", "METRIC", "TRIALS", "AGE"),
        *(("ATTEMPT", "GPUS", "BEST", "CHECKPOINT") if wide else ()),
        "MESSAGE",
    ]
    return heads, [_job(each, now, namespaces=namespaces, wide=wide) for each in jobs]


def of_deployments(found: Sequence[Object], now: datetime, *, namespaces: bool, wide: bool) -> tuple[Row, list[Row]]:
    """Heads and rows, as `of_jobs` has them."""
    heads = [
        *(["NAMESPACE"] if namespaces else []),
        *("NAME", "PHASE", "READY", "CHAMPION", "CANDIDATE", "WEIGHT", "AGE"),
        *(("MODE", "STAGE", "URL") if wide else ()),
        "MESSAGE",
    ]
    return heads, [_deployment(each, now, namespaces=namespaces, wide=wide) for each in found]


def _job(job: Object, now: datetime, *, namespaces: bool, wide: bool) -> Row:
    summary, now_in = at(job, "status", "summary"), phase(job)
    left = whole(job, "status", "progress", "etaSeconds") if now_in == "Running" else None
    cells = [
        *([text(job, "metadata", "namespace")] if namespaces else []),
        text(job, "metadata", "name"),
        now_in,
        text(summary, "progress"),
        duration(left) if left is not None else "",
        text(summary, "workers"),
        text(summary, "metric"),
        text(summary, "trials"),
        _age(job, now),
    ]
    if wide:
        step = whole(job, "status", "checkpoint", "step")
        cells += [
            str(whole(job, "status", "attempt") or ""),
            str(gpus(job)),
            text(summary, "best"),
            f"step {step}" if step is not None else "",
        ]
    message = text(summary, "message")
    return [*cells, message if wide or now_in not in ("Running", FINISHED[0]) else ""]


def _deployment(found: Object, now: datetime, *, namespaces: bool, wide: bool) -> Row:
    cells = [
        *([text(found, "metadata", "namespace")] if namespaces else []),
        text(found, "metadata", "name"),
        phase(found),
        text(found, "status", "summary", "ready"),
        text(found, "status", "champion"),
        text(found, "status", "candidate"),
        text(found, "status", "summary", "weight"),
        _age(found, now),
    ]
    if wide:
        cells += [text(found, "status", "rollout", "mode"), text(found, "status", "rollout", "stage")]
        cells.append(text(found, "status", "endpoint", "url"))
    message = text(found, "status", "summary", "message")
    return [*cells, message if wide or phase(found) != "Ready" else ""]


def _age(found: Object, now: datetime) -> str:
    return short(seconds_since(text(found, "metadata", "creationTimestamp"), now))


def laid_out(heads: Row, rows: Sequence[Row], width: int | None = None) -> list[str]:
    """The lines of a table: columns three spaces apart, empty ones left out, the last one cut to the width.

    Nothing in a cell steers a terminal.
    """
    kept = [
        index
        for index, head in enumerate(heads)
        if head in ("NAMESPACE", "NAME", "PHASE") or any(row[index] for row in rows)
    ]
    table = [[heads[index] for index in kept], *([printable(row[index]) or "-" for index in kept] for row in rows)]
    widths = [max(columns_of(row[column]) for row in table) for column in range(len(kept))]
    found = []
    for row in table:
        cells = (cell + " " * (size - columns_of(cell)) for cell, size in zip(row, widths, strict=True))
        line = "   ".join(cells).rstrip()
        found.append(fitted(line, width))
    return found


def fitted(line: str, width: int | None) -> str:
    """A line, cut to the width of a terminal where there is one."""
    if width is None or (len(line) <= width and columns_of(line) <= width):
        return line
    kept, room = [], width - 1
    for char in line[: width - 1]:  # what has no width is bounded, too
        room -= columns_of(char)
        if room < 0:
            break
        kept.append(char)
    return f"{''.join(kept)}…"


def columns_of(text: str) -> int:
    """How many columns a printable text takes on a terminal: two for a Chinese sign, none for an accent."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
