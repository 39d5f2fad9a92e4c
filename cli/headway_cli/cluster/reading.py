"""The lines of a job's logs, from wherever they are: the driver's pod, or the storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from headway_cli.cluster import job_logs
from headway_cli.cluster.errors import NodeAwayError, NotFoundError, UsageError
from headway_cli.cluster.fields import Object, whole
from headway_cli.cluster.following import Beginning, Following, follow_driver, follow_kept, of_pod
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.job_logs import Line
from headway_cli.cluster.kubectl import Kubectl
from headway_cli.cluster.log_files import DRIVER
from headway_cli.cluster.names import FINISHED
from headway_cli.cluster.polling import Clock

Note = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """Which lines."""

    rank: str | None = None
    """A number, `all` for those of all ranks, or None for the driver, which has them all."""
    attempt: int | None = None
    """Of the newest attempt if None."""
    follow: bool = False
    """Whether to go on as lines come, until the job has ended."""
    tail: int | None = None
    """Only the last lines (of each rank)."""
    since: str | None = None
    """Only lines since then, as kubectl has it; of a driver that runs."""
    by_pod: bool = False
    """Whether a pod may be made to read the storage."""

    @property
    def by_driver(self) -> bool:
        """Whether the driver's pod could have them."""
        return self.rank is None and not self.by_pod

    def beginning(self) -> Beginning:
        """Where to begin."""
        return Beginning(self.tail, self.since)


def lines(kubectl: Kubectl, job: Object, wanted: Wanted, clock: Clock, note: Note) -> Iterator[Line]:
    """The lines, as they come. note: is told where they come from, and what is waited for.

    Raises ClusterError, and UsageError for `since` where lines have no times.
    """
    if wanted.follow and wanted.by_driver and wanted.attempt is None:
        yield from _followed(kubectl, job, wanted, clock, note)
        return
    chosen = job_logs.attempt_of(job, wanted.attempt)
    by_driver = wanted.by_driver and job_logs.is_live(chosen)
    if wanted.since is not None and not by_driver:
        raise UsageError("--since is for the driver of a running attempt: lines on the storage have no times")
    if by_driver:
        try:
            yield from ((DRIVER, line) for line in of_pod(kubectl, job_logs.head_of(chosen), wanted.beginning()))
        except (NotFoundError, NodeAwayError) as error:
            gone = "is gone" if isinstance(error, NotFoundError) else "is on a node that does not answer"
            note(f"the driver's pod of attempt {whole(chosen, 'number')} {gone}")
        else:
            return
    note(f"({job_logs.place(chosen, clock.now())})")
    with job_logs.folder_of(kubectl, job, chosen, by_pod=wanted.by_pod) as folder:
        if wanted.follow and job_logs.is_live(chosen):
            following = Following(folder, wanted.rank)
            yield from follow_kept(kubectl, job, chosen, following, tail=wanted.tail, clock=clock)
        else:
            yield from job_logs.kept(folder, wanted.rank, wanted.tail)


def _followed(kubectl: Kubectl, job: Object, wanted: Wanted, clock: Clock, note: Note) -> Iterator[Line]:
    """The driver's lines until the job has ended."""
    if phase(job) in FINISHED:
        newest = job_logs.attempt_of(job, None)
        note(f"({job_logs.place(newest, clock.now())})")
        with job_logs.folder_of(kubectl, job, newest, by_pod=False) as folder:
            yield from job_logs.kept(folder, None, wanted.tail)
        return
    for line in follow_driver(kubectl, job, wanted.beginning(), clock, note):
        yield DRIVER, line
