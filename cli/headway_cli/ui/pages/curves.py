"""The curves of a job's metrics: epochs, and points inside them, from its storage, and since then as they were seen.

The document is `{"series": {"train/loss": [[step, value], ...]}, "note": "...", "live": true}`; a value is null where
it is no number that can be drawn, the note is "" where nothing has to be said, and live is whether there will be more.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from headway_cli.cluster import histories
from headway_cli.cluster.errors import ClusterError
from headway_cli.cluster.fields import Object, entries, text
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.job_logs import folder_at
from headway_cli.cluster.names import FINISHED
from headway_cli.cluster.records import FOLDER, Recorded, united
from headway_cli.cluster.run_folders import below, uri_of
from headway_cli.cluster.samples import Series, joined
from headway_cli.ui.asking import Asked, Data, Route
from headway_cli.ui.pages import looking

KEPT_SECONDS, RETRY_SECONDS = 3600.0, 60.0
"""For how long what a storage has given is kept, and that it has given nothing."""
RECORD_SECONDS = 10.0
"""How often the record of a job is looked at: it grows as often."""


@dataclass(frozen=True)
class Read:
    """What a storage has of a job's curves."""

    series: Series = field(default_factory=dict)
    note: str = ""
    """Why there is nothing, or not all; "" where there is."""
    problem: str = ""
    """Why the points inside epochs could not be read; "" where they could, or those read before are there."""


def curves(asked: Asked) -> Data:
    """The curves of the job that the address names."""
    job = looking.job(asked)
    kept = _kept(asked, job)
    recorded = Read() if kept.note else _recorded(asked, job)  # a storage that cannot be read is asked once
    seen = asked.site.samples.of(text(job, "metadata", "uid"))
    series = joined(united(kept.series, recorded.series), seen)
    told = {name: points for name, points in series.items() if points}
    note = kept.note or recorded.note
    if recorded.problem:
        note = f"Points inside epochs cannot be read: {recorded.problem}" if kept.series else _only(recorded.problem)
    return Data({"series": told, "note": note, "live": phase(job) not in FINISHED})


def _kept(asked: Asked, job: Object) -> Read:
    """What was read, once for each checkpoint: it never changes."""
    uid, mark = text(job, "metadata", "uid"), histories.mark(job)
    failed: tuple[str, ...] = ("curves-failed", uid, mark)

    def read() -> Read:
        return Read(histories.read(asked.kubectl(), job))

    def tried() -> Read:
        try:
            return asked.kept(("curves", uid, mark), KEPT_SECONDS, read)
        except ClusterError as error:
            return Read(note=_only(_why(error)))

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
            return Read(record.series, problem="" if record.series else record.problem)
        record.failed = None
        try:
            with folder_at(asked.kubectl(), job, below(uri_of(job), FOLDER), by_pod=False) as folder:
                record.read(folder)
        except ClusterError as error:
            record.failed, record.problem = asked.now, _why(error)
            return Read(record.series, problem="" if record.series else record.problem)
        return Read(record.series, "Older points inside epochs are in TensorBoard's files." if record.cut else "")

    return asked.kept(("record-read", uid), RECORD_SECONDS, read)


def _why(error: ClusterError) -> str:
    return next(iter(str(error).splitlines()), "no storage")


def _only(why: str) -> str:
    return f"Only what was seen since this page was opened: {why}"


ROUTES = (Route("/jobs/{namespace}/{name}/curves.json", curves, "curves", data=True),)
