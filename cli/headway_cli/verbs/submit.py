"""`headway submit`: the job of a file begins in a cluster, with the user's own code."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import click

from headway_api.wording import listed
from headway_cli import job_file
from headway_cli.cluster import code_maps
from headway_cli.cluster.code_maps import Packed
from headway_cli.cluster.errors import ClusterError, ExistsError, RefusedError
from headway_cli.cluster.fields import Object, text
from headway_cli.cluster.kubectl import Kubectl, Target, where
from headway_cli.overrides import set_field
from headway_cli.verbs.shared import ClusterCommand, note, placed, say, say_next, target_options, tell_where

COMMAND = "headway submit"
_MOST_NAMED = 5
"""How many names of files that were left out are told."""


@click.command(cls=ClusterCommand, short_help="Start the job of a file in a cluster.")
@click.argument("file", type=click.Path(allow_dash=True), metavar="FILE")
@target_options
@click.option(
    "--code",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of your own Python modules, up to 1 MiB: they go along in a ConfigMap.",
)
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a field of spec, e.g. training.epochs=3."
)
@click.option("--name", help="The job's name, in place of the file's.")
@click.option(
    "-w", "--watch", is_flag=True, help="Then show what the job does until it ends; Ctrl-C leaves it running."
)
@click.option("--dry-run", type=click.Choice(["server"]), help="The API server judges the job, and nothing is made.")
def submit(
    file: str,
    *,
    target: Target,
    code: Path | None,
    settings: tuple[str, ...],
    name: str | None,
    watch: bool,
    dry_run: str | None,
) -> None:
    """Start the TrainingJob of FILE (- is standard input), after the checks of `headway validate`.

    A job of that name that is there already is left as it is, and the command fails. --code takes the place of
    `spec.code`: the modules (*.py) of the folder become a ConfigMap that is deleted with the job. With --watch the exit
    code is that of `headway status`.
    """
    if watch and dry_run:
        raise click.UsageError("--dry-run makes no job that --watch could show: leave one of the two out")
    document = job_file.alone(file, command=COMMAND, nothing_else=True)
    packed = code_maps.pack(code) if code is not None else None
    document = changed(document, settings, name, packed)
    target = placed(document, target)
    kubectl = Kubectl(target)
    tell_where(where(kubectl.where(), target))
    _warn_of_paths(document)
    if packed is not None:
        _tell_packed(packed)
    try:
        made = _made(kubectl, document, packed, dry_run=dry_run is not None)
    except ExistsError as error:
        raise ExistsError(_exists(error, document, target)) from error
    called = text(made, "metadata", "name")
    if dry_run:
        say(f"trainingjob/{called} would be created: the API server takes it. Nothing was made.")
        return
    say(f"created    trainingjob/{called}")
    say_next(target, f"headway status {called} -w", f"headway logs {called} -f")
    if watch:
        note("Ctrl-C leaves the job running.")
        from headway_cli.verbs import status

        sys.exit(status.follow(kubectl, called))


def changed(document: Object, settings: tuple[str, ...], name: str | None, packed: Packed | None) -> Object:
    """The document with what the command's options say, judged again. Raises ClickException."""
    document = copy.deepcopy(document)
    for setting in settings:
        set_field(document, setting)
    if name is not None:
        document["metadata"].pop("generateName", None)
        document["metadata"]["name"] = name
    if packed is not None:
        # The API server gives the ConfigMap its name; until then this one stands for it.
        document["spec"]["code"] = {"configMap": {"name": f"{_title(document)}-code"}}
    document.pop("status", None)
    job_file.refuse_mistakes(document)
    return document


def _made(kubectl: Kubectl, document: Object, packed: Packed | None, *, dry_run: bool) -> Object:
    """The job as the API server has it, its code first. Raises ClusterError."""
    if packed is None:
        return kubectl.create(document, dry_run=dry_run)
    code = code_maps.manifest(_title(document), packed)
    # Judged before anything is made, so that a mistake leaves no ConfigMap behind.
    judged = kubectl.create(document, dry_run=True)
    if dry_run:
        kubectl.create(code, dry_run=True)
        return judged
    name = text(kubectl.create(code), "metadata", "name")
    document = copy.deepcopy(document)
    document["spec"]["code"]["configMap"]["name"] = name
    try:
        made = kubectl.create(document)
    except RefusedError:
        try:
            code_maps.remove(kubectl, name)
        except ClusterError as error:
            note(f"{error}\nconfigmap/{name}, with the job's code, was left behind.")
        raise
    except (ClusterError, KeyboardInterrupt):
        note(f"Whether the job was made is not known. Its code is configmap/{name}: delete that if there is no job.")
        raise
    say(f"created    configmap/{name}")
    try:
        code_maps.adopt(kubectl, name, made)
    except ClusterError as error:
        note(f"{error}\nSo configmap/{name} stays when the job is deleted: `kubectl delete configmap {name}` then.")
    return made


def _title(document: Object) -> str:
    metadata: dict[str, Any] = document["metadata"]
    return str(metadata.get("name") or metadata.get("generateName")).rstrip("-")


def _tell_packed(packed: Packed) -> None:
    count = len(packed.files)
    named = listed(list(packed.files), _MOST_NAMED)
    say(f"code       {count} module{'s' if count != 1 else ''}, {packed.size:,} bytes: {named}")
    if packed.left_out:
        note(f"Not packed, as only modules (*.py) are: {listed(packed.left_out, _MOST_NAMED)}")


def _warn_of_paths(document: Object) -> None:
    """Tell of data that only this machine may have."""
    uri = text(document, "spec", "data", "source", "uri")
    if uri and ("://" not in uri or uri.startswith("file://")):
        note(
            f"spec.data.source.uri {uri} is a path: the job's pods look for it in their image and volumes, and see no "
            "file of this machine (docs/how-to/data-and-storage.md)"
        )


def _exists(error: ExistsError, document: Object, target: Target) -> str:
    name = _title(document)
    return (
        f"{error}\nIt was left as it is: see `headway status {name}{target.options()}`. Give this job another name "
        f"with --name, or delete that one first: `kubectl delete trainingjob {name}{target.options()}`"
    )
