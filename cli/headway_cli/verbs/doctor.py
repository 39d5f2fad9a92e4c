"""`headway doctor`: what is wrong with an installation, and why a job does not run."""

from __future__ import annotations

import dataclasses
import json
import sys
from importlib.metadata import PackageNotFoundError, version

import click

from headway_cli.cluster.doctor.checks import UNKNOWABLE, findings, problems
from headway_cli.cluster.doctor.facts import Finding, Level, served_fields
from headway_cli.cluster.doctor.gather import gather
from headway_cli.cluster.doctor.why import of_deployment, of_job
from headway_cli.cluster.errors import EXIT_DONE, EXIT_PROBLEM
from headway_cli.cluster.fields import Object, text
from headway_cli.cluster.kubectl import Kubectl, Target, find, is_name, missing, objects, where
from headway_cli.cluster.polling import Clock
from headway_cli.verbs.shared import (
    ClusterCommand,
    complete_objects,
    say,
    say_next,
    split_name,
    target_options,
    tell_where,
)

CLOCK = Clock()
_INDENT = " " * 6


@click.command(cls=ClusterCommand, short_help="Say what is wrong with an installation, or why a job does not run.")
@click.argument("name", required=False, metavar="[JOB | md/NAME]", shell_complete=complete_objects)
@target_options
@click.option(
    "--operator-namespace",
    metavar="NAME",
    help="Where the operator is, for those who may not look in all namespaces.  [default: all are looked at]",
)
@click.option("-v", "--verbose", is_flag=True, help="Also what no check can know.")
@click.option("-o", "--output", type=click.Choice(["json"]), help="For programs.")
def doctor(
    name: str | None, *, target: Target, operator_namespace: str | None, verbose: bool, output: str | None
) -> None:
    """Say what is wrong with Headway in this cluster and namespace, and what to do about it; with a name first why that
    job does not run, or that deployment does not serve. It only reads. What you may not see is "not checked", and is no
    problem.

    The exit code is 1 where a line says FAIL, and 3 where the cluster was not reached.
    """
    if operator_namespace is not None and not is_name(operator_namespace):
        raise click.UsageError("--operator-namespace is no name of a namespace")
    kind, only = split_name(name) if name is not None else (None, None)
    kubectl = Kubectl(target)
    place = where(kubectl.where(), target)
    if not is_name(place.namespace):
        raise click.UsageError("the kubeconfig's namespace is no name of a namespace: give --namespace")
    if output is None:
        tell_where(place)
    named = _named(kubectl, kind, only) if only is not None else None
    facts = gather(
        kubectl,
        place.namespace,
        CLOCK.now(),
        operator_namespace=operator_namespace,
        own_version=_own_version(),
        known=_known_fields,
    )
    is_job = text(named, "kind") == "TrainingJob"
    found = findings(facts, named if is_job else None)
    if named is not None:
        found.insert(0, of_job(facts, named) if is_job else of_deployment(named))
    if verbose:
        found.append(UNKNOWABLE)
    if output is not None:
        click.echo(json.dumps([dataclasses.asdict(each) for each in found], indent=2))
    else:
        _print(found)
        if named is not None and is_job:
            say_next(target, f"headway events {only}", f"headway logs {only}")
    sys.exit(EXIT_PROBLEM if problems(found) else EXIT_DONE)


def _named(kubectl: Kubectl, kind: str | None, name: str) -> Object:
    """The object that is looked at; of a job and a deployment of that name the job."""
    found = objects(find(kubectl, kind, name))
    if not found:
        raise missing(kubectl.target, "TrainingJob or ModelDeployment", name)
    return next((each for each in found if text(each, "kind") == "TrainingJob"), found[0])


def _own_version() -> str:
    try:
        return version("headway")
    except PackageNotFoundError:
        return ""


def _known_fields() -> dict[str, frozenset[str]]:
    """The fields of the kinds that this version has."""
    from headway_api import GROUP
    from headway_api.crd import KINDS, definition

    return {f"{kind.plural}.{GROUP}": served_fields(definition(kind)) for kind in KINDS}


def _print(found: list[Finding]) -> None:
    for each in found:
        say(f"{each.level:<4}  {each.said}", mark=each.level)
        if each.fix:
            say(f"{_INDENT}fix: {each.fix}")
    told = [
        f"{count} {word}{'' if count == 1 else 's'}"
        for level, word in ((Level.FAIL, "problem"), (Level.WARN, "warning"))
        if (count := problems(found, level))
    ]
    say(", ".join(told) or "no problem found")
