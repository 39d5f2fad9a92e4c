"""`headway submit`: the job of a file begins in a cluster, with the user's own code."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from headway_api.wording import listed
from headway_cli import job_file, submitting
from headway_cli.cluster import code_maps, prospects
from headway_cli.cluster.code_maps import Packed
from headway_cli.cluster.fields import text
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.kubectl import Kubectl, Target, where
from headway_cli.overrides import setting_of
from headway_cli.submitting import Submitted
from headway_cli.verbs.shared import ClusterCommand, note, say, say_next, target_options, tell_where

COMMAND = "headway submit"
_MOST_NAMED = 5
"""How many names of files that were left out are told."""
_INDENT = 11


@click.command(cls=ClusterCommand, short_help="Start the job of a file in a cluster.")
@click.argument("file", type=click.Path(allow_dash=True), metavar="FILE")
@target_options
@click.option(
    "--code",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of your own Python modules, up to 1 MiB: they go along in a ConfigMap.",
)
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a field of spec, such as training.epochs=3."
)
@click.option("--name", help="The job's name, in place of the file's.")
@click.option(
    "--idempotency-key",
    "key",
    metavar="TEXT",
    help="Submitted again with the same key, the job is found and not made a second time.",
)
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
    key: str | None,
    watch: bool,
    dry_run: str | None,
) -> None:
    """Start the TrainingJob of FILE (- is standard input), after the checks of `headway validate`.

    A job of that name that is there already is left as it is, and the command fails; unless it was submitted with the
    same --idempotency-key: then it is the job. --code takes the place of `spec.code`: the modules (*.py) of the folder
    become a ConfigMap that is deleted with the job. With --watch the exit code is that of `headway status`.
    """
    if watch and dry_run:
        raise click.UsageError("--dry-run makes no job that --watch could show: leave one of the two out")
    document = job_file.alone(file, command=COMMAND, nothing_else=True)
    packed = code_maps.pack(code) if code is not None else None
    given = submitting.prepared(document, settings=map(setting_of, settings), name=name, packed=packed, key=key)
    target = job_file.placed(given.document, target)
    kubectl = Kubectl(target)
    tell_where(where(kubectl.where(), target))
    if (warning := submitting.path_warning(given.document)) is not None:
        note(warning)
    if packed is not None:
        _tell_packed(packed)
    for subject, told in prospects.lines(kubectl, given.document):
        say(f"{subject:<{_INDENT}}{told}")
    submitted = submitting.submit(kubectl, given, note, dry_run=dry_run is not None)
    called = text(submitted.job, "metadata", "name")
    if dry_run and not submitted.again:
        say(f"trainingjob/{called} would be created: the API server takes it. Nothing was made.")
        return
    _tell(submitted)
    say_next(target, f"headway status {called} -w", f"headway logs {called} -f")
    if watch:
        note("Ctrl-C leaves the job running.")
        from headway_cli.verbs import status

        sys.exit(status.follow(kubectl, called))


def _tell(submitted: Submitted) -> None:
    called = text(submitted.job, "metadata", "name")
    if submitted.again:
        say(f"{'found':<{_INDENT}}trainingjob/{called}, submitted with this key before: it is {phase(submitted.job)}")
        return
    if submitted.config_map is not None:
        say(f"{'created':<{_INDENT}}configmap/{submitted.config_map}")
    say(f"{'created':<{_INDENT}}trainingjob/{called}")


def _tell_packed(packed: Packed) -> None:
    count = len(packed.files)
    named = listed(list(packed.files), _MOST_NAMED)
    say(f"{'code':<{_INDENT}}{count} module{'s' if count != 1 else ''}, {packed.size:,} bytes: {named}")
    if packed.left_out:
        note(f"Not packed, as only modules (*.py) are: {listed(packed.left_out, _MOST_NAMED)}")
