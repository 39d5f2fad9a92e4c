"""Following what a job prints: its driver by `kubectl logs`, its ranks on its storage."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from headway_cli.cluster import kubectl as calls
from headway_cli.cluster.errors import ClusterError, UnreachedError, explained
from headway_cli.cluster.fields import Object, entries, text, whole
from headway_cli.cluster.folders import Folder
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.job_logs import Line, attempt_of, head_of, is_live, last
from headway_cli.cluster.kubectl import Kubectl
from headway_cli.cluster.log_files import Part, parts, wanted
from headway_cli.cluster.names import FINISHED
from headway_cli.cluster.polling import Clock

POLL_SECONDS = 2.0
JOB_SECONDS = 6.0
"""How often the job is looked at while its storage is followed."""
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\S+Z) ")
_READ = -1
"""In place of how far a part was read: it is full, and was shown or left out."""


@dataclass(frozen=True)
class Beginning:
    """Where to begin."""

    tail: int | None = None
    """With the last lines, so many of them; all if None."""
    since: str | None = None
    """With the lines of so long ago, as kubectl has it."""


class Following:
    """New lines of the sources in a folder, as they come."""

    def __init__(self, folder: Folder, rank: str | None) -> None:
        self._folder, self._rank = folder, rank
        self._read: dict[str, int] = {}
        self._rest: dict[str, bytes] = {}

    def begin(self, tail: int | None) -> list[Line]:
        """What is there already: all of it, or the last lines of each source. Raises ClusterError."""
        if tail is None:
            return self.new()
        found = parts(self._folder.files())
        lines: list[Line] = []
        for source in wanted(found, self._rank):
            told, self._rest[source], size = last(self._folder, found[source], tail)
            lines += ((source, line.decode(errors="replace")) for line in told)
            self._read |= dict.fromkeys((part.file for part in found[source]), _READ)
            self._read[found[source][-1].file] = size
        return lines

    def new(self) -> list[Line]:
        """What has come since. Raises ClusterError."""
        files = self._folder.files()
        found = parts(files)
        lines: list[Line] = []
        for source in wanted(found, self._rank):
            for part in found[source]:
                lines += ((source, line) for line in self._of(source, part, files[part.file]))
        return lines

    def rest(self) -> list[Line]:
        """What has no end of line yet, when nothing more will come."""
        return [(source, rest.decode(errors="replace")) for source, rest in self._rest.items() if rest]

    def _of(self, source: str, part: Part, size: int) -> list[str]:
        start = self._read.get(part.file, 0)
        if start == _READ or size <= start:
            return []
        data = bytearray()
        while len(data) < size - start:
            piece = self._folder.read(part.file, start + len(data), size - start - len(data))
            if not piece:
                break
            data += piece
        self._read[part.file] = start + len(data)
        *lines, self._rest[source] = (self._rest.get(source, b"") + bytes(data)).split(b"\n")
        return [line.decode(errors="replace") for line in lines]


def follow_kept(
    kubectl: Kubectl, name: str, attempt: Object, following: Following, *, tail: int | None, clock: Clock
) -> Iterator[Line]:
    """The lines of an attempt of a job as they come to its storage, until it has ended. Raises ClusterError."""
    yield from following.begin(tail)
    looked, over = clock.monotonic(), False
    while True:
        clock.sleep(POLL_SECONDS)
        lines = following.new()
        yield from lines
        if over and not lines:
            yield from following.rest()
            return
        if not over and clock.monotonic() - looked >= JOB_SECONDS:
            looked = clock.monotonic()
            over = not is_live(attempt_of(calls.job(kubectl, name), whole(attempt, "number")))


def of_pod(kubectl: Kubectl, pod: str, begin: Beginning) -> Iterator[str]:
    """What a pod's main container has printed. Raises ClusterError, NotFoundError where the pod is gone."""
    with kubectl.stream("logs", pod, "--container=main", *_words(begin)) as stream:
        while line := stream.line():
            yield line.decode(errors="replace").removesuffix("\n")
        code, errors = stream.end()
    if code != 0:
        raise explained(errors)


def follow_pod(kubectl: Kubectl, pod: str, begin: Beginning, clock: Clock) -> Iterator[str]:
    """What a pod's main container prints, until it has ended; a lost connection is made again. Raises ClusterError."""
    words, newest, whole_line = _words(begin), b"", True
    while True:
        with kubectl.stream("logs", pod, "--container=main", "--follow", "--timestamps", *words) as stream:
            while line := stream.line():
                # What is longer than a line may be comes in pieces, of which the first has the time.
                stamp = _STAMP.match(line) if whole_line else None
                whole_line = line.endswith(b"\n")
                if stamp is not None:
                    if stamp[1] <= newest:
                        continue  # it was shown before the connection was lost
                    newest = stamp[1]
                told = line[stamp.end() if stamp is not None else 0 :]
                yield told.decode(errors="replace").removesuffix("\n")
            code, errors = stream.end()
        if code == 0:
            return
        error = explained(errors)
        if not isinstance(error, UnreachedError) or not newest:
            raise error
        clock.sleep(POLL_SECONDS)
        words = [f"--since-time={newest.decode()}"]


def follow_driver(
    kubectl: Kubectl, job: Object, begin: Beginning, clock: Clock, note: Callable[[str], None]
) -> Iterator[str]:
    """What the driver prints, from attempt to attempt, until the job has ended. Raises ClusterError.

    note: is told what is waited for, once for each change.
    """
    name, shown, said = text(job, "metadata", "name"), 0, ""
    while phase(job) not in FINISHED:
        attempts = entries(job, "status", "attempts")
        newest = attempts[-1] if attempts else {}
        count = whole(newest, "number") or 0
        waits = f"{name} is {phase(job)}: {text(job, 'status', 'summary', 'message')}"
        if count > shown and is_live(newest):
            try:
                yield from follow_pod(kubectl, head_of(newest), begin if not shown else Beginning(), clock)
                shown, waits = count, f"the driver of attempt {count} has ended"
            except UnreachedError:
                raise
            except ClusterError as error:
                # Its container waits for its image, or the pod has gone: the status will tell.
                waits = str(error).splitlines()[0]
        if waits != said:
            note(waits)
            said = waits
        clock.sleep(POLL_SECONDS)
        job = calls.job(kubectl, name)


def _words(begin: Beginning) -> list[str]:
    return [
        *([f"--tail={begin.tail}"] if begin.tail is not None else []),
        *([f"--since={begin.since}"] if begin.since is not None else []),
    ]
