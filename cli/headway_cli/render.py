"""`headway render`: the objects that the operator makes for a job's first attempt, without a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
import yaml

from headway_api import wire
from headway_api.job import TrainingJob
from headway_api.wording import printable
from headway_cli import job_file
from headway_cli.cluster.kubectl import Target, is_name
from headway_cli.shown import PlainCommand
from headway_cli.verbs.shared import note
from headway_operator.policies import accounts
from headway_operator.settings import Settings
from headway_operator.training.plan.model import NewPod
from headway_operator.training.render import gang, network, objects, pods
from headway_operator.training.render.merge import RenderError
from headway_operator.training.render.objects import AttemptOf, Manifest

UID = "00000000-0000-0000-0000-000000000000"
"""In place of the job's uid, which the API server gives it."""
TOKEN = "made-anew-for-each-attempt"  # noqa: S105 - stands where each attempt has a secret of its own
UNKNOWN_IMAGE = "default-trainer-image-of-the-operator"
UNKNOWN_STORAGE = "s3://default-storage-of-the-operator"
_SAFE: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_SAFE):  # type: ignore[misc]  # which of the two it is depends on how PyYAML was built
    """Writes each object out, without anchors for parts that are in it twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


@dataclass(frozen=True)
class Wanted:
    """What to render beside the job."""

    namespace: str
    grouped: bool
    every: bool
    """Whether each worker pod, and not the first alone."""


@click.command(cls=PlainCommand, short_help="Print the objects that the operator would make for a job.")
@click.argument("file", type=click.Path(allow_dash=True), metavar="FILE")
@click.option("-n", "--namespace", metavar="NAME", help="The job's namespace.  [default: the file's, or default]")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a field of spec, such as workers.replicas=8."
)
@click.option("--image", metavar="NAME", help="The operator's default image, for a job that names none.")
@click.option("--storage", metavar="URI", help="The operator's default object store, for a job that names none.")
@click.option("--pod-group", is_flag=True, help="As on a cluster that serves PodGroups.")
@click.option("--all", "every", is_flag=True, help="Print each worker pod, and not the first alone.")
def render(
    file: str,
    *,
    namespace: str | None,
    settings: tuple[str, ...],
    image: str | None,
    storage: str | None,
    pod_group: bool,
    every: bool,
) -> None:
    """Print, as YAML, the objects that the operator would make for the first attempt of the job of FILE (- is standard
    input), by the operator's own code and without a cluster.

    They are for reading: the job's uid and the token of Ray are placeholders in them, and admission of the cluster
    may change them. What the operator's own settings give to jobs that do not say is told by --image and --storage.
    """
    document = job_file.read(file, settings, command="headway render")
    if namespace is not None and not is_name(namespace):
        raise click.UsageError(f"--namespace {printable(namespace)} is no name of a namespace")
    placed_in = job_file.placed(document, Target(namespace=namespace)).namespace or "default"
    _fill(document, image, storage)
    try:
        made = list(manifests(document, Wanted(placed_in, grouped=pod_group, every=every)))
    except RenderError as error:
        raise click.ClickException(printable(str(error))) from error
    for manifest in made:
        click.echo(f"---\n{yaml.dump(manifest, Dumper=_Dumper, sort_keys=False)}", nl=False)
    workers = sum(1 for each in made if each["kind"] == "Pod") - 1
    left = TrainingJob.model_validate(document).spec.workers.replicas - workers
    if left > 0:
        note(f"and {left:,} more worker pods like the last one: --all prints them")


def _fill(document: dict[str, Any], image: str | None, storage: str | None) -> None:
    """Put in what the operator would, judged as if the file said it. Raises InvalidJobError."""
    spec = document["spec"]
    for field, given, unknown in (("image", image, UNKNOWN_IMAGE), ("storage", storage, UNKNOWN_STORAGE)):
        if spec.get(field) is not None:
            continue
        if given is None:
            note(f"spec.{field} is left to the operator: {unknown} stands for it here, --{field} says what it is")
        value = given or unknown
        spec[field] = value if field == "image" else {"uri": value}
    job_file.refuse_mistakes(document)


def manifests(document: dict[str, Any], wanted: Wanted) -> Iterator[Manifest]:
    """The objects, in the order in which they are made. Raises RenderError for a pod template of the wrong shape.

    document: a TrainingJob that was judged already, with an image and a storage.
    """
    spec = TrainingJob.model_validate(document).spec
    metadata = document["metadata"]
    attempt = AttemptOf(
        namespace=wanted.namespace,
        job=metadata.get("name") or f"{metadata['generateName']}00000",
        uid=UID,
        number=1,
        workers=spec.workers.replicas,
        spec=spec,
        grouped=wanted.grouped,
    )
    yield accounts.service_account(wanted.namespace, wire.SERVICE_ACCOUNT)
    yield accounts.role_binding(wanted.namespace, wire.SERVICE_ACCOUNT)
    yield objects.config_map(attempt)
    yield objects.secret(attempt, TOKEN)
    yield network.service(attempt)
    yield network.network_policy(attempt)
    if wanted.grouped:
        yield gang.pod_group(attempt)
    workers = range(attempt.workers if wanted.every else 1)
    for new in (NewPod("head"), *(NewPod("worker", index) for index in workers)):
        yield pods.pod(attempt, new, Settings().image_pull_policy)
