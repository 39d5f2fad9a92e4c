"""Following what a job prints: its driver by `kubectl logs`, its ranks on its storage."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from headway_cli.cluster import kubectl as calls
from headway_cli.cluster.errors import ClusterError, explained
from headway_cli.cluster.fields import Object, entries, text, whole
from headway_cli.cluster.folders import MOST_LOG_BYTES, Folder
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.job_logs import Line, attempt_of, head_of, is_live, last
from headway_cli.cluster.kubectl import Kubectl
from headway_cli.cluster.log_files import Part, cut, parts, wanted
from headway_cli.cluster.names import FINISHED, MAIN_CONTAINER
from headway_cli.cluster.polling import Clock, Trouble, looked

POLL_SECONDS = 2.0
JOB_SECONDS = 6.0
"""How often the job is looked at while its storage is followed."""
MOST_TAIL_BYTES = 8 << 20
"""What is kept of a log whose end alone is asked for."""
_STAMP = re.compile(rb"((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)) ", re.ASCII)
"""By the node's clock, and in its zone: not each node's is UTC."""
_CONTAINER = f"--container={MAIN_CONTAINER}"
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
        size = min(size, start + MOST_LOG_BYTES)
        data = bytearray()
        while len(data) < size - start:
            piece = self._folder.read(part.file, start + len(data), size - start - len(data))
            if not piece:
                break
            data += piece
        self._read[part.file] = start + len(data)
        lines, self._rest[source] = cut(self._rest.get(source, b"") + bytes(data))
        return [line.decode(errors="replace") for line in lines]


def follow_kept(
    kubectl: Kubectl, job: Object, attempt: Object, following: Following, *, tail: int | None, clock: Clock
) -> Iterator[Line]:
    """The lines of an attempt of a job as they come to its storage, until it has ended. Raises ClusterError."""
    yield from following.begin(tail)
    over = False
    for found in looked(lambda: calls.again(kubectl, job), 0, clock):
        for _ in range(int(JOB_SECONDS / POLL_SECONDS)):
            try:
                lines = following.new()
            except ClusterError as error:
                clock.sleep(POLL_SECONDS)
                raise _gone(calls.again(kubectl, job), attempt, error) from error
            yield from lines
            if over and not lines:
                yield from following.rest()
                return
            clock.sleep(POLL_SECONDS)
        # What was printed last comes some seconds after the end.
        over = not isinstance(found, Trouble) and not is_live(attempt_of(found, whole(attempt, "number")))


def _gone(job: Object, attempt: Object, error: ClusterError) -> ClusterError:
    """Why a folder cannot be read any more: where a pod has read it, that has ended with the attempt."""
    count = whole(attempt, "number")
    if is_live(attempt_of(job, count)):
        return error
    command = f"headway logs {text(job, 'metadata', 'name')} --attempt {count} --reader-pod"
    return ClusterError(
        f"attempt {count} has ended, and its pod with it: `{command}` has the last lines, with the same --rank"
    )


def of_pod(kubectl: Kubectl, pod: str, begin: Beginning) -> Iterator[str]:
    """What a pod's main container has printed. Raises ClusterError, NotFoundError where the pod is gone."""
    with kubectl.stream("logs", pod, _CONTAINER, *_words(begin)) as stream:
        while line := stream.line():
            yield line.decode(errors="replace").removesuffix("\n")
        code, errors = stream.end()
    if code != 0:
        raise explained(errors)


def driver_tail(kubectl: Kubectl, pod: str, lines: int) -> list[str]:
    """The last lines that a pod's main container has printed, and no more than MOST_TAIL_BYTES of them.

    Raises ClusterError, NotFoundError where the pod is gone.
    """
    kept: deque[bytes] = deque()
    size = 0
    with kubectl.stream("logs", pod, _CONTAINER, f"--tail={lines}") as stream:
        while line := stream.line():
            kept.append(line)
            size += len(line)
            while size > MOST_TAIL_BYTES:
                size -= len(kept.popleft())
        code, errors = stream.end()
    if code != 0:
        raise explained(errors)
    return [line.decode(errors="replace").removesuffix("\n") for line in kept]


class PodLog:
    """What a pod's main container prints, over several connections: each goes on where the last one has ended.

    A connection ends with the container, but also when an API server or a kubelet is restarted, and kubectl does not
    tell which it was.
    """

    def __init__(self, kubectl: Kubectl, pod: str, begin: Beginning) -> None:
        self._kubectl, self._pod, self._words = kubectl, pod, _words(begin)
        self._newest, self._whole = b"", True

    def lines(self) -> Iterator[str]:
        """New lines until the connection ends. Raises ClusterError, NotFoundError where the pod is gone."""
        words = [f"--since-time={self._newest.decode()}"] if self._newest else self._words
        before = _moment(_STAMP.match(self._newest + b" "))
        with self._kubectl.stream("logs", self._pod, _CONTAINER, "--follow", "--timestamps", *words) as stream:
            while line := stream.line():
                # What is longer than a line may be comes in pieces, of which the first has the time.
                stamp = _STAMP.match(line) if self._whole else None
                self._whole = line.endswith(b"\n")
                moment = _moment(stamp)
                if stamp is not None and moment is not None:
                    if before is not None and moment <= before:
                        continue  # lines of the last second come again
                    self._newest = stamp[1]
                told = line[stamp.end() if stamp is not None else 0 :]
                yield told.decode(errors="replace").removesuffix("\n")
            code, errors = stream.end()
        self._whole = True
        if code != 0:
            raise explained(errors)


def follow_driver(
    kubectl: Kubectl, job: Object, begin: Beginning, clock: Clock, note: Callable[[str], None]
) -> Iterator[str]:
    """What the driver prints, from attempt to attempt, until the job has ended. Raises ClusterError.

    note: is told what is waited for, once for each change.
    """
    name = text(job, "metadata", "name")
    log, shown, said = None, 0, ""
    looks = looked(lambda: calls.again(kubectl, job), POLL_SECONDS, clock)
    for found in looks:
        if isinstance(found, Trouble):
            waits = f"{found}: it is asked again"
        else:
            if phase(found) in FINISHED:
                return
            attempts = entries(found, "status", "attempts")
            newest = attempts[-1] if attempts else {}
            count = whole(newest, "number") or 0
            waits = f"{name} is {phase(found)}: {text(found, 'status', 'summary', 'message')}"
            if count and is_live(newest):
                if log is None or count > shown:
                    log = PodLog(kubectl, head_of(newest), begin if log is None else Beginning())
                    shown = count
                try:
                    yield from log.lines()
                except ClusterError as error:
                    # Its container waits for its image, or the pod or the cluster has gone: the next look will tell.
                    waits = str(error).splitlines()[0]
        if waits != said:
            note(waits)
            said = waits


def _moment(stamp: re.Match[bytes] | None) -> tuple[datetime, bytes] | None:
    """When a line was printed: the second, and the fraction's digits, of which there are more than datetime has."""
    if stamp is None:
        return None
    try:
        second = datetime.fromisoformat((stamp[2] + stamp[4]).decode())
    except ValueError:
        return None
    return second, (stamp[3] or b".").ljust(10, b"0")


def _words(begin: Beginning) -> list[str]:
    return [
        *([f"--tail={begin.tail}"] if begin.tail is not None else []),
        *([f"--since={begin.since}"] if begin.since is not None else []),
    ]
