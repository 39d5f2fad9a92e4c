"""`headway logs`: what a job's processes print, or have printed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import click

from headway_api.wording import printable
from headway_cli.cluster import job_logs
from headway_cli.cluster.fields import Object, text
from headway_cli.cluster.job_lines import exit_code, phase
from headway_cli.cluster.kubectl import Kubectl, Target, again, job
from headway_cli.cluster.log_files import ALL, harmless, label
from headway_cli.cluster.names import FINISHED
from headway_cli.cluster.polling import Clock
from headway_cli.cluster.reading import Wanted, lines
from headway_cli.verbs.shared import (
    ClusterCommand,
    checked,
    complete_jobs,
    duration,
    is_terminal,
    note,
    target_options,
    telling_where,
)
from headway_cli.verbs.waiting import detaching

CLOCK = Clock()


def _rank(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is None or value == ALL or (value.isascii() and value.isdecimal() and len(value) < 7):  # noqa: PLR2004 - more than there can be
        return value
    raise click.BadParameter(f"write the number of a rank, counted from 0, or {ALL}")


def _pattern(_ctx: click.Context, _param: click.Parameter, value: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(value) if value is not None else None
    except re.error as error:
        raise click.BadParameter(f"is no regular expression: {error}") from error


def _duration(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        duration(value)
    return value


@click.command(cls=ClusterCommand, short_help="Print what a job's processes print, also when its pods are gone.")
@click.argument("name", metavar="JOB", shell_complete=complete_jobs)
@target_options
@click.option(
    "--rank", callback=_rank, metavar="N|all", help="A training process, or all.  [default: the driver, which has all]"
)
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Which attempt.  [default: the newest]")
@click.option("-f", "--follow", is_flag=True, help="Print new lines until the job ends; Ctrl-C leaves it running.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines (of each rank).")
@click.option("--since", callback=_duration, metavar="10m", help="Only lines of the last 10 minutes, of a running pod.")
@click.option("--grep", callback=_pattern, metavar="REGEX", help="Only lines in which it is found.")
@click.option(
    "--download",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the attempt's logs into DIR, a file for each process.",
)
@click.option("--reader-pod", is_flag=True, help="Let a short-lived pod read the storage, where only a pod can.")
def logs(
    name: str,
    *,
    target: Target,
    rank: str | None,
    attempt: int | None,
    follow: bool,
    tail: int | None,
    since: str | None,
    grep: re.Pattern[str] | None,
    download: Path | None,
    reader_pod: bool,
) -> None:
    """Print the log of the driver of JOB, which has what all workers print; or of training processes, by --rank.

    While the job runs, the driver's log comes from its pod. Ranks, ended attempts and --download come from the job's
    storage, where lines are some seconds later: from an object store with the credentials of this environment, from a
    volume by a pod of the job. Where it has none, --reader-pod makes one of the job's image, and deletes it again.

    With --follow the exit code is 1 if the job has failed, and 64 if it has by its own code or data.
    """
    if download is not None and (follow or tail is not None or grep is not None or since is not None):
        raise click.UsageError("--download fetches whole logs: leave --follow, --tail, --since and --grep out")
    kubectl = Kubectl(target)
    with telling_where(kubectl):
        found = job(kubectl, checked(name))
    name = text(found, "metadata", "name")
    with detaching(name):
        if download is not None:
            _download(kubectl, found, job_logs.attempt_of(found, attempt), rank, download, by_pod=reader_pod)
        else:
            wanted = Wanted(rank, attempt, follow=follow, tail=tail, since=since, by_pod=reader_pod)
            _Printer(grep).lines(lines(kubectl, found, wanted, CLOCK, note))
    if follow:
        _end(kubectl, found)


def _download(kubectl: Kubectl, found: Object, chosen: Object, rank: str | None, target: Path, *, by_pod: bool) -> None:
    note(f"({job_logs.place(chosen, CLOCK.now())})")
    with job_logs.folder_of(kubectl, found, chosen, by_pod=by_pod) as folder:
        for path, size in job_logs.download(folder, rank, target):
            click.echo(f"{printable(path)}   {size:,} bytes")


def _end(kubectl: Kubectl, found: Object) -> NoReturn:
    """Say how the job has ended, and end so."""
    last = again(kubectl, found)
    if phase(last) in FINISHED:
        message = text(last, "status", "summary", "message")
        note(
            f"{text(last, 'metadata', 'name')} has {'succeeded' if phase(last) == 'Succeeded' else 'failed'}: {message}"
        )
    sys.exit(exit_code(last))


class _Printer:
    """Prints lines: to a terminal harmless ones, elsewhere what they are."""

    def __init__(self, grep: re.Pattern[str] | None) -> None:
        self._grep, self._terminal = grep, is_terminal()

    def lines(self, lines: Iterable[job_logs.Line]) -> None:
        """Print them as they come."""
        for source, line in lines:
            if self._grep is None or self._grep.search(line):
                shown = harmless(line) if self._terminal else line
                # Colours that are left belong to a file, which is to have what was printed.
                click.echo(label(source) + shown, color=True)
