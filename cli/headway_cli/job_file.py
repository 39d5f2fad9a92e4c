"""The one TrainingJob of a file that somebody has written: what `run`, `profile`, `submit` and `diff` take."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from headway_api.validate import check, problems_of
from headway_api.wording import printable
from headway_cli.overrides import set_field


class Refused(click.ClickException):
    """A file with mistakes."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))

    def show(self, file: Any = None) -> None:
        """Each mistake on a line of its own, as `headway validate` prints them."""
        click.echo(self.message, file=file, err=True)


def read(file: str, settings: tuple[str, ...], *, command: str) -> dict[str, Any]:
    """The document of the one TrainingJob of a file (- is standard input), with settings laid over it.

    command: who asks, for its messages. Raises ClickException that names every mistake.
    """
    document = alone(file, command=command)
    for setting in settings:
        set_field(document, setting)
    refuse_mistakes(document)
    return document


def alone(file: str, *, command: str, nothing_else: bool = False) -> dict[str, Any]:
    """The document of the one TrainingJob of a file. Raises ClickException that names every mistake.

    nothing_else: whether objects of other kinds in the file are a mistake; otherwise they are passed over.
    """
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read: {error.strerror or error}") from error
    report = check(data)
    if report.problems:
        raise Refused([f"{file}:{problem.line}: {problem}" for problem in report.problems])
    if len(report.documents) != 1:
        raise click.ClickException(f"{file} holds {len(report.documents)} TrainingJobs: {command} takes one")
    if (kind := report.documents[0].value["kind"]) != "TrainingJob":
        raise click.ClickException(f"{file} holds a {kind}: {command} takes a TrainingJob")
    if nothing_else and report.others:
        other = report.others[0]
        raise click.ClickException(
            f"{file}:{other.line}: a {printable(str(other.value['kind']))} stands beside the TrainingJob, and "
            f"{command} takes the job alone: put it in a file of its own, or use `kubectl create -f {file}` for all"
        )
    document: dict[str, Any] = report.documents[0].value
    return document


def refuse_mistakes(document: dict[str, Any]) -> None:
    """Raise Refused where a document that was changed is not valid any more."""
    if problems := problems_of(document):
        raise Refused([str(problem) for problem in problems])
