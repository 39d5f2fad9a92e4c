"""`headway init`: a first job file, from three answers or from options."""

from __future__ import annotations

import csv
import json
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from headway_api.data import BUILTIN_TASKS, TABLES, format_of
from headway_api.job import NAME_MAX_LENGTH
from headway_api.model import MODELS
from headway_api.validate import check
from headway_api.wording import printable

IMAGES = frozenset({"digits"})
"""Built-in data sets of images; the others are tables."""
_PREDICTING = frozenset({"classification", "regression"})
"""The tasks that need no more than data and a target: a first file has one of them."""
_YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""What YAML 1.1 takes for no text."""
_HEADER_BYTES = 1 << 20
_MOST_NAMED = 20
_TEMPLATE = """\
# A job of Headway. Every field: docs/reference/trainingjob.md; examples of more: examples/
#   headway validate {file}     every mistake, each with its line
#   headway run {file}          on this machine
#   headway submit {file}       on a cluster with Headway
apiVersion: headway.dev/v1alpha1
kind: TrainingJob
metadata:
  name: {name}
spec:
  data:
{data}
    # Shares of the rows: the model learns from the first, is watched by the second, and judged by the third.
    split: {{train: 0.7, validation: 0.2, test: 0.1}}
  model:
    name: {model}
{training}
{workers}
  # The same seed and number of workers give the same model.
  seed: 7
  # Where checkpoints and the model go on a cluster; without it where the operator's installation says.
  # storage: {{uri: "s3://BUCKET/FOLDER"}}
"""
_TRAINING = """\
  training:
    epochs: 20            # at most; earlyStopping can end it before
    batchSize: {rows}   # rows a step, of all workers together
    optimizer: {{name: adamw, lr: 0.001}}
    earlyStopping: {{metric: validation/loss, patience: 5}}"""
_ESTIMATOR = """\
  # An estimator fits this model at once: it needs no epochs and no optimizer.
  training: {}"""


@dataclass(frozen=True)
class Answers:
    """What a job file is made of."""

    data: str
    """One of BUILTIN_TASKS, or a path or URI."""
    target: str | None
    """The column to predict, of a table of the user's own."""
    model: str
    gpus: int
    """Of each worker."""
    workers: int


@click.command(short_help="Write a first job file, from a few answers.")
@click.argument("file", default="job.yaml", type=click.Path(dir_okay=False, path_type=Path), metavar="[FILE]")
@click.option("--data", help=f"A file, folder or URI; or a data set to try with: {', '.join(BUILTIN_TASKS)}.")
@click.option("--target", help="The column to predict, of a table.")
@click.option("--model", help="The model.  [default: what suits the data]")
@click.option("--gpus", type=click.IntRange(0, 64), default=0, show_default=True, help="GPUs of each worker.")
@click.option("--workers", type=click.IntRange(1, 500), default=1, show_default=True, help="Worker pods.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
def init(
    file: Path, *, data: str | None, target: str | None, model: str | None, gpus: int, workers: int, force: bool
) -> None:
    """Write FILE (job.yaml by default), a job with comments that `headway validate` accepts.

    On a terminal it asks for the data, the column to predict and the model, as far as options do not say them. A file
    that is there is overwritten with --force only.
    """
    if file.exists() and not force:
        raise click.ClickException(f"{file} is there already: name another file, or overwrite it with --force")
    answers = Answers(*answered(data, target, model, asks=on_terminal()), gpus, workers)
    text = job_text(answers, file)
    if problems := check(text.encode()).problems:
        raise click.ClickException("\n".join(printable(f"{each.field}: {each.message}") for each in problems))
    try:
        with file.open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror or error}") from error
    with_gpus = f" with {gpus} GPU{'s' if gpus != 1 else ''} each" if gpus else ""
    shown = shlex.quote(str(file))
    click.echo(f"Wrote {file}: {answers.model}, {workers} worker{'s' if workers != 1 else ''}{with_gpus}.")
    click.echo(f"  headway run {shown}\n  headway submit {shown}", err=True)


def on_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def answered(data: str | None, target: str | None, model: str | None, *, asks: bool) -> tuple[str, str | None, str]:
    """Data, target and model, asked for where options do not give them. Raises UsageError and ClickException.

    asks: whether there is a terminal to ask on.
    """
    if data is None:
        if not asks:
            raise click.UsageError("there is no terminal to ask on: say what the data is with --data")
        sets = ", ".join(BUILTIN_TASKS)
        data = _ask(f"Data: a file, folder or URI; or, to try, one of {sets}", "digits")
    builtin = data in BUILTIN_TASKS
    if builtin and target is not None:
        raise click.UsageError(f"--target is for data of your own: the data set {data} knows what is to be predicted")
    if not builtin and is_table(data):
        target = _target(data, target, asks=asks)
    fitting = sorted(name for name, entry in MODELS.items() if entry.takes & _rows(data) and entry.tasks & _PREDICTING)
    if model is None:
        suits = "cnn" if "image" in _rows(data) and not is_table(data) else "mlp"
        model = _ask(f"Model: one of {', '.join(fitting)}", suits) if asks else suits
    if model not in MODELS:
        raise click.UsageError(
            f"{printable(model)} is no model of Headway: those for this data are {', '.join(fitting)}"
        )
    return data, target, model


def job_text(answers: Answers, file: Path) -> str:
    """The job file. Without I/O; whether it is valid is for `check` to say."""
    return _TEMPLATE.format(
        file=printable(shlex.quote(str(file))),
        name=name_of(answers.data),
        data=_data(answers),
        model=answers.model,
        training=_ESTIMATOR if MODELS[answers.model].estimator else _TRAINING.format(rows=_batch(answers)),
        workers=_workers(answers),
    )


def name_of(data: str) -> str:
    """A name that a job can have, after its data."""
    stem = re.split(r"[/\\]", data.rstrip("/\\"))[-1].split(".")[0].lower()
    name = re.sub(r"[^a-z0-9]+", "-", stem).strip("-")
    name = re.sub(r"^[^a-z]+", "", name)[:NAME_MAX_LENGTH].strip("-")
    return f"{name}-job" if name in _YAML_WORDS else name or "job"


def is_table(data: str) -> bool:
    """Whether data of the user's own is a table, by its name."""
    return format_of(data) in TABLES


def _rows(data: str) -> frozenset[str]:
    """The kinds of rows that the data may be, as MODELS says what models take."""
    if data in BUILTIN_TASKS:
        return frozenset({"image" if data in IMAGES else "table"})
    return frozenset({"table", "tokens"} if is_table(data) else {"table", "image"})


def _data(answers: Answers) -> str:
    if answers.data in BUILTIN_TASKS:
        return (
            f"    source:\n      builtin: {{name: {answers.data}}}   # comes with Headway; yours: uri: PATH or s3://..."
        )
    lines = ["    source:", f"      uri: {_scalar(answers.data)}   # the pods of a cluster must reach it, too"]
    if answers.target is not None:
        lines.append(f"    target: {_scalar(answers.target)}")
    return "\n".join(lines)


def _batch(answers: Answers) -> int:
    """Rows a step: each training process, one for a GPU, needs some."""
    return max(64, 8 * answers.workers * max(1, answers.gpus))


def _workers(answers: Answers) -> str:
    """Each worker's share of a machine."""
    gpu = f", gpu: {answers.gpus}" if answers.gpus else ""
    cpu, memory = (4 * answers.gpus, f"{16 * answers.gpus}Gi") if answers.gpus else (1, "2Gi")
    return (
        "  head:                   # the pod that prepares the data and leads\n"
        "    resources: {cpu: 500m, memory: 2Gi}\n"
        "  workers:\n"
        f"    replicas: {answers.workers}\n"
        f"    resources: {{cpu: {cpu}, memory: {memory}{gpu}}}   # of each"
    )


def _scalar(text: str) -> str:
    """A text as YAML takes it anywhere: JSON's string."""
    return json.dumps(text)


def _target(data: str, target: str | None, *, asks: bool) -> str:
    """The column to predict: the given one, or the answer. Raises UsageError where the file has no such column."""
    columns = _columns(Path(data.removeprefix("file://")).expanduser())
    named = ", ".join(columns[:_MOST_NAMED]) + (", ..." if len(columns) > _MOST_NAMED else "")
    if target is None:
        if not asks:
            raise click.UsageError("name the column to predict with --target" + (f": {named}" if named else ""))
        of = f", of {named}" if named else ""
        target = _ask(f"Column to predict{of}", columns[-1] if columns else None)
    if columns and target not in columns:
        raise click.UsageError(printable(f"{data} has no column {target}: it has {named}"))
    return target


def _columns(path: Path) -> list[str]:
    """The names of a csv file's columns; none where they cannot be told from a first line."""
    if not path.name.lower().endswith((".csv", ".tsv")):
        return []
    try:
        with path.open("rb") as stream:
            line = stream.readline(_HEADER_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return []
    separator = max(",;\t|", key=line.count)
    return next(csv.reader([line], delimiter=separator), []) if separator in line else []


def _ask(question: str, default: str | None) -> str:
    answer: Any = click.prompt(printable(question), default=default, err=True)
    return str(answer).strip()
