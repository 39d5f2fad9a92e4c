"""`headway report`: the report of a finished job, and its files."""

from __future__ import annotations

from pathlib import Path

import click

from headway_api.wording import printable
from headway_cli.cluster import reports
from headway_cli.cluster.errors import NotFoundError
from headway_cli.cluster.fields import Object
from headway_cli.cluster.job_logs import folder_at
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
    files = reports.files(found)
    wanted = files if download is not None else [each for each in files if each.kind == reports.REPORT]
    if not wanted:
        known = ", ".join(each.kind for each in files)
        raise NotFoundError(f"{name} has left no report, but {known}: fetch them by --download DIR")
    for folder_uri in dict.fromkeys(each.folder for each in wanted):
        here = [each for each in wanted if each.folder == folder_uri]
        note(f"(from {folder_uri})")
        with folder_at(kubectl, found, folder_uri, by_pod=reader_pod) as folder:
            if download is not None:
                for path, size in reports.fetch(folder, here, download):
                    click.echo(f"{printable(str(path))}   {size:,} bytes")
            else:
                _print(reports.read(folder, here[0]).decode(errors="replace"))
    _print_time(found)


def _print_time(job: Object) -> None:
    """What the operator has counted follows what the driver has written."""
    if section := reports.time_section(job):
        _print(f"\n{section}")


def _print(text: str) -> None:
    terminal = is_terminal()
    for line in text.splitlines():
        click.echo(harmless(line) if terminal else line, color=True)
