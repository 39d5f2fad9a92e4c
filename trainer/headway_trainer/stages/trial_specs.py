"""What a trial is called and what it is asked to do, as a child of its run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from headway_api.job import TrainingJobSpec
from headway_api.overlay import with_parameters
from headway_api.training import Training
from headway_trainer.errors import UserError
from headway_trainer.resolve_names import resolve_names
from headway_trainer.run import Run


def metric_of(spec: TrainingJobSpec) -> str:
    """What chooses the best checkpoint of each trial, as `part/name`; without objectives they are compared by it."""
    chooser = spec.tuning.chooser if spec.tuning is not None else None
    return chooser.metric if chooser is not None else (spec.training or Training()).checkpoint.metric


def spec_of(run: Run, parameters: Mapping[str, JsonValue]) -> TrainingJobSpec:
    """The spec of a trial, with the names that this image has. Raises UserError."""
    try:
        return resolve_names(with_parameters(run.spec, parameters))
    except ValueError as error:
        raise UserError(str(error)) from error


def scope_of(trial: int | Literal[""], repeat: int = 1) -> str:
    """The name of the child that is a trial, or the repeat of one with another seed."""
    return f"trial-{trial}" if repeat == 1 else f"trial-{trial}-seed-{repeat}"
