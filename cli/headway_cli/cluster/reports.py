"""The files that a finished job has left, and fetching them by their digests."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from headway_cli.cluster.errors import ClusterError, NotFoundError
from headway_cli.cluster.fields import Object, entries, numbers, text, whole
from headway_cli.cluster.folders import Folder, pieces
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.job_logs import folder_at
from headway_cli.cluster.kubectl import Kubectl
from headway_cli.cluster.run_folders import uri_of
from headway_cli.cluster.times import duration

REPORT = "report"
RESULT = "result"
MOST_REPORT_BYTES = 16 << 20


@dataclass(frozen=True)
class File:
    """A file that the status tells of."""

    kind: str
    """`model`, `result`, `report`, or another word of the job's."""
    name: str
    """Its name in its folder, which leads nowhere else."""
    folder: str
    """The URI or path of that folder."""
    sha256: str
    size: int


def files(job: Object) -> list[File]:
    """The files of a job's result. Raises NotFoundError where there are none, ClusterError for one that leads out."""
    name = text(job, "metadata", "name")
    told = entries(job, "status", "result", "artifacts")
    if not told:
        raise NotFoundError(
            f"{name} has left no files: it is {phase(job)}" + _then(job) + f"; see `headway status {name}`"
        )
    base = uri_of(job)
    return [_file(each, base) for each in told]


def _then(job: Object) -> str:
    message = text(job, "status", "summary", "message")
    return f" ({message})" if message else ""


def _file(artifact: Object, base: str) -> File:
    """The file that the status tells of, which is the driver's word: a job that lies must not have us ask other places
    with our credentials. So it lies in the job's folder, and is asked for with the options of that."""
    uri = text(artifact, "uri").partition("?")[0]
    where, _, options = base.partition("?")
    folder, _, name = uri.rpartition("/")
    if not f"{folder}/".startswith(f"{where}/") or {"", ".", ".."} & set(uri[len(where) + 1 :].split("/")):
        raise ClusterError(f"{uri[:200]!r}, which the job's status names, is no file in the job's folder {where}")
    if not name.isprintable() or "\\" in name or name.startswith("."):
        raise ClusterError(f"{uri[:200]!r}, which the job's status names, is no file that could be written here")
    digest = text(artifact, "sha256").removeprefix("sha256:")
    return File(
        kind=text(artifact, "name"),
        name=name,
        folder=f"{folder}?{options}" if options else folder,
        sha256=digest,
        size=whole(artifact, "sizeBytes") or 0,
    )


def time_section(job: Object) -> str:
    """Where the job's time went, as a section of a report; "" where its operator did not count.

    report.md cannot have it: the driver that writes it does not know what the job waited for.
    """
    spent = {what: seconds for what, seconds in numbers(job, "status", "time", "seconds").items() if seconds > 0}
    total = sum(spent.values())
    if not total:
        return ""
    attempts = whole(job, "status", "attempt") or 1
    over = f"{attempts} attempts" if attempts > 1 else "1 attempt"
    rows = [
        f"| {what} | {seconds:,.0f} | {seconds / total:.1%} |"
        for what, seconds in sorted(spent.items(), key=lambda each: -each[1])
    ]
    goodput = whole(job, "status", "time", "goodputPercent")
    again = whole(job, "status", "time", "stepsAgain") or 0
    told = [f"Goodput, the share of steps that were kept: {goodput}%."] if goodput is not None else []
    told += [f"{again:,} steps were lost and done again."] if again else []
    return "\n".join(
        [
            "## Time in the cluster",
            f"From the job's status, over {over}: {duration(total)}, without those for which it was suspended.",
            "",
            "| what | seconds | share |",
            "|---|---|---|",
            *rows,
            *(["", " ".join(told)] if told else []),
        ]
    )


def content(kubectl: Kubectl, job: Object, kind: str, *, by_pod: bool, note: Callable[[str], None]) -> bytes:
    """What is in the small file of a kind, `report` or `result`, of a finished job.

    by_pod: whether a pod may be made to read the storage. note: is told where it comes from. Raises ClusterError.
    """
    told = files(job)
    file = next((each for each in told if each.kind == kind), None)
    if file is None:
        known = ", ".join(each.kind for each in told)
        name = text(job, "metadata", "name")
        raise NotFoundError(f"{name} has left no {kind}, but {known}: fetch them by --download DIR")
    note(f"(from {file.folder})")
    with folder_at(kubectl, job, file.folder, by_pod=by_pod) as folder:
        return read(folder, file)


def download(
    kubectl: Kubectl,
    job: Object,
    target: Path,
    *,
    by_pod: bool,
    note: Callable[[str], None],
    names: Collection[str] | None = None,
) -> Iterator[tuple[Path, int]]:
    """Fetch the files that a job has left into a folder of this machine; yields the path and size of each.

    by_pod, note: as for `content`. names: only these, as far as they are there; all if None. Raises ClusterError.
    """
    told = [each for each in files(job) if names is None or each.name in names]
    for uri in dict.fromkeys(each.folder for each in told):
        note(f"(from {uri})")
        with folder_at(kubectl, job, uri, by_pod=by_pod) as folder:
            yield from fetch(folder, [each for each in told if each.folder == uri], target)


def read(folder: Folder, file: File) -> bytes:
    """A small file, held against its digest. Raises ClusterError."""
    if file.size > MOST_REPORT_BYTES:
        raise ClusterError(f"{file.name} has {file.size:,} bytes, which is no report: fetch it by --download DIR")
    data = b"".join(pieces(folder, file.name, file.size + 1))
    _check(file, len(data), hashlib.sha256(data).hexdigest())
    return data


def fetch(folder: Folder, wanted: Sequence[File], target: Path) -> Iterator[tuple[Path, int]]:
    """Write files into a folder of this machine, each under its name only when its digest is right.

    Raises ClusterError, also where a file is there already that is another one.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        for file in wanted:
            path = target / file.name
            if path.exists():
                _check_there(path, file)
            else:
                _fetch(folder, file, path)
            yield path, file.size
    except OSError as error:
        raise ClusterError(f"{target} cannot be written: {error.strerror or error}") from error


def _fetch(folder: Folder, file: File, path: Path) -> None:
    part = path.with_name(f".{path.name}.part")
    digest, size = hashlib.sha256(), 0
    try:
        with part.open("wb") as stream:
            # One byte more than there should be tells of a file that has grown.
            for piece in pieces(folder, file.name, file.size + 1):
                digest.update(piece)
                size += stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        _check(file, size, digest.hexdigest())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _check_there(path: Path, file: File) -> None:
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != file.sha256:
        raise ClusterError(f"{path} is there already, and is another file: name another folder, or move it away")


def _check(file: File, size: int, digest: str) -> None:
    if (size, digest) != (file.size, file.sha256):
        raise ClusterError(
            f"{file.folder}/{file.name} is not what the job has left: it has {size:,} bytes and the digest {digest}, "
            f"and the status tells of {file.size:,} bytes and {file.sha256}. Somebody has changed it since, or it was "
            "cut: train again, or take a copy that you trust"
        )
