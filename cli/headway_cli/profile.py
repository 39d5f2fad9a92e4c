"""`headway profile`: what the columns of a source are taken for, and what people should know, without training."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from pydantic import ValidationError
from rich.console import Console

from headway_api import wire
from headway_api.data import Data, Source
from headway_api.job import TrainingJob
from headway_api.model import TokenOptions, tokens_of
from headway_api.wording import printable
from headway_cli.cluster.errors import ClusterError, UnreachedError
from headway_cli.cluster.kubectl import Kubectl, Target, objects
from headway_cli.cluster.names import TRAINING_JOBS
from headway_cli.cluster.used_images import newest
from headway_cli.profile_table import print_profile
from headway_cli.run import read_job
from headway_cli.shown import put
from headway_cli.verbs.shared import ClusterCommand, note, target_options, telling_where
from headway_trainer.profiling import Question

if TYPE_CHECKING:
    from headway_trainer.data.profile import Profile

_JOB_ENDINGS = (".yaml", ".yml")
_FEWEST_SIGNS = 140
"""How wide the table is in a file or a pipe."""
_MOST_SHOWN = 200
_MOST_WORDS = 4000
"""Characters of what a pod says."""


@click.command(cls=ClusterCommand, short_help="Tell what the columns of a table, or a job's data, are taken for.")
@click.argument("source", metavar="FILE|JOB.yaml")
@click.option("--target", "column", metavar="COLUMN", help="The column to predict.  [default: what the job says]")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a field of the job's spec, such as seed=3."
)
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="What to print."
)
@click.option(
    "--in-cluster", is_flag=True, help="Let a short-lived pod read the data of JOB.yaml, where only a cluster can."
)
@click.option("--image", metavar="IMAGE", help="The trainer image of that pod.  [default: the job's]")
@target_options
def profile(
    source: str,
    column: str | None,
    settings: tuple[str, ...],
    output: str,
    *,
    in_cluster: bool,
    image: str | None,
    target: Target,
) -> None:
    """Tell what the columns of FILE (a file, folder, glob or URI), or of the data of JOB.yaml, are taken for, and why.

    It reads, infers and divides the rows as headway run would, but trains nothing. What training would refuse is told
    as a warning. The exit code is 0 where the source could be read.

    With --in-cluster a pod of the job's image reads it, with the credentials, claim and memory that the job's head has,
    and is deleted again. You need the right to create pods and to exec into them.
    """
    from headway_trainer.errors import StorageError, UserError
    from headway_trainer.profiling import profile as profiled

    job = source.endswith(_JOB_ENDINGS)
    if in_cluster and not job:
        raise click.UsageError(
            f"--in-cluster reads the data of a job, and {source} is none: write one into a YAML file"
        )
    if image is not None and not in_cluster:
        raise click.UsageError("--image is of the pod that --in-cluster makes: give both")
    spec = read_job(source, settings) if job else None
    data, seed, tokens = _of_job(source, spec) if spec is not None else (_file(source, settings), 0, None)
    if column is not None:
        data = data.model_copy(update={"target": column, "targets": None})
    try:
        if in_cluster and spec is not None:
            told = _by_pod(source, spec, Question(data=data, seed=seed, tokens=tokens), image, target)
        else:
            told = profiled(data, seed, tokens)
    except (UserError, StorageError) as error:
        _refuse(str(error), wire.EXIT_USER_ERROR if isinstance(error, UserError) else wire.EXIT_STORAGE)
    if output == "json":
        put(told.model_dump_json(indent=2))
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(_FEWEST_SIGNS, console.width))
    print_profile(told, console, most=_MOST_SHOWN)


def _refuse(why: str, code: int) -> NoReturn:
    click.echo(f"Error: {printable(why)}", err=True)
    sys.exit(code)


def _by_pod(file: str, job: TrainingJob, question: Question, image: str | None, target: Target) -> Profile:
    """What a pod in the cluster finds; what the pod was refused ends the command. Raises ClickException."""
    from headway_cli.cluster.profile_pods import ask
    from headway_trainer.data.profile import Profile

    spec = job.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    # Apart: Ctrl-C is ours, and the pod has to be deleted after it.
    kubectl = Kubectl(target, apart=True)
    with telling_where(kubectl):
        chosen = image or job.spec.image or _operators_image(file, kubectl)
        answer = ask(kubectl, spec, chosen, question.model_dump_json(by_alias=True), job=job.metadata.title)
    if isinstance(said := answer.get("error"), str):
        code = wire.EXIT_STORAGE if answer.get("exit") == wire.EXIT_STORAGE else wire.EXIT_USER_ERROR
        _refuse(said[:_MOST_WORDS], code)
    try:
        return Profile.model_validate(answer.get("profile"))
    except ValidationError as error:
        raise click.ClickException(
            f"what the image {printable(chosen)} answers is no profile: name one by --image that has the version of"
            " Headway that `headway --version` tells here"
        ) from error


def _operators_image(file: str, kubectl: Kubectl) -> str:
    """The image that the operator took last for a job that names none. Raises UsageError where nothing tells it."""
    try:
        found = newest(objects(kubectl.get(TRAINING_JOBS)))
    except UnreachedError:
        raise
    except ClusterError:  # jobs may not be seen, or are too many: the image may be given all the same
        found = None
    if found is None:
        raise click.UsageError(
            f"{file} has no spec.image, and no job of this namespace tells what the operator takes then: give --image, "
            "as `helm get values` or a job of yours has it"
        )
    image, name = found
    note(f"{file} has no spec.image: the pod has {image}, which the operator took for {name}; --image names another")
    return image


def _of_job(file: str, job: TrainingJob) -> tuple[Data, int, TokenOptions | None]:
    """The data of a job, the seed of its split, and how its model takes texts. Raises ClickException."""
    spec = job.spec
    if spec.data is None:
        raise click.ClickException(f"{file} has no data section: its training function brings its own data")
    return spec.data, spec.seed, tokens_of(spec.model)


def _file(source: str, settings: tuple[str, ...]) -> Data:
    """A source that no job speaks of: nothing is said of it but where it is."""
    if settings:
        raise click.UsageError(f"--set changes a field of a job, and {source} is none: write the job into a YAML file")
    if "://" not in source and not any(sign in source for sign in "*?[") and not Path(source).exists():
        raise click.UsageError(f"there is no file or folder {source}")
    # Not validated, as a job would have to name its target.
    return Data.model_construct(source=Source(uri=source))
