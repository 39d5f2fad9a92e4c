"""`headway events`: what has happened to a job, in one order."""

from __future__ import annotations

import dataclasses
import json
import sys

import click

from headway_api.wording import printable
from headway_cli.cluster.events import happened
from headway_cli.cluster.fields import Object, text
from headway_cli.cluster.job_lines import exit_code, phase
from headway_cli.cluster.kubectl import Kubectl, Target, again, job
from headway_cli.cluster.names import FINISHED
from headway_cli.cluster.polling import Clock, Trouble, looked
from headway_cli.cluster.tables import fitted
from headway_cli.cluster.timeline import Entry
from headway_cli.verbs.shared import (
    ClusterCommand,
    checked,
    complete_jobs,
    note,
    say,
    target_options,
    telling_where,
    width,
)
from headway_cli.verbs.waiting import detaching

CLOCK = Clock()
LOOK_SECONDS = 3.0
_LONGEST_WHAT = 24


@click.command(cls=ClusterCommand, short_help="Tell what has happened to a job, in one order.")
@click.argument("name", metavar="JOB", shell_complete=complete_jobs)
@target_options
@click.option("-w", "--watch", is_flag=True, help="Keep watching until the job ends; Ctrl-C leaves it running.")
@click.option("--warnings", is_flag=True, help="Only what went wrong.")
@click.option("-o", "--output", type=click.Choice(["json"]), help="For programs.")
def events(name: str, *, target: Target, watch: bool, warnings: bool, output: str | None) -> None:
    """Tell what has happened to JOB: its attempts, losses, checkpoints and conditions, which its status keeps, and the
    Events of it and of its pods, which Kubernetes forgets after an hour. Times are UTC.
    """
    if watch and output is not None:
        raise click.UsageError("--watch prints lines, and no JSON: leave one of the two out")
    kubectl = Kubectl(target)
    with telling_where(kubectl, quiet=output is not None):
        found = job(kubectl, checked(name))
    entries, seen = happened(kubectl, found)
    if output is not None:
        chosen = [dataclasses.asdict(each) for each in entries if each.warning or not warnings]
        click.echo(json.dumps(chosen, indent=2))
        return
    if not seen:
        note("You may not see Events in this namespace: this is what the job's status tells.")
    _print(entries, warnings=warnings)
    if watch:
        name = text(found, "metadata", "name")
        with detaching(name):
            _watch(kubectl, found, set(entries), warnings=warnings)


def _watch(kubectl: Kubectl, watched: Object, told: set[Entry], *, warnings: bool) -> None:
    """Print what comes."""

    def look() -> tuple[bool, int, list[Entry]]:
        found = again(kubectl, watched)
        return phase(found) in FINISHED, exit_code(found), happened(kubectl, found)[0]

    for seen in looked(look, LOOK_SECONDS, CLOCK):
        if isinstance(seen, Trouble):
            note(f"{seen}: it is asked again")
            continue
        ended, code, entries = seen
        _print([each for each in entries if each not in told], warnings=warnings)
        told.update(entries)
        if ended:
            sys.exit(code)


def _print(entries: list[Entry], *, warnings: bool) -> None:
    columns = width()
    for each in entries:
        if each.warning or not warnings:
            say(fitted(_line(each), columns))


def _line(entry: Entry) -> str:
    when = f"{entry.order:%Y-%m-%d %H:%M:%S}"
    what = f"{'!' if entry.warning else ' '} {printable(entry.what):<{_LONGEST_WHAT}}"
    often = f" ({entry.count} times)" if entry.count > 1 else ""
    about = f"{entry.about}: " if entry.about else ""
    return printable(f"{when} {what} {about}{entry.detail}{often}".rstrip())
