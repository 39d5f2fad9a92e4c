"""The spec of a trial, judged as far as its values can change it: the job's data and pods were judged with the job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from headway_api import problems, trials
from headway_api.base import Section
from headway_api.consistency import estimators, metrics, training
from headway_api.model import Model
from headway_api.problems import Problem
from headway_api.training import Training
from headway_api.tuning import Tuning

if TYPE_CHECKING:
    from pydantic import JsonValue

    from headway_api.job import TrainingJobSpec

_CHECKS = (*training.CHECKS, *estimators.CHECKS, *metrics.CHECKS)
_MOST = 20


class _Tuned(Section):
    """The sections whose fields trials may change."""

    model: Model | None = None
    training: Training | None = None


class TrialSpecs:
    """The specs of a job's trials."""

    def __init__(self, spec: TrainingJobSpec, tuning: Tuning) -> None:
        self._spec, self._tuning = spec, tuning
        workers = spec.workers.model_copy(update={"replicas": tuning.workers_per_trial})
        self._of_trial = {"tuning": None, "workers": workers}
        self._written: dict[str, Any] = spec.model_dump(
            by_alias=True, exclude_none=True, warnings=False, include=set(_Tuned.model_fields)
        )
        self._already = frozenset(self._wrong({}))
        """What is wrong without any trial, which is told where it is written."""

    def problems(self, parameters: Mapping[str, JsonValue]) -> list[Problem]:
        """What the values of a trial make wrong, with paths below `spec`; nothing where it can be trained."""
        return [problem for problem in self._wrong(parameters) if problem not in self._already]

    def _wrong(self, parameters: Mapping[str, JsonValue]) -> list[Problem]:
        try:
            written = trials.with_values(self._written, parameters, self._tuning)
        except trials.ParameterError as error:
            return [error.problem]
        return problems.find(written, _Tuned, most=_MOST) or list(self._contradictions(_Tuned.model_validate(written)))

    def _contradictions(self, tuned: _Tuned) -> Iterator[Problem]:
        sections = {"model": tuned.model, "training": tuned.training}
        spec = self._spec.model_copy(update={**self._of_trial, **sections})
        for check in _CHECKS:
            # Of values that are wrong in themselves, as data may have them, some cannot be judged.
            with suppress(TypeError, ValueError, AttributeError, KeyError, ArithmeticError):
                for rule in check(spec):
                    yield Problem(rule.path, rule.message)
