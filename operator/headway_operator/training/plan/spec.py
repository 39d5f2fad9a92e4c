"""From a TrainingJob's document to the spec that runs: judged once, and with the operator's defaults filled in."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from headway_api.job import TrainingJob, TrainingJobSpec
from headway_api.status import TrainingJobStatus
from headway_api.storage import Storage
from headway_api.understand import NotUnderstoodError, understand
from headway_api.validate import problems_of, too_deep
from headway_operator.engine.text import bounded

PROBLEM_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the operator's own settings give to jobs that do not say."""

    image: str | None = None
    storage: Storage | None = None


def kept(defaults: Defaults, status: TrainingJobStatus) -> Defaults:
    """The defaults of a job that has begun.

    The operator's may have become others since. The job's files stay where they are, and the pods of an attempt are all
    of one image: Ray's processes talk to none of another version.
    """
    last = status.attempts[-1].image if status.attempts else None
    running = bool(status.attempts) and status.attempts[-1].end_time is None
    image = last or defaults.image if running else defaults.image or last
    return Defaults(image=image, storage=status.storage or defaults.storage)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A spec that can run, or what keeps it from running."""

    spec: TrainingJobSpec | None
    problems: tuple[str, ...] = ()


def resolve(document: Mapping[str, Any], defaults: Defaults, *, begun: bool = False) -> Resolved:
    """Judge a job's document, or understand that of a job that has begun; fill in what it leaves to the operator."""
    read = _understood if begun else _judged
    spec, problems = read(document)
    if spec is None:
        return Resolved(None, problems)
    spec = spec.model_copy(update={"image": spec.image or defaults.image, "storage": spec.storage or defaults.storage})
    missing = []
    if spec.image is None:
        missing.append("spec.image: is missing, and the operator has no default trainer image: set one of them")
    if spec.storage is None:
        missing.append(
            "spec.storage: is missing, and the operator has no default storage: "
            "set spec.storage, or defaultStorage in the chart's values"
        )
    return Resolved(None, tuple(missing)) if missing else Resolved(spec)


def _judged(document: Mapping[str, Any]) -> tuple[TrainingJobSpec | None, tuple[str, ...]]:
    # Before the model sees it: the depth of what is kept as it comes is bounded by neither schema nor model.
    if too_deep(document) is None:
        with contextlib.suppress(ValidationError):  # what is wrong is told in better words
            return TrainingJob.model_validate({key: document[key] for key in document if key != "status"}).spec, ()
    return None, tuple(bounded(str(problem), PROBLEM_LIMIT) for problem in problems_of(document))


def _understood(document: Mapping[str, Any]) -> tuple[TrainingJobSpec | None, tuple[str, ...]]:
    """A spec is judged once: whatever this version would say of one that has been, it is taken as it stands."""
    try:
        return understand(TrainingJobSpec, document.get("spec"), ("spec",)), ()
    except NotUnderstoodError as error:
        return None, (bounded(str(error), PROBLEM_LIMIT),)
