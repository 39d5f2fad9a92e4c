"""What trackers are told of trials, beside the numbers that each of them tells while it is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from headway_trainer.run import Run
from headway_trainer.stages.trial_specs import metric_of, scope_of
from headway_trainer.tracking.parameters import flat
from headway_trainer.training.link import Measured
from headway_trainer.tuning.events import Asked, Ended, Event, Repeated
from headway_trainer.tuning.own_messages import TrialTold


def tell_begin(run: Run, number: int, repeat: int, parameters: Mapping[str, JsonValue]) -> None:
    """A trial, or a repeat of one, begins or goes on."""
    scope = scope_of(number, repeat)
    run.reporter.course.begin(scope, name=scope, parameters=flat(parameters))


def tell_end(run: Run, ended: Ended) -> None:
    """A trial, or a repeat of one, has ended."""
    values = {f"final/{metric_of(run.spec)}": ended.value} if ended.value is not None else {}
    run.reporter.course.end(
        scope_of(ended.trial, ended.repeat),
        ended.state,
        values=values | {f"final/{name}": value for name, value in ended.metrics.items()},
        tags={"headway.cause": ended.cause or "", "headway.message": ended.message or ""},
    )


def tell_again(run: Run, events: Iterable[Event]) -> None:
    """Tell of trials that began and ended in attempts before: a kill may have come before it was recorded."""
    parameters: dict[int, dict[str, JsonValue]] = {}
    for event in events:
        if isinstance(event, Asked):
            parameters[event.trial] = event.parameters
            tell_begin(run, event.trial, 1, event.parameters)
        elif isinstance(event, Repeated):
            tell_begin(run, event.trial, event.repeat, parameters.get(event.trial, {}))
        elif isinstance(event, Ended):
            tell_end(run, event)


def tell_own(run: Run, told: TrialTold) -> None:
    """What a trial of a Tuner of the user's own says."""
    course, scope = run.reporter.course, scope_of(told.number)
    course.begin(scope, name=scope, parameters=flat(told.parameters))
    if told.report is not None:
        course.measured(scope, Measured(step=told.report.epoch, values=told.reported))
    if told.state in ("completed", "stopped", "failed"):
        tags = {"headway.cause": told.cause or "", "headway.message": told.message or ""}
        course.end(scope, told.state, values={}, tags=tags)
