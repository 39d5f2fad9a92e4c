"""What a job's processes have printed: from its pods while they are there, afterwards from its storage."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path

from headway_cli.cluster.errors import ClusterError, NotFoundError
from headway_cli.cluster.fields import Object, entries, text, whole
from headway_cli.cluster.folders import MOST_LOG_BYTES, Folder, InStore, in_pod, pieces
from headway_cli.cluster.kubectl import Kubectl
from headway_cli.cluster.log_files import ALL, Part, cut, parts, wanted
from headway_cli.cluster.names import ROLE_HEAD
from headway_cli.cluster.reader_pods import reader_pod
from headway_cli.cluster.times import ago

Line = tuple[str, str]
"""A source, and a line of it."""


def attempt_of(job: Object, number: int | None) -> Object:
    """The attempt of a number, or the newest. Raises NotFoundError."""
    found = entries(job, "status", "attempts")
    name = text(job, "metadata", "name")
    if not found:
        raise NotFoundError(f"{name} has had no attempt yet, so nothing was printed: see `headway status {name}`")
    if number is None:
        return found[-1]
    chosen = next((each for each in found if whole(each, "number") == number), None)
    if chosen is None:
        known = ", ".join(str(whole(each, "number")) for each in found)
        raise NotFoundError(f"{name} has no attempt {number}: write one of {known}, the newest of all that there were")
    return chosen


def is_live(attempt: Object) -> bool:
    """Whether the attempt has not ended, as far as the status tells."""
    return not text(attempt, "endTime")


def place(attempt: Object, now: datetime) -> str:
    """Where an attempt's kept logs come from, in words."""
    count, uri = whole(attempt, "number"), text(attempt, "logs")
    ended = text(attempt, "endTime")
    return f"attempt {count} {f'ended {ago(ended, now)}' if ended else 'runs'}: from {uri}"


def folder_of(kubectl: Kubectl, job: Object, attempt: Object, *, by_pod: bool) -> AbstractContextManager[Folder]:
    """The folder with an attempt's logs. by_pod: whether a pod may be made to read it. Raises ClusterError."""
    uri, name = text(attempt, "logs"), text(job, "metadata", "name")
    if not uri:
        raise ClusterError(
            f"attempt {whole(attempt, 'number')} of {name} keeps no logs: it has not come to its storage"
        )
    return folder_at(kubectl, job, uri, by_pod=by_pod)


def folder_at(kubectl: Kubectl, job: Object, uri: str, *, by_pod: bool) -> AbstractContextManager[Folder]:
    """A folder of a job's storage. by_pod: whether a pod may be made to read it. Raises ClusterError."""
    if by_pod:
        return reader_pod(kubectl, job, uri)
    if not uri.startswith("/"):
        return nullcontext(InStore(uri))
    newest = next(reversed(entries(job, "status", "attempts")), {})
    if is_live(newest) and text(newest, "runningTime"):
        return in_pod(kubectl, head_of(newest), uri)
    raise ClusterError(
        f"this is in the volume of claim {text(job, 'status', 'storage', 'persistentVolumeClaim', 'name')}, "
        "which only a pod can read, and the job has none: --reader-pod makes one of the job's image for a moment, for "
        "which you need the right to create pods and to exec into them"
    )


def head_of(attempt: Object) -> str:
    """The name of an attempt's head pod."""
    return f"{text(attempt, 'name')}-{ROLE_HEAD}"


def kept(folder: Folder, rank: str | None, tail: int | None) -> Iterator[Line]:
    """The lines of the driver, of a rank or of all ranks, one source after the other. Raises ClusterError."""
    files = folder.files()
    found = parts(files)
    chosen = wanted(found, rank)
    if not chosen:
        raise nothing(found, rank)
    for source in chosen:
        if tail is None:
            yield from ((source, line) for line in lines_of(folder, found[source]))
            continue
        lines, rest, _ = last(folder, found[source], tail)
        told = [*lines, rest][-tail:] if rest and tail else lines
        yield from ((source, line.decode(errors="replace")) for line in told)


def lines_of(folder: Folder, of: Sequence[Part]) -> Iterator[str]:
    """The lines of a source's parts."""
    rest = b""
    for part in of:
        for piece in pieces(folder, part.file):
            lines, rest = cut(rest + piece)
            yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")


def last(folder: Folder, of: Sequence[Part], most: int) -> tuple[list[bytes], bytes, int]:
    """The last whole lines of a source, what follows them, and how much of its last part was read.

    No more parts are read than have them, and none once MOST_LOG_BYTES were read: then there are fewer lines.
    """
    found: deque[bytes] = deque()
    count = size = total = 0
    for part in reversed(of):
        if count > most or total > MOST_LOG_BYTES:
            break
        data = b"".join(pieces(folder, part.file))
        size = size if found else len(data)
        count, total = count + data.count(b"\n"), total + len(data)
        found.appendleft(data)
    # Not all lines: 64 MiB of empty ones would be as many objects.
    *lines, rest = b"".join(found).rsplit(b"\n", most + 1)
    return (lines[-most:] if most else []), rest, size


def nothing(found: Mapping[str, Sequence[Part]], rank: str | None) -> NotFoundError:
    """That what is asked for is not there, and what is."""
    known = [source.removeprefix("rank-") for source in found if source.startswith("rank-")]
    ranks = (
        f", but of the ranks {known[0]} to {known[-1]}"
        if len(known) > 1
        else f", but of rank {known[0]}"
        if known
        else ""
    )
    asked = "the driver" if rank is None else "any rank" if rank == ALL else f"rank {rank}"
    driver = "" if rank is None else "; Headway's own training tells of itself in the driver's log: leave out --rank"
    return NotFoundError(
        f"there is no log of {asked}{ranks}: a process that has printed nothing has none, and a line is there some "
        f"seconds after it was printed{driver}"
    )


def download(folder: Folder, rank: str | None, target: Path) -> Iterator[tuple[str, int]]:
    """Write each source's whole log into a file of its own; yields its path and size. Raises ClusterError.

    rank: a number, `all` for ranks alone, or None for everything.
    """
    found = parts(folder.files())
    chosen = list(found) if rank is None else wanted(found, rank)
    if not chosen:
        raise nothing(found, rank)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for source in chosen:
            path = target / f"{source}.log"
            size = 0
            with path.open("xb") as stream:
                for part in found[source]:
                    for piece in pieces(folder, part.file):
                        size += stream.write(piece)
            yield str(path), size
    except FileExistsError as error:
        raise ClusterError(f"{error.filename} is there already: name another folder, or move it away") from error
    except OSError as error:
        raise ClusterError(f"{target} cannot be written: {error.strerror or error}") from error
