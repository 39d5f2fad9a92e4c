"""`headway stop`: a job gives its pods back, and keeps what it has come to."""

from __future__ import annotations

import sys

import click

from headway_cli.cluster import steering
from headway_cli.cluster.fields import text
from headway_cli.cluster.job_lines import exit_code
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


@click.command(cls=ClusterCommand, short_help="Suspend a job: it saves a checkpoint and frees its GPUs.")
@click.argument("name", metavar="JOB", shell_complete=complete_jobs)
@target_options
@wait_options
def stop(name: str, *, target: Target, wait: bool, timeout: float) -> None:
    """Suspend JOB: its driver saves a checkpoint, then its pods are deleted. `headway resume` continues from there.

    The command waits until no pod is left; Ctrl-C, --wait=false or the end of --timeout end the waiting, and not the
    stopping. The exit code is 4 where the time was not enough.
    """
    kubectl = Kubectl(target)
    with telling_where(kubectl):
        found = job(kubectl, checked(name))
    name = text(found, "metadata", "name")
    if steering.is_suspended(found):
        say(f"{name} is suspended already.")
        say_next(target, f"headway resume {name}", f"headway status {name}")
        return
    sent = steering.suspend(kubectl, found)
    if not wait:
        say(f"{name} is asked to stop.")
        say_next(target, f"headway status {name} -w", f"headway resume {name}")
        return
    with detaching(name, "is asked to stop, and will"):
        last, seconds = awaited(steering.until_suspended(kubectl, sent, CLOCK, timeout), CLOCK)
    say(steering.suspended_words(last, seconds))
    say_next(target, f"headway resume {name}", f"headway logs {name}")
    sys.exit(exit_code(last))
