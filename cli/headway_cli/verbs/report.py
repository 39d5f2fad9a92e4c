"""`headway report`: the report of a finished job, and its files."""

from __future__ import annotations

from pathlib import Path

import click

from headway_api.wording import printable
from headway_cli.cluster import reports
from headway_cli.cluster.fields import Object
from headway_cli.cluster.kubectl import Kubectl, Target, job
from headway_cli.cluster.log_files import harmless
from headway_cli.verbs.shared import (
    ClusterCommand,
    checked,
    complete_jobs,
    is_terminal,
    note,
    target_options,
    telling_where,
)


@click.command(cls=ClusterCommand, short_help="Print a finished job's report, or fetch what the job has left.")
@click.argument("name", metavar="JOB", shell_complete=complete_jobs)
@target_options
@click.option(
    "--download",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write report, result and model into DIR.",
)
@click.option("--reader-pod", is_flag=True, help="Let a short-lived pod read the storage, where only a pod can.")
def report(name: str, *, target: Target, download: Path | None, reader_pod: bool) -> None:
    """Print report.md of JOB and where its time went, or fetch all files of its result. Each file is held against the
    digest in the job's status; the time, and goodput with it, is from that status.

    They come from the job's storage: from an object store with the credentials of this environment, from a volume by
    --reader-pod, which makes a pod of the job's image and deletes it again.
    """
    kubectl = Kubectl(target)
    with telling_where(kubectl):
        found = job(kubectl, checked(name))
    if download is None:
        _print(reports.content(kubectl, found, reports.REPORT, by_pod=reader_pod, note=note).decode(errors="replace"))
    else:
        for path, size in reports.download(kubectl, found, download, by_pod=reader_pod, note=note):
            click.echo(f"{printable(str(path))}   {size:,} bytes")
    _print_time(found)


def _print_time(job: Object) -> None:
    """What the operator has counted follows what the driver has written."""
    if section := reports.time_section(job):
        _print(f"\n{section}")


def _print(text: str) -> None:
    terminal = is_terminal()
    for line in text.splitlines():
        click.echo(harmless(line) if terminal else line, color=True)
