"""The one TrainingJob of a file that somebody has written: what `run`, `profile`, `submit`, `diff` and `headway.client`
take."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from headway_api.validate import check, problems_of
from headway_api.wording import printable
from headway_cli.cluster.errors import InputError, InvalidJobError, UsageError
from headway_cli.cluster.fields import at
from headway_cli.cluster.kubectl import Target
from headway_cli.overrides import set_field


def read(file: str, settings: Iterable[str], *, command: str) -> dict[str, Any]:
    """The document of the one TrainingJob of a file (- is standard input), with settings laid over it.

    settings: KEY=VALUE. command: who asks, for its messages. Raises InputError; InvalidJobError names every mistake.
    """
    document = alone(file, command=command)
    for setting in settings:
        set_field(document, setting)
    refuse_mistakes(document)
    return document


def alone(file: str, *, command: str, nothing_else: bool = False) -> dict[str, Any]:
    """The document of the one TrainingJob of a file. Raises InputError; InvalidJobError names every mistake.

    nothing_else: whether objects of other kinds in the file are a mistake; otherwise they are passed over.
    """
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from error
    report = check(data)
    if report.problems:
        raise InvalidJobError("\n".join(f"{file}:{problem.line}: {problem}" for problem in report.problems))
    if len(report.documents) != 1:
        raise InputError(f"{file} holds {len(report.documents)} TrainingJobs: {command} takes one")
    if (kind := report.documents[0].value["kind"]) != "TrainingJob":
        raise InputError(f"{file} holds a {kind}: {command} takes a TrainingJob")
    if nothing_else and report.others:
        other = report.others[0]
        raise InputError(
            f"{file}:{other.line}: a {printable(str(other.value['kind']))} stands beside the TrainingJob, and "
            f"{command} takes the job alone: put it in a file of its own, or use `kubectl create -f {file}` for all"
        )
    document: dict[str, Any] = report.documents[0].value
    return document


def refuse_mistakes(document: Mapping[str, Any]) -> None:
    """Raise InvalidJobError where a document that was changed is not valid any more."""
    if problems := problems_of(document):
        raise InvalidJobError("\n".join(str(problem) for problem in problems))


def placed(document: Mapping[str, Any], target: Target) -> Target:
    """The target with the namespace that the document names. Raises UsageError where the target has another one."""
    own = at(document, "metadata", "namespace")
    if not isinstance(own, str) or not own:
        return target
    if target.namespace not in (None, own):
        raise UsageError(
            f"--namespace {target.namespace}, but the file has metadata.namespace {own}: leave one of the two out"
        )
    return replace(target, namespace=own)
