"""Trials of a job one after the other in this process: what a search finds is the same as on workers, and needs no Ray.

The trainer's own estimators train them on the job's rows, and its study proposes, stops and compares. So figures that
are counted in trials and epochs do not depend on the machine.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue

from headway_api import wire
from headway_api.job import TrainingJobSpec
from headway_api.overlay import with_parameters
from headway_api.training import Training
from headway_api.tuning import Tuning
from headway_trainer.data import DataInfo, prepare
from headway_trainer.errors import UserError
from headway_trainer.estimators.base import Fitted, Place
from headway_trainer.estimators.judge import judge
from headway_trainer.estimators.loop import LoopEstimator
from headway_trainer.estimators.member_estimator import MemberEstimator
from headway_trainer.registry import estimator_name
from headway_trainer.stages.trial_values import values_of
from headway_trainer.storage import Store
from headway_trainer.training.checkpoints.store import Checkpoints
from headway_trainer.training.link import Answer, Question, Silence, TrainEnd
from headway_trainer.training.process_group import Alone
from headway_trainer.tuning.events import Ended
from headway_trainer.tuning.study import Study

CPU = torch.device("cpu")


class Asking(Silence):
    """The link of a trial whose study is in the same process."""

    def __init__(self, study: Study, trial: int) -> None:
        self._study, self._trial = study, trial

    def ask(self, question: Question) -> Answer:
        """Whether the trial goes on."""
        goes_on = self._study.report(self._trial, question.epoch, question.value).goes_on
        return Answer.GO_ON if goes_on else Answer.PRUNE


@dataclass(frozen=True)
class Job:
    """A job with trials, and its prepared rows."""

    spec: TrainingJobSpec
    info: DataInfo
    rows: Store
    known: dict[str, list[float]] = field(default_factory=dict)
    """The metric after each epoch of trials that were trained to their end, by their parameters."""

    @property
    def tuning(self) -> Tuning:
        """How its trials are searched for."""
        assert self.spec.tuning is not None
        return self.spec.tuning

    @property
    def metric(self) -> str:
        """What chooses the checkpoint of a trial; without objectives they are compared by it. As `part/name`."""
        chooser = self.tuning.chooser
        return chooser.metric if chooser is not None else (self.spec.training or Training()).checkpoint.metric

    def tuned(self, **fields: Any) -> Tuning:
        """Its parameters and metric, with other ways to search for them."""
        own = self.tuning
        return Tuning.model_validate({"parameters": own.parameters, "metric": own.metric, **fields})

    def study(self, tuning: Tuning) -> Study:
        """A study of its trials, without any."""
        epochs = (self.spec.training or Training()).epochs
        return Study(tuning, metric=self.metric, seed=self.spec.seed, epochs=epochs)

    def trained(self, parameters: Mapping[str, JsonValue], link: Silence, asked_at: frozenset[int]) -> list[float]:
        """Train a trial: the metric after each of its epochs; of an estimator without epochs, its one value.

        One that is known is not trained again: its epochs are the same, whatever stops it.
        """
        key = json.dumps(parameters, sort_keys=True)
        if key in self.known:
            return list(_again(self.known[key], link, asked_at))
        values = self._trained(parameters, link, asked_at)
        if not asked_at:
            self.known[key] = values
        return values

    def valued(self, parameters: Mapping[str, JsonValue]) -> dict[str, float]:
        """Train a trial: the values of the model that is kept of it, and its size."""
        with self._fitted(parameters, Silence(), frozenset()) as (end, store):
            return values_of(end, self.metric, self.tuning.better(self.metric), Checkpoints(store, 0))

    def _trained(self, parameters: Mapping[str, JsonValue], link: Silence, asked_at: frozenset[int]) -> list[float]:
        name = self.metric.partition("/")[2]
        with self._fitted(parameters, link, asked_at) as (end, _):
            values = [record.validation.get(name) for record in end.history] or [end.metrics["validation"].get(name)]
        return [math.nan if value is None else value for value in values]

    @contextmanager
    def _fitted(
        self, parameters: Mapping[str, JsonValue], link: Silence, asked_at: frozenset[int]
    ) -> Iterator[tuple[TrainEnd, Store]]:
        """A trial that was trained, and its folder, which is deleted in the end."""
        spec = with_parameters(self.spec, parameters)
        with tempfile.TemporaryDirectory() as folder:
            place = Place(
                run=wire.RunFile(namespace="", name="job", uid="", storage_uri=folder, spec=spec),
                info=self.info,
                store=Store.open(folder),
                device=CPU,
                group=Alone(),
                link=link,
                scope="trial",
                rows_of=self.rows,
                compared_at=asked_at,
            )
            yield _trained(place), place.store


def _again(values: list[float], link: Silence, asked_at: frozenset[int]) -> Iterator[float]:
    """The epochs of a trial that is known, as far as it goes on."""
    for epoch, value in enumerate(values, 1):
        yield value
        asked = Question(epoch=epoch, value=None if math.isnan(value) else value)
        if epoch in asked_at and link.ask(asked) is Answer.PRUNE:
            return


def _trained(place: Place) -> TrainEnd:
    estimator = MemberEstimator() if estimator_name(place.run.spec.model) is not None else LoopEstimator(stub=True)
    fitted = estimator.fit(place)
    return judge(place, fitted) if isinstance(fitted, Fitted) else fitted


@contextmanager
def job(spec: Mapping[str, Any]) -> Iterator[Job]:
    """A job by its spec; its rows are deleted in the end."""
    torch.set_num_threads(1)  # as a job's workers do
    parsed = TrainingJobSpec.model_validate(spec)
    assert parsed.data is not None
    with tempfile.TemporaryDirectory() as folder:
        rows = Store.open(str(Path(folder)))
        yield Job(parsed, prepare(parsed.data, seed=parsed.seed, store=rows), rows)


@dataclass(frozen=True)
class Epoch:
    """An epoch of a search; of trials without epochs, a trial."""

    trial: int
    loss: float
    """The metric after it, negated where more is better."""


def epochs(job: Job, tuning: Tuning) -> Iterator[Epoch]:
    """The epochs of a search in their order, one trial at a time, as they are trained. tuning: how it is searched."""
    study, sign = job.study(tuning), 1.0 if tuning.better(job.metric) == "min" else -1.0
    while (asked := study.ask()) is not None:
        trial, values = asked.trial, list[float]()
        ended = partial(Ended, trial=trial)
        try:
            values = job.trained(asked.parameters, Asking(study, trial), study.judged_at(trial))
        except UserError as error:
            study.end(ended(state="failed", cause="UserError", message=str(error)))
            continue
        losses = [math.inf if math.isnan(value) else sign * value for value in values]
        yield from (Epoch(trial, loss) for loss in losses)
        stopped = study.trials[trial].told_to_stop is not None
        best = sign * min(losses)
        state = "failed" if math.isinf(best) else "stopped" if stopped else "completed"
        study.end(ended(state=state, value=best, epochs=len(losses)))
