"""`headway diff`: a job in a cluster beside its file, and when each difference would count."""

from __future__ import annotations

import json
import shlex
import sys
from typing import Any

import click

from headway_api.changes import ABSENT, Change, Effect, changes
from headway_api.problems import path_text
from headway_api.understand import NotUnderstoodError
from headway_cli import job_file
from headway_cli.cluster.errors import EXIT_PROBLEM, ClusterError
from headway_cli.cluster.fields import text
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.kubectl import Kubectl, Target, job
from headway_cli.cluster.names import FINISHED
from headway_cli.verbs.shared import ClusterCommand, note, say, say_next, target_options, telling_where

_MOST_SHOWN = 60
"""Characters of a value."""


@click.command(cls=ClusterCommand, short_help="Tell how a job in a cluster differs from its file.")
@click.argument("file", type=click.Path(allow_dash=True), metavar="FILE")
@target_options
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a field of spec first, such as workers.replicas=8.",
)
def diff(file: str, *, target: Target, settings: tuple[str, ...]) -> None:
    """Compare the spec of a job in the cluster with that of FILE (- is standard input), defaults filled in.

    Each difference is told with what becomes of it: it applies now, counts from the next attempt on, or is refused, as
    it needs a new job. Nothing is changed. The exit code is 1 where one is refused, and 0 otherwise.
    """
    document = job_file.read(file, settings, command="headway diff")
    name = text(document, "metadata", "name")
    if not name:
        raise click.ClickException(
            f"{file} has metadata.generateName: give it the metadata.name of the job that is meant"
        )
    target = job_file.placed(document, target)
    kubectl = Kubectl(target)
    with telling_where(kubectl):
        found = job(kubectl, name)
    try:
        differences = changes(found, document["spec"])
    except NotUnderstoodError as error:
        raise ClusterError(
            f"the job's spec in the cluster is of another version of Headway: {error}\nInstall the version of headway "
            "that the cluster's operator has."
        ) from error
    if not differences:
        say(f"{name} is as the file says.")
        return
    for line in lines(differences):
        say(line)
    if phase(found) in FINISHED:
        note(f"{name} has ended ({phase(found)}): it does not begin again, unless tuning.trials is raised.")
    if any(each.effect is Effect.REFUSED for each in differences):
        say_next(
            target, f"headway submit {shlex.quote(file)} --name {name[:36].rstrip('-')}-2", f"headway status {name}"
        )
        sys.exit(EXIT_PROBLEM)
    say_next(target, f"kubectl apply -f {shlex.quote(file)}", f"headway status {name}")


def lines(differences: list[Change]) -> list[str]:
    """A line for each difference, those that are refused last."""
    order = list(Effect)
    size = max(len(each.effect) for each in differences)
    return [
        f"{each.effect:<{size}}   {path_text(each.path)}: {_shown(each.before)} -> {_shown(each.after)}"
        for each in sorted(differences, key=lambda each: order.index(each.effect))
    ]


def _shown(value: Any) -> str:
    if value is ABSENT:
        return "(none)"
    written = json.dumps(value)
    return written if len(written) <= _MOST_SHOWN else f"{written[:_MOST_SHOWN]}..."
