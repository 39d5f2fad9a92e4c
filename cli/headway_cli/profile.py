"""`headway profile`: what the columns of a source are taken for, and what people should know, without training."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from headway_api import wire
from headway_api.data import Data, Source
from headway_api.model import TokenOptions, tokens_of
from headway_api.wording import printable
from headway_cli.profile_table import print_profile
from headway_cli.run import read_job
from headway_cli.shown import PlainCommand, put

if TYPE_CHECKING:
    from headway_trainer.data.profile import Profile

_JOB_ENDINGS = (".yaml", ".yml")
_FEWEST_SIGNS = 140
"""How wide the table is in a file or a pipe."""
_MOST_SHOWN = 200


@click.command(cls=PlainCommand, short_help="Tell what the columns of a table, or a job's data, are taken for.")
@click.argument("source", metavar="FILE|JOB.yaml")
@click.option("--target", metavar="COLUMN", help="The column to predict.  [default: what the job says]")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a field of the job's spec, such as seed=3."
)
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="What to print."
)
def profile(source: str, target: str | None, settings: tuple[str, ...], output: str) -> None:
    """Tell what the columns of FILE (a file, folder, glob or URI), or of the data of JOB.yaml, are taken for, and why.

    It reads, infers and divides the rows as headway run would, but trains nothing. What training would refuse is told
    as a warning. The exit code is 0 where the source could be read.
    """
    from headway_trainer.errors import StorageError, UserError

    job = source.endswith(_JOB_ENDINGS)
    data, seed, tokens = _job(source, settings) if job else (_file(source, settings), 0, None)
    if target is not None:
        data = data.model_copy(update={"target": target, "targets": None})
    try:
        told = _told(data, seed, tokens)
    except (UserError, StorageError) as error:
        click.echo(f"Error: {printable(str(error))}", err=True)
        sys.exit(wire.EXIT_USER_ERROR if isinstance(error, UserError) else wire.EXIT_STORAGE)
    if output == "json":
        put(told.model_dump_json(indent=2))
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(_FEWEST_SIGNS, console.width))
    print_profile(told, console, most=_MOST_SHOWN)


def _job(file: str, settings: tuple[str, ...]) -> tuple[Data, int, TokenOptions | None]:
    """The data of a job, the seed of its split, and how its model takes texts. Raises ClickException."""
    spec = read_job(file, settings).spec
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


def _told(data: Data, seed: int, tokens: TokenOptions | None) -> Profile:
    """Raises UserError and StorageError."""
    from headway_trainer.data import encode, sources
    from headway_trainer.data.content import TableContent
    from headway_trainer.data.examine import examine, profile_of
    from headway_trainer.seeds import split_seed

    content = sources.load(data, volume_dir=wire.DATA_VOLUME_DIR, secret_dir=wire.DATA_SECRET_DIR)
    known = examine(data, split_seed(data, seed), content, strict=False, tokens=tokens is not None)
    learns = isinstance(content, TableContent)  # of columns beside images, none is encoded
    if learns and known.table is not None and known.parts is not None and not known.problems:
        rows = known.table.take(known.parts.indices[0])
        steps = encode.choose_steps(known.schema, tokens, known.past)
        fitted = [step.fit(step.column, rows[step.column]) for step in steps]
        known.warnings += encode.warnings_of(fitted)
        known.schema = encode.tell_done(known.schema, fitted, forecast=known.plan is not None)
    return profile_of(known, content)
