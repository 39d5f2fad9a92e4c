"""The spec of a trial, judged as far as its values can change it: pods were judged with the job, and so was the data
where no trial changes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from headway_api import problems, trials
from headway_api.base import Section
from headway_api.consistency import columns, estimators, forecasts, metrics, sources, splits, training
from headway_api.data import Data
from headway_api.model import Model
from headway_api.problems import Problem
from headway_api.training import Training
from headway_api.tuning import Tuning

if TYPE_CHECKING:
    from pydantic import JsonValue

    from headway_api.job import TrainingJobSpec

_CHECKS = (*training.CHECKS, *estimators.CHECKS, *metrics.CHECKS)
_OF_DATA = (*sources.CHECKS, *columns.CHECKS, *splits.CHECKS, *forecasts.CHECKS)
_MOST = 20


class _Tuned(Section):
    """The sections whose fields trials may change."""

    model: Model | None = None
    training: Training | None = None


class _DataTuned(_Tuned):
    """The same, where trials change how rows are prepared: with 4,000 columns that takes 30 ms a trial."""

    data: Data | None = None


class TrialSpecs:
    """The specs of a job's trials."""

    def __init__(self, spec: TrainingJobSpec, tuning: Tuning) -> None:
        self._spec, self._tuning = spec, tuning
        of_data = any(path.startswith("data.") for path in tuning.parameters)
        self._sections = _DataTuned if of_data else _Tuned
        self._checks = (*_CHECKS, *_OF_DATA) if of_data else _CHECKS
        self._of_trial = {"tuning": None, "workers": tuning.workers_of_one(spec.workers)}
        self._written: dict[str, Any] = spec.model_dump(
            by_alias=True, exclude_none=True, warnings=False, include=set(self._sections.model_fields)
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
        found = problems.find(written, self._sections, most=_MOST)
        return found or list(self._contradictions(self._sections.model_validate(written)))

    def _contradictions(self, tuned: _Tuned) -> Iterator[Problem]:
        sections = {name: getattr(tuned, name) for name in type(tuned).model_fields}
        spec = self._spec.model_copy(update={**self._of_trial, **sections})
        for check in self._checks:
            # Of values that are wrong in themselves, as data may have them, some cannot be judged.
            with suppress(TypeError, ValueError, AttributeError, KeyError, ArithmeticError):
                for rule in check(spec):
                    yield Problem(rule.path, rule.message)
