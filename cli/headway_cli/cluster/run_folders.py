"""The folder of a job's run, as a place that other commands take: its URI, or a copy of some files of a volume."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headway_cli.cluster.errors import ClusterError, NotFoundError
from headway_cli.cluster.fields import Object, entries, text
from headway_cli.cluster.folders import pieces
from headway_cli.cluster.job_logs import folder_at
from headway_cli.cluster.kubectl import Kubectl

RESULT = "result.json"
TRIALS = "trials.jsonl"
TUNING = "tuning"
MOST_BYTES = 256 << 20
"""Of the copied files together."""


def uri_of(job: Object) -> str:
    """The folder of a job's run: a URI, or a path in its volume. Raises NotFoundError where it has had no attempt."""
    kept = [text(each, "logs") for each in entries(job, "status", "attempts")]
    if not kept or "/logs/attempt-" not in kept[-1]:
        name = text(job, "metadata", "name")
        raise NotFoundError(f"{name} has had no attempt yet, so it has left nothing: see `headway status {name}`")
    where, mark, options = kept[-1].partition("?")
    return f"{where.rpartition('/logs/attempt-')[0]}{mark}{options}"


@contextmanager
def with_trials(kubectl: Kubectl, job: Object, *, by_pod: bool) -> Iterator[str]:
    """A folder or URI with what a job has written of its trials. Raises ClusterError.

    by_pod: whether a pod may be made to read a volume.
    """
    uri = uri_of(job)
    if not uri.startswith("/") and not by_pod:
        yield uri
        return
    with tempfile.TemporaryDirectory(prefix="headway-trials-") as folder:
        if not _copied(kubectl, job, uri, Path(folder), (RESULT, TRIALS), by_pod=by_pod):
            _copied(kubectl, job, below(uri, TUNING), Path(folder, TUNING), None, by_pod=by_pod)
        yield folder


def _copied(
    kubectl: Kubectl, job: Object, uri: str, target: Path, names: tuple[str, ...] | None, *, by_pod: bool
) -> bool:
    """Copy the named files, or all; whether there were any."""
    with folder_at(kubectl, job, uri, by_pod=by_pod) as source:
        sizes = source.files()
        chosen = [name for name in sizes if (names is None or name in names) and Path(name).name == name]
        if sum(sizes[name] for name in chosen) > MOST_BYTES:
            raise ClusterError(f"{uri} has more than {MOST_BYTES >> 20} MiB: that is more than trials take")
        target.mkdir(exist_ok=True)
        for name in chosen:
            with (target / name).open("wb") as stream:
                stream.writelines(pieces(source, name, sizes[name]))
    return bool(chosen)


def below(uri: str, path: str) -> str:
    """A folder in the folder at a URI or a path."""
    where, mark, options = uri.partition("?")
    return f"{where}/{path}{mark}{options}"
