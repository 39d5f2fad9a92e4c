"""`headway validate`: every mistake in job files at once, each with its line."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click

from headway_api.consistency import not_judged
from headway_api.job import TrainingJob
from headway_api.problems import path_text
from headway_api.validate import Document, Problem, Report, check
from headway_api.wording import word


@dataclass(frozen=True)
class _File:
    name: str
    report: Report


@click.command(short_help="Check files of Headway's kinds, and name every mistake.")
@click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True), metavar="FILE...")
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="What to print."
)
def validate(files: tuple[str, ...], output: str) -> NoReturn:
    """Check files of TrainingJobs and ModelDeployments (- is standard input) as the API server would, and more.

    All mistakes are told at once, with file, line, field and what is allowed. Documents of other kinds are skipped.
    The exit code is 0 if all files are valid, 1 if one is not, and 2 if a file cannot be read.
    """
    checked = [_File("<stdin>" if name == "-" else name, check(_content(name))) for name in files]
    if output == "json":
        click.echo(json.dumps([_as_json(file) for file in checked], indent=2))
    else:
        for file in checked:
            _print(file)
    sys.exit(1 if any(file.report.problems for file in checked) else 0)


def _content(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise click.UsageError(f"{name} cannot be read: {error.strerror or error}") from error


def _print(file: _File) -> None:
    """Problems go to standard error, what is valid to standard output."""
    for other in file.report.others:
        click.echo(f"{file.name}:{other.line}: {_title(other)} is not Headway's: skipped", err=True)
    for problem in file.report.problems:
        click.echo(_line(file.name, problem), err=True)
    if file.report.left_out:
        click.echo(f"{file.name}: and {file.report.left_out} more problems", err=True)
    if not file.report.problems:
        for document in file.report.documents:
            click.echo(f"{file.name}:{document.line}: {_title(document)} is valid{_but(document)}")


def _but(document: Document) -> str:
    """What was not judged, as only the image has it."""
    named = _not_judged(document)
    if not named:
        return ""
    told = " and ".join(f"{name} ({field})" for name, field in named.items())
    whose = "is another package's, which was" if len(named) == 1 else "are other packages', which were"
    them = "it" if len(named) == 1 else "them"
    return f", but {told} {whose} not looked at here: whether the image has {them} is told when the job begins"


def _not_judged(document: Document) -> dict[str, str]:
    if document.value["kind"] != "TrainingJob":
        return {}
    spec = TrainingJob.model_validate(document.value).spec
    return {name: path_text(("spec", *path)) for name, path in not_judged(spec).items()}


def _line(name: str, problem: Problem) -> str:
    where = f"{name}:{problem.line}" if problem.line else name
    return f"{where}: {problem}"


def _title(document: Document) -> str:
    metadata = document.value.get("metadata")
    name = (metadata.get("name") or metadata.get("generateName")) if isinstance(metadata, dict) else None
    return " ".join(word(str(part)) for part in (document.value["kind"], name) if part)


def _as_json(file: _File) -> dict[str, Any]:
    return {
        "file": file.name,
        "valid": not file.report.problems,
        "documents": len(file.report.documents),
        "notJudged": []
        if file.report.problems
        else [
            {"line": document.line, "field": field, "name": name}
            for document in file.report.documents
            for name, field in _not_judged(document).items()
        ],
        "skipped": [{"line": other.line, "document": _title(other)} for other in file.report.others],
        "problems": [
            {"line": problem.line, "field": problem.field, "message": problem.message}
            for problem in file.report.problems
        ],
        "leftOut": file.report.left_out,
    }
