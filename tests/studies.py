"""Studies of functions in place of training: what the tests of tuning share."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import JsonValue

from headway_api.tuning import Tuning
from headway_trainer.tuning.events import Ended, Event, Reported
from headway_trainer.tuning.study import Study
from headway_trainer.tuning.trial import Trial

METRIC = "val/loss"
Curve = Callable[[Mapping[str, JsonValue], int], float]
"""The metric of a trial with these parameters after an epoch."""

TWO_NUMBERS = {
    "training.optimizer.lr": {"uniform": {"min": -1, "max": 1}},
    "model.width": {"uniform": {"min": 0, "max": 4}},
}
MIXED: dict[str, Any] = {
    "model.depth": {"int": {"min": 1, "max": 8}},
    "training.optimizer.lr": {"logUniform": {"min": 1e-5, "max": 1e-1}},
    "training.optimizer.momentum": {
        "uniform": {"min": 0, "max": 0.99},
        "when": {"training.optimizer.name": ["sgd"]},
    },
    "training.optimizer.name": {"choice": ["adamw", "sgd"]},
}
NUMBERS = {path: form for path, form in MIXED.items() if "choice" not in form and "when" not in form}


def tuning(parameters: Mapping[str, Any] = MIXED, **fields: Any) -> Tuning:
    """`spec.tuning` with these fields."""
    return Tuning.model_validate({"parameters": parameters, **fields})


def _still() -> float:
    return 0.0


def study(
    spec: Tuning,
    *,
    seed: int = 7,
    epochs: int = 9,
    clock: Callable[[], float] = _still,
    gpu_clock: Callable[[], float] = _still,
    events: Iterable[Event] = (),
    most_reports: int | None = None,
) -> Study:
    """A study of METRIC, in which these events have happened."""
    return Study.replayed(
        spec,
        metric=METRIC,
        seed=seed,
        epochs=epochs,
        events=events,
        clock=clock,
        gpu_clock=gpu_clock,
        most_reports=most_reports,
    )


def mixed(parameters: Mapping[str, JsonValue], epoch: int) -> float:
    """Falls with the epochs; least for small learning rates and depth 3."""
    numbers = [value for value in parameters.values() if isinstance(value, int | float)]
    return sum((float(value) - 0.3) ** 2 for value in numbers) + 1 / epoch


class Driver:
    """Runs the trials of a study as a runner does, several at once, in an order that chance has."""

    def __init__(
        self,
        study: Study,
        curve: Curve = mixed,
        *,
        epochs: int = 9,
        at_once: int = 4,
        draw: random.Random | None = None,
        values: Callable[[Mapping[str, JsonValue]], dict[str, float]] | None = None,
    ) -> None:
        """values: of all objectives and constraints of a trial, where there are any; else the curve says it all."""
        self.values = values
        self.study, self.curve, self.epochs, self.at_once = study, curve, epochs, at_once
        self.draw = draw or random.Random(0)  # noqa: S311 - no secret
        self.events: list[Event] = []

    def run(self) -> Study:
        """All trials, to the end."""
        while self.step():
            pass
        return self.study

    def step(self) -> bool:
        """One event, which is kept; whether there was one."""
        running = self.study.running
        if len(running) < self.at_once and (not running or self.draw.random() < 0.5):
            asked = self.study.ask()
            if asked is not None:
                self.events.append(asked)
                return True
        if not running:
            return False
        self.events.append(self._advance(self.draw.choice(running)))
        return True

    def _advance(self, trial: Trial) -> Reported | Ended:
        """A trial's next report, or its end."""
        due = [epoch for epoch in sorted(self.study.judged_at(trial.number)) if epoch > trial.epochs]
        stopped = trial.told_to_stop is not None or self.study.stop_running
        if stopped or not due:
            last = trial.epochs if stopped else self.epochs
            state = "stopped" if stopped else "completed"
            if self.values is not None:
                values = self.values(trial.parameters)
                first = values[self.study.goals.first]
                told = Ended(trial=trial.number, state=state, value=first, metrics=values, epochs=last, seconds=1.0)
                return self.study.end(told)
            value = min((self.curve(trial.parameters, epoch) for epoch in range(1, last + 1)), default=None)
            return self.study.end(Ended(trial=trial.number, state=state, value=value, epochs=last, seconds=1.0))
        return self.study.report(trial.number, due[0], self.curve(trial.parameters, due[0]))


def replayed(spec: Tuning, events: list[Event], *, seed: int = 7, epochs: int = 9) -> Study:
    """The study of these events."""
    return Study.replayed(spec, metric=METRIC, seed=seed, epochs=epochs, events=events, clock=lambda: 0.0)
