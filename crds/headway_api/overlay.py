"""The spec of a trial: the job's, with the trial's values written where they belong."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue, ValidationError

from headway_api import problems
from headway_api.job import TrainingJobSpec
from headway_api.trials import ParameterError, document
from headway_api.understand import understand

__all__ = ["ParameterError", "with_parameters"]
_MOST = 20


def with_parameters(spec: TrainingJobSpec, parameters: Mapping[str, JsonValue]) -> TrainingJobSpec:
    """The spec of a trial: without `tuning`, for the workers of a trial, with each value at its path.

    It chooses its checkpoint by what the trials are compared by. parameters: by path, at least one. Raises
    ParameterError where a field refuses a value, or the values contradict each other or the rest of the spec.
    """
    written = document(spec, parameters)
    try:
        return TrainingJobSpec.model_validate(written)
    except ValidationError:
        # What the parameters do not touch was judged already, maybe by another version.
        already = set(problems.find(document(spec, {}), TrainingJobSpec, most=_MOST))
        found = problems.find(written, TrainingJobSpec, most=_MOST)
        refused = [problem for problem in found if problem not in already]
        if refused:
            raise ParameterError(parameters, refused[0]) from None
        return understand(TrainingJobSpec, written, ("spec",))
