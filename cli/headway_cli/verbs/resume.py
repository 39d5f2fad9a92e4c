"""`headway resume`: a suspended job goes on from its checkpoint."""

from __future__ import annotations

import sys
from typing import Any

import click

from headway_cli.cluster import steering
from headway_cli.cluster.fields import Object, text
from headway_cli.cluster.job_lines import exit_code, phase
from headway_cli.cluster.kubectl import Kubectl, Target, job
from headway_cli.cluster.polling import Clock
from headway_cli.verbs.shared import (
    ClusterCommand,
    checked,
    complete_jobs,
    say,
    say_next,
    target_options,
    telling_where,
    wait_options,
)
from headway_cli.verbs.waiting import awaited, detaching

CLOCK = Clock()


@click.command(cls=ClusterCommand, short_help="Continue a suspended job from its checkpoint.")
@click.argument("name", metavar="JOB", shell_complete=complete_jobs)
@target_options
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a field of spec, such as workers.replicas=8."
)
@wait_options
def resume(name: str, *, target: Target, settings: tuple[str, ...], wait: bool, timeout: float) -> None:
    """Let the suspended JOB continue. --set changes what may change of a job that has begun, as the number of workers.

    The command waits until all pods are ready; Ctrl-C, --wait=false or the end of --timeout end the waiting, and
    nothing else. The exit code is 4 where the time was not enough, as there may be no room for a long time.
    """
    kubectl = Kubectl(target)
    with telling_where(kubectl):
        found = job(kubectl, checked(name))
    name = text(found, "metadata", "name")
    changes = _changes(found, settings)
    if phase(found) == "Running" and not changes:
        say(f"{name} runs already.")
        say_next(target, f"headway logs {name} -f", f"headway status {name} -w")
        return
    sent = steering.resume(kubectl, found, changes)
    if phase(found) != "Suspended" and changes:
        say(f"{name} was not suspended: a changed number of workers counts from its next attempt on.")
    if not wait:
        say(f"{name} is asked to go on.")
        say_next(target, f"headway status {name} -w", f"headway logs {name} -f")
        return
    with detaching(name):
        last, seconds = awaited(steering.until_running(kubectl, sent, CLOCK, timeout), CLOCK)
    say(steering.resumed_words(last, seconds))
    say_next(target, f"headway logs {name} -f", f"headway status {name} -w")
    sys.exit(exit_code(last))


def _changes(found: Object, settings: tuple[str, ...]) -> dict[str, Any]:
    """The part of the spec that the settings change. Raises InputError that names every mistake."""
    if not settings:
        return {}
    from headway_cli.overrides import changes_of, setting_of  # with pydantic, which few calls need

    return changes_of(found, map(setting_of, settings))
