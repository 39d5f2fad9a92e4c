"""The curves of a job's metrics: epochs, and points inside them, from its storage, and since then as they were seen.

The document is `{"series": {"train/loss": [[step, value], ...]}, "note": "..."}`; a value is null where it is no finite
number, and the note is "" where nothing has to be said.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from headway_cli.cluster import reports
from headway_cli.cluster.errors import ClusterError
from headway_cli.cluster.fields import Object, at, entries, number, text
from headway_cli.cluster.folders import pieces
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.job_logs import folder_at
from headway_cli.cluster.names import FINISHED
from headway_cli.cluster.run_folders import below, uri_of
from headway_cli.ui.asking import Asked, Data, Route
from headway_cli.ui.pages import looking
from headway_cli.ui.records import FOLDER, Recorded, united
from headway_cli.ui.samples import MOST_NAME, MOST_SERIES, Series, joined, thinned

STATE_FILE = "state.json"
"""Of a checkpoint, as `headway_trainer.training.checkpoints.shared_state` writes it."""
RESULT = "result"
MOST_BYTES = 16 << 20
KEPT_SECONDS, RETRY_SECONDS = 3600.0, 60.0
"""For how long what a storage has given is kept, and that it has given nothing."""
RECORD_SECONDS = 10.0
"""How often the record of a job is looked at: it grows as often."""


@dataclass(frozen=True)
class Read:
    """What a storage has of a job's curves."""

    series: Series = field(default_factory=dict)
    note: str = ""
    """Why there is nothing; "" where there is."""


def curves(asked: Asked) -> Data:
    """The curves of the job that the address names."""
    job = looking.job(asked)
    kept = _kept(asked, job)
    recorded = Read() if kept.note else _recorded(asked, job)  # a storage that cannot be read is asked once
    seen = asked.site.samples.of(text(job, "metadata", "uid"))
    series = joined(united(kept.series, recorded.series), seen)
    note = kept.note or recorded.note
    return Data({"series": {name: points for name, points in series.items() if points}, "note": note})


def _kept(asked: Asked, job: Object) -> Read:
    """What was read, once for each checkpoint: it never changes."""
    uid = text(job, "metadata", "uid")
    mark = "result" if phase(job) in FINISHED else text(job, "status", "checkpoint", "uri")
    failed: tuple[str, ...] = ("curves-failed", uid, mark)

    def read() -> Read:
        return of_result(asked, job) if mark == "result" else of_checkpoint(asked, job)

    def tried() -> Read:
        try:
            return asked.kept(("curves", uid, mark), KEPT_SECONDS, read)
        except ClusterError as error:
            return _nothing(error)

    if not mark:
        return Read()
    # A storage that cannot be read is not asked again with every look.
    return asked.kept(failed, RETRY_SECONDS, tried)


def _recorded(asked: Asked, job: Object) -> Read:
    """What the record has that trackers follow, of the job's own run."""
    uid = text(job, "metadata", "uid")
    if not entries(job, "status", "attempts"):
        return Read()

    def read() -> Read:
        # Each time for all that was read before, also where the job's pods are gone by now.
        record = asked.kept(("record", uid), KEPT_SECONDS, Recorded)
        if record.failed is not None and (asked.now - record.failed).total_seconds() < RETRY_SECONDS:
            return Read(record.series, "" if record.series else record.problem)
        record.failed = None
        try:
            with folder_at(asked.kubectl(), job, below(uri_of(job), FOLDER), by_pod=False) as folder:
                record.read(folder)
        except ClusterError as error:
            record.failed, record.problem = asked.now, _nothing(error).note
            return Read(record.series, "" if record.series else record.problem)
        return Read(record.series, "Older points inside epochs are in TensorBoard's files." if record.cut else "")

    return asked.kept(("record-read", uid), RECORD_SECONDS, read)


def _nothing(error: ClusterError) -> Read:
    said = str(error).splitlines()
    return Read(note=f"Only what was seen since this page was opened: {said[0] if said else 'no storage'}")


def of_result(asked: Asked, job: Object) -> Read:
    """The history in result.json, held against its digest. Raises ClusterError."""
    if not entries(job, "status", "result", "artifacts"):
        return _last_checkpoint(asked, job)
    file = next((each for each in reports.files(job) if each.kind == RESULT), None)
    if file is None:
        return Read()
    with folder_at(asked.kubectl(), job, file.folder, by_pod=False) as folder:
        document = _parsed(reports.read(folder, file), file.name)
    return Read(series_of(at(document, "training", "history")))


def _last_checkpoint(asked: Asked, job: Object) -> Read:
    return of_checkpoint(asked, job) if text(job, "status", "checkpoint", "uri") else Read()


def of_checkpoint(asked: Asked, job: Object) -> Read:
    """The history in the newest checkpoint. Raises ClusterError.

    The status names it, which is the driver's word: it is read only where it lies in the job's own folder.
    """
    base = uri_of(job)
    where, mark, options = base.partition("?")
    uri = text(job, "status", "checkpoint", "uri").partition("?")[0].rstrip("/")
    if not uri.startswith(f"{where}/") or {"", ".", ".."} & set(uri[len(where) + 1 :].split("/")):
        raise ClusterError(f"{uri[:200]!r}, which the job's status names, is not in the job's folder {where}")
    with folder_at(asked.kubectl(), job, f"{uri}{mark}{options}", by_pod=False) as folder:
        data = b"".join(pieces(folder, STATE_FILE, MOST_BYTES + 1))
    if len(data) > MOST_BYTES:
        raise ClusterError(f"{STATE_FILE} of {uri} has more than {MOST_BYTES >> 20} MiB: a job has not written that")
    return Read(series_of(at(_parsed(data, STATE_FILE), "history")))


def series_of(history: Any) -> Series:
    """The series of a history: one of each metric of each part, by optimiser steps."""
    found: Series = {}
    for record in history if isinstance(history, list) else []:
        step = number(record, "step")
        if step is None:
            continue
        for part in ("train", "validation"):
            values = at(record, part)
            for name in values if isinstance(values, dict) else ():
                key = f"{part}/{name}"[:MOST_NAME]
                if key in found or len(found) < MOST_SERIES:
                    found.setdefault(key, []).append((step, number(values, name)))
    return {name: thinned(sorted(points, key=lambda point: point[0])) for name, points in found.items()}


def _parsed(data: bytes, name: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ClusterError(f"{name} of the job's storage is no JSON") from error


ROUTES = (Route("/jobs/{namespace}/{name}/curves.json", curves, "curves", data=True),)
