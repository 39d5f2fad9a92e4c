"""`headway top`: which jobs hold GPUs, what they make of them, and who waits."""

from __future__ import annotations

import click

from headway_cli.cluster.kubectl import Kubectl, Target, objects
from headway_cli.cluster.names import TRAINING_JOBS
from headway_cli.cluster.polling import Clock
from headway_cli.cluster.tables import laid_out
from headway_cli.cluster.top import HEADS, NOTHING, SORTS, measured, rows
from headway_cli.verbs.shared import ClusterCommand, all_namespaces_option, say, target_options, telling_where, width

CLOCK = Clock()


@click.command(cls=ClusterCommand, short_help="Show which jobs hold GPUs, how busy, and who waits.")
@target_options
@all_namespaces_option
@click.option("-l", "--selector", metavar="LABELS", help="Only jobs with these labels.")
@click.option("--sort", type=click.Choice(SORTS), default="gpus", show_default=True, help="What comes first.")
@click.option(
    "--prometheus",
    envvar="HEADWAY_PROMETHEUS",
    show_envvar=True,
    metavar="URL",
    help="A Prometheus with the chart's recording rules, for the columns USE and MEMORY.",
)
def top(*, target: Target, selector: str | None, sort: str, prometheus: str | None) -> None:
    """Show the jobs that have not ended: GPUs held or wanted, how busy they are and how much memory the fullest has in
    use, rows a second, goodput, GPU-hours so far, and since when and why a job waits.
    """
    kubectl = Kubectl(target)
    words = [f"--selector={selector}"] if selector is not None else []
    with telling_where(kubectl):
        jobs = objects(kubectl.get(TRAINING_JOBS, *words))
    use = measured(prometheus) if prometheus is not None else NOTHING
    found = rows(jobs, use, CLOCK.now(), sort)
    if not found:
        say("No job holds or wants anything.")
        return
    for line in laid_out(HEADS, found, width()):
        say(line)
