"""The curves of a job's metrics as its storage has them: epoch by epoch, in the newest checkpoint or in the result."""

from __future__ import annotations

import json
from typing import Any

from headway_cli.cluster import reports
from headway_cli.cluster.errors import ClusterError
from headway_cli.cluster.fields import Object, at, entries, number, text
from headway_cli.cluster.folders import pieces
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.job_logs import folder_at
from headway_cli.cluster.kubectl import Kubectl
from headway_cli.cluster.names import FINISHED
from headway_cli.cluster.records import FOLDER, Recorded, united
from headway_cli.cluster.run_folders import below, uri_of
from headway_cli.cluster.samples import MOST_SERIES, Series, drawable, short, thinned

STATE_FILE = "state.json"
"""Of a checkpoint, as `headway_trainer.training.checkpoints.shared_state` writes it."""
RESULT = "result"
MOST_BYTES = 16 << 20


def mark(job: Object) -> str:
    """What changes when there is more to read; "" where there is nothing yet."""
    return RESULT if phase(job) in FINISHED else text(job, "status", "checkpoint", "uri")


def read(kubectl: Kubectl, job: Object) -> Series:
    """What a storage has of a job's curves. Raises ClusterError."""
    return of_result(kubectl, job) if mark(job) == RESULT else of_checkpoint(kubectl, job)


def whole(kubectl: Kubectl, job: Object) -> tuple[Series, str]:
    """What a storage has of a job's curves, with the points inside its epochs; and why these are not there, or "".

    Raises ClusterError where there is nothing.
    """
    found = read(kubectl, job) if mark(job) else {}
    if not entries(job, "status", "attempts"):
        return found, ""
    record = Recorded()
    try:
        with folder_at(kubectl, job, below(uri_of(job), FOLDER), by_pod=False) as folder:
            record.read(folder)
    except ClusterError as error:
        if not found:
            raise
        return found, next(iter(str(error).splitlines()), "the storage does not answer")
    return united(found, record.series), ""


def of_result(kubectl: Kubectl, job: Object) -> Series:
    """The history in result.json, held against its digest. Raises ClusterError."""
    if not entries(job, "status", "result", "artifacts"):
        return _last_checkpoint(kubectl, job)
    file = next((each for each in reports.files(job) if each.kind == RESULT), None)
    if file is None:
        return {}
    with folder_at(kubectl, job, file.folder, by_pod=False) as folder:
        document = _parsed(reports.read(folder, file), file.name)
    return series_of(at(document, "training", "history"))


def _last_checkpoint(kubectl: Kubectl, job: Object) -> Series:
    return of_checkpoint(kubectl, job) if text(job, "status", "checkpoint", "uri") else {}


def of_checkpoint(kubectl: Kubectl, job: Object) -> Series:
    """The history in the newest checkpoint. Raises ClusterError.

    The status names it, which is the driver's word: it is read only where it lies in the job's own folder.
    """
    base = uri_of(job)
    where, mark, options = base.partition("?")
    uri = text(job, "status", "checkpoint", "uri").partition("?")[0].rstrip("/")
    if not uri.startswith(f"{where}/") or {"", ".", ".."} & set(uri[len(where) + 1 :].split("/")):
        raise ClusterError(f"{uri[:200]!r}, which the job's status names, is not in the job's folder {where}")
    with folder_at(kubectl, job, f"{uri}{mark}{options}", by_pod=False) as folder:
        data = b"".join(pieces(folder, STATE_FILE, MOST_BYTES + 1))
    if len(data) > MOST_BYTES:
        raise ClusterError(f"{STATE_FILE} of {uri} has more than {MOST_BYTES >> 20} MiB: a job has not written that")
    return series_of(at(_parsed(data, STATE_FILE), "history"))


def series_of(history: Any) -> Series:
    """The series of a history: one of each metric of each part, by optimiser steps."""
    found: Series = {}
    for record in history if isinstance(history, list) else []:
        step = drawable(number(record, "step"))
        if step is None:
            continue
        for part in ("train", "validation"):
            values = at(record, part)
            for name in values if isinstance(values, dict) else ():
                key = short(f"{part}/{name}")
                if key in found or len(found) < MOST_SERIES:
                    found.setdefault(key, []).append((step, drawable(number(values, name))))
    return {name: thinned(sorted(points, key=lambda point: point[0])) for name, points in found.items()}


def _parsed(data: bytes, name: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ClusterError(f"{name} of the job's storage is no JSON") from error
