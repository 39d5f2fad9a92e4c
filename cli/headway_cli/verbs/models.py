"""`headway models`: the finished models of a cluster's jobs, and who serves them."""

from __future__ import annotations

from contextlib import closing

import click

from headway_cli.cluster import models as found_models
from headway_cli.cluster.kubectl import Kubectl, Target, objects
from headway_cli.cluster.names import MODEL_DEPLOYMENTS, TRAINING_JOBS
from headway_cli.cluster.polling import Clock
from headway_cli.cluster.tables import laid_out
from headway_cli.verbs.shared import ClusterCommand, all_namespaces_option, say, target_options, telling_where, width

CLOCK = Clock()


@click.command(cls=ClusterCommand, short_help="List the models that jobs have left, and who serves them.")
@target_options
@all_namespaces_option
@click.option("-l", "--selector", metavar="LABELS", help="Only models of jobs with these labels.")
@click.option("-o", "--output", type=click.Choice(["wide"]), help="With the place of each.")
def models(*, target: Target, selector: str | None, output: str | None) -> None:
    """List the finished models, the newest first: metric, size, the versions of ModelDeployments that have it, and the
    digest by which `spec.versions.source` of a ModelDeployment names it.
    """
    kubectl = Kubectl(target)
    words = [f"--selector={selector}"] if selector is not None else []
    with (
        telling_where(kubectl),
        closing(kubectl.get(TRAINING_JOBS, *words)) as jobs,
        closing(kubectl.get(MODEL_DEPLOYMENTS)) as deployments,
    ):
        found = [*objects(jobs), *objects(deployments)]
    heads, rows = found_models.rows(found, CLOCK.now(), namespaces=target.all_namespaces, wide=output is not None)
    if not rows:
        say("No job has left a model.")
        return
    for line in laid_out(heads, rows, width()):
        say(line)
