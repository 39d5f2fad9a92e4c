"""A job as programs give it: a file, a document or a model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from headway.errors import InputError
from headway_api.job import TrainingJob
from headway_cli import job_file


def document_of(
    given: str | os.PathLike[str] | Mapping[str, Any] | TrainingJob, caller: str, *, nothing_else: bool = False
) -> Mapping[str, Any]:
    """The document of a job. caller: who takes it, for messages. nothing_else: whether other objects in a file are a
    mistake. Raises InputError where a file cannot be taken; others are judged later."""
    if isinstance(given, TrainingJob):
        return given.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
    if isinstance(given, Mapping):
        job_file.refuse_mistakes(given)
        if (kind := given["kind"]) != "TrainingJob":
            raise InputError(f"the document is a {kind}: {caller} takes a TrainingJob")
        return given
    return job_file.alone(os.fspath(given), command=caller, nothing_else=nothing_else)
