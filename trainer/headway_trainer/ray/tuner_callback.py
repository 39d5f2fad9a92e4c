"""What Headway adds to a user's own `ray.tune.Tuner`: a callback that tells the driver of each trial, keeps their
numbers over attempts, refuses trials that could never get their places, and ends the experiment when a stop is asked
for.

Ray Tune pickles callbacks with the experiment. So this one holds nothing: what it works with belongs to the process.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ray import cloudpickle
from ray.exceptions import RayActorError, RayTaskError
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.result import AUTO_RESULT_KEYS
from ray.tune.utils import flatten_dict

from headway_api.tuning import MAX_TRIALS
from headway_trainer.entrypoints import describe
from headway_trainer.errors import UserError
from headway_trainer.tuning.own_messages import (
    MOST_NAME,
    MOST_TEXT,
    Plan,
    ReportTold,
    State,
    TrialTold,
    number_of,
    numbers_of,
    parameters_of,
)

LOOK_SECONDS = 0.5
"""How often trials are looked through whose state changes without a call: those that are paused, and go on."""
_NOT_REPORTED = frozenset({*AUTO_RESULT_KEYS, "done", "should_checkpoint", "trial_id", "experiment_tag"})
_KEPT = ("numbers", "stopped", "values", "failures")
"""Of Telling: what the next attempt has to know."""
_PLAIN_STATES: Mapping[str, State] = {Trial.RUNNING: "running", Trial.PAUSED: "waiting", Trial.PENDING: "waiting"}


@dataclass
class Telling:
    """What the process knows of its experiment."""

    tell: Callable[[BaseModel], None]
    """Takes a message to the driver."""
    stop: threading.Event
    """Set when the driver asks to stop."""
    plan: Plan = field(default_factory=Plan)
    """What the Tuner says of itself."""
    most: tuple[str, float] | None = None
    """Of a scheduler that ends trials at a number of reports, what it counts and that number: such a trial has come to
    its end, and is not stopped early."""
    nodes: Sequence[Mapping[str, float]] = ()
    """The resources of each node that trials may run on."""
    began: float = field(default_factory=time.monotonic)
    numbers: dict[str, int] = field(default_factory=dict)
    """By Ray's id of a trial, counted from 1 in the order in which trials came to be."""
    stopped: set[str] = field(default_factory=set)
    """Ids of trials that were told to end before they had come to their own end."""
    values: dict[str, float] = field(default_factory=dict)
    """The best value of each trial, by its id."""
    failures: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Of each trial that has failed, by its id, the exception's type and a sentence."""
    said: dict[str, str] = field(default_factory=dict)
    """Ray's word for the state of each trial that was told last."""
    looked_at: float = 0.0
    fitting: bool = False
    asked: set[Any] = field(default_factory=set)
    """The resources that a trial may ask for, as far as they were judged."""


_of_this_process: list[Telling] = []


def enter(telling: Telling) -> None:
    """Let the callbacks of this process tell of its experiment."""
    _of_this_process[:] = [telling]


class Teller(Callback):  # type: ignore[misc]  # ray has no types
    """The callback. In a process that has not called `enter` it does nothing."""

    def setup(self, stop: Any = None, num_samples: Any = None, total_num_samples: Any = None, **info: Any) -> None:  # noqa: ARG002 - Ray's signature
        """Tell what is planned."""
        for here in _of_this_process:
            most = total_num_samples if isinstance(total_num_samples, int) else 0
            here.plan = here.plan.model_copy(update={"planned": most if 0 < most <= MAX_TRIALS else None})
            here.tell(here.plan)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:  # noqa: ARG002
        """Tell of a trial that begins, or goes on."""
        for here in _of_this_process:
            _tell(here, trials, trial, "running")

    def on_trial_result(
        self,
        iteration: int,  # noqa: ARG002
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: Any,  # noqa: ARG002
    ) -> None:
        """Tell of a report."""
        for here in _of_this_process:
            flat = flatten_dict(result)
            value = number_of(flat.get(here.plan.metric)) if here.plan.metric else None
            before = here.values.get(trial.trial_id)
            if value is not None:
                best = max if here.plan.mode == "max" else min
                here.values[trial.trial_id] = value if before is None else best(before, value)
            done = bool(flat.pop("done", False))
            if done and not trial.should_stop(flat) and not _is_at_its_end(here, flat):
                here.stopped.add(trial.trial_id)
            epoch = int(flat.get("training_iteration") or 0)
            _tell(
                here,
                trials,
                trial,
                "running",
                result=flat,
                report=ReportTold(epoch=epoch, value=value, goes_on=not done),
            )

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:  # noqa: ARG002
        """Tell of a trial that has ended."""
        for here in _of_this_process:
            _tell(here, trials, trial, "stopped" if trial.trial_id in here.stopped else "completed")
            here.said[trial.trial_id] = Trial.TERMINATED

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:  # noqa: ARG002
        """Tell of a trial that has failed."""
        for here in _of_this_process:
            _tell(here, trials, trial, "failed")

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:  # noqa: ARG002 - Ray's signature
        """Look after what nobody calls for. Raises UserError for a trial that could never begin."""
        for here in _of_this_process:
            if here.stop.is_set():
                os.kill(os.getpid(), signal.SIGUSR1)  # Ray Tune saves the experiment then, and ends it
            if time.monotonic() - here.looked_at >= LOOK_SECONDS:
                here.looked_at = time.monotonic()
                _look(here, trials)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:  # noqa: ARG002 - Ray's signature
        """Tell of those that were ended with the experiment."""
        for here in _of_this_process:
            if not here.stop.is_set():
                _look(here, trials)

    def get_state(self) -> dict[str, Any] | None:
        """What the next attempt has to know."""
        for here in _of_this_process:
            return {name: getattr(here, name) for name in _KEPT}
        return None

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over what an attempt before has known."""
        for here in _of_this_process:
            for name in _KEPT:
                setattr(here, name, state[name])


def cannot_begin(bundles: Sequence[Mapping[str, float]], nodes: Sequence[Mapping[str, float]]) -> str | None:
    """Why a trial that asks for these resources could never begin on these nodes, in a sentence; none if it may. Pure.

    Without it Ray Tune would wait for ever.
    """
    names = {name for bundle in bundles for name, count in bundle.items() if count > 0}
    wanted = {name: sum(bundle.get(name, 0.0) for bundle in bundles) for name in sorted(names)}
    there = {name: sum(node.get(name, 0.0) for node in nodes) for name in wanted}
    fits = all(there[name] >= count for name, count in wanted.items()) and all(
        any(all(node.get(name, 0.0) >= count for name, count in bundle.items()) for node in nodes) for bundle in bundles
    )
    if fits:
        return None
    asked = ", ".join(f"{count:g} {name}" for name, count in wanted.items())
    have = ", ".join(f"{count:g} {name}" for name, count in there.items())
    return (
        f"a trial asks for {asked}, and the {len(nodes)} nodes of the workers have {have} together: Ray counts one CPU"
        " for each training process, so raise workers.replicas or workers.processes, or ask for less in"
        " ray.tune.with_resources"
    )


def _is_at_its_end(here: Telling, flat: Mapping[str, Any]) -> bool:
    """Whether a report is the last one that the scheduler lets any trial make."""
    count = number_of(flat.get(here.most[0])) if here.most is not None else None
    return here.most is not None and count is not None and count >= here.most[1]


def _look(here: Telling, trials: list[Trial]) -> None:
    for trial in trials:
        if trial.status == Trial.PENDING and trial.placement_group_factory not in here.asked:
            here.asked.add(trial.placement_group_factory)
            said = cannot_begin(trial.placement_group_factory.bundles, here.nodes)
            if said is not None and here.nodes:
                raise UserError(said)
        if here.said.get(trial.trial_id) == trial.status:
            continue
        if trial.status == Trial.TERMINATED:
            if trial.trial_id in here.said:  # nobody has called for its end: it was ended with the experiment
                here.stopped.add(trial.trial_id)
            _tell(here, trials, trial, "stopped" if trial.trial_id in here.stopped else "completed")
        elif trial.status == Trial.ERROR:
            _tell(here, trials, trial, "failed")
        elif trial.trial_id in here.said or (trial.last_result or {}).get("training_iteration"):
            _tell(here, trials, trial, _PLAIN_STATES[trial.status])


def _tell(
    here: Telling,
    trials: list[Trial],
    trial: Trial,
    state: State,
    *,
    result: Mapping[str, Any] | None = None,
    report: ReportTold | None = None,
) -> None:
    here.said[trial.trial_id] = trial.status
    last = result if result is not None else flatten_dict(trial.last_result or {})
    if state == "failed" and trial.trial_id not in here.failures:
        here.failures[trial.trial_id] = _failure(trial)
    cause, message = here.failures[trial.trial_id] if state == "failed" else (None, None)
    here.tell(
        TrialTold(
            number=_number(here, trials, trial),
            state=state,
            parameters=parameters_of(trial.config),
            value=here.values.get(trial.trial_id),
            epochs=int(last.get("training_iteration") or 0),
            seconds=number_of(last.get("time_total_s")) or 0.0,
            at=round(time.monotonic() - here.began, 3),
            cause=cause,
            message=message,
            reported=numbers_of(last, _NOT_REPORTED),
            report=report,
        )
    )


def _number(here: Telling, trials: list[Trial], trial: Trial) -> int:
    if trial.trial_id not in here.numbers:
        new: list[str] = []
        for one in reversed(trials):
            if one.trial_id in here.numbers:
                break
            new.append(one.trial_id)
        for name in reversed(new):
            here.numbers[name] = len(here.numbers) + 1
    number = here.numbers.setdefault(trial.trial_id, len(here.numbers) + 1)
    if number > MAX_TRIALS:
        raise UserError(f"the Tuner has begun more than {MAX_TRIALS} trials: lower num_samples")
    return number


def _failure(trial: Trial) -> tuple[str, str]:
    """Of a failed trial, the exception's type and a sentence."""
    error: BaseException | None = None
    with contextlib.suppress(OSError, pickle.UnpicklingError, AttributeError, ImportError, EOFError, TypeError):
        error = cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
    if isinstance(error, RayTaskError):
        error = error.cause
    if isinstance(error, RayActorError):
        return "Lost", "the process of the trial has ended unexpectedly, or its worker was lost"[:MOST_TEXT]
    if error is None:
        return "Error", _last_line(trial.error_file)[:MOST_TEXT] or "it has told no cause"
    return type(error).__name__[:MOST_NAME], describe(error)[:MOST_TEXT]


def _last_line(path: str | None) -> str:
    with contextlib.suppress(OSError, TypeError):
        lines: Iterable[str] = Path(path or "").read_text(errors="replace").splitlines()
        return next((line.strip() for line in reversed(list(lines)) if line.strip()), "")
    return ""
