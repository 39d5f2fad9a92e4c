"""A study: which trials there are, what is known of them, which one comes next and when there is no next one.

It does no I/O. Its state is the sequence of its events: each method that changes it gives the event, which the caller
logs before acting on it, and `Study.replayed` makes the same study of what was logged.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from headway_api import trials
from headway_api.tuning import Tuning
from headway_trainer.errors import UserError
from headway_trainer.tuning.events import Asked, Ended, Event, Generation, Repeated, Reported, Used, WarmStarted
from headway_trainer.tuning.limits import Limits
from headway_trainer.tuning.objectives import Goals
from headway_trainer.tuning.population import Population
from headway_trainer.tuning.repeats import judged, seed_of
from headway_trainer.tuning.schedulers import scheduler
from headway_trainer.tuning.schedulers.pbt import Pbt
from headway_trainer.tuning.search import searcher
from headway_trainer.tuning.space import Choices, Space
from headway_trainer.tuning.trial import Parameters, Trial

EPOCHS = "training.epochs"
"""The parameter that says how long a trial is."""


class Study:
    """The study of a job. For one thread at a time."""

    planned: int
    """How many trials there are where nothing ends the search early."""
    retrains: bool
    """Whether the run trains a model of its own in the end, and no trial's is kept."""

    def __init__(
        self,
        tuning: Tuning,
        *,
        metric: str,
        seed: int,
        epochs: int,
        clock: Callable[[], float] = time.monotonic,
        gpu_clock: Callable[[], float] = lambda: 0.0,
        most_reports: int | None = None,
    ) -> None:
        """A study without trials.

        metric: the name of what is made better. seed: the job's. epochs: of the job's training. clock: in seconds.
        gpu_clock: the GPU seconds that trials have taken in this attempt. most_reports: where trials run a function of
        the user's own, whose reports are its epochs, and of which nobody knows how many come: how many are judged.
        """
        self._tuning, self._epochs, self._clock, self._seed = tuning, epochs, clock, seed
        self._most_reports = most_reports
        self._goals = Goals.of(tuning, metric)
        self._sign = self._goals.signs[0]
        self._space = Space(tuning.parameters)
        self._searcher = searcher(tuning, self._space, seed)
        self._scheduler = scheduler(tuning.scheduler, _longest(self._space, epochs))
        self._population: Population | None = None
        if tuning.scheduler.name == "pbt":
            self._population = Population(Pbt(tuning.scheduler, self._space, seed), self._space, epochs)
        self._limits = Limits(tuning, metric)
        self._trials: dict[int, Trial] = {}
        self._running: dict[int, Trial] = {}
        self._best: Trial | None = None
        self._elapsed, self._since = 0.0, float("nan")
        self._gpu_clock, self._gpu_seconds = gpu_clock, 0.0
        self.planned = trials.planned(tuning)
        self.retrains = tuning.final == "retrain"

    @staticmethod
    def replayed(
        tuning: Tuning,
        *,
        metric: str,
        seed: int,
        epochs: int,
        events: Iterable[Event],
        clock: Callable[[], float] = time.monotonic,
        gpu_clock: Callable[[], float] = lambda: 0.0,
        most_reports: int | None = None,
    ) -> Study:
        """The study that these events happened in, as far as it had come. The others as of Study.

        What was logged holds: parameters and verdicts are taken from there, and not made again. Raises UserError where
        the events are not those of such a study.
        """
        study = Study(
            tuning,
            metric=metric,
            seed=seed,
            epochs=epochs,
            clock=clock,
            gpu_clock=gpu_clock,
            most_reports=most_reports,
        )
        for number, event in enumerate(events, 1):
            try:
                study._apply(event)
            except ValueError as error:
                raise UserError(
                    f"the log of the trials does not fit spec.tuning: event {number}: {error}; put tuning back to what "
                    "it was, or begin a new job under another name"
                ) from error
        return study

    def ask(self) -> Asked | None:
        """Begin the next trial; none where none may begin now, or at all (`over`)."""
        parameters = self.propose()
        return None if parameters is None else self.begin(parameters)

    def propose(self) -> Parameters | None:
        """The parameters of the next trial, for `begin`; none where none may begin now, or at all.

        That may take seconds. Reports may be taken in meanwhile, by another thread: nothing is learnt from them.
        """
        # Of a population all run, and wait for each other: how many are trained at once is not the study's to say.
        most = self._tuning.max_concurrent if self._population is None else None
        if self.over is not None or (most is not None and len(self._running) >= most):
            return None
        if not self._trials:
            self._since = self._clock()
        number = len(self._trials) + 1
        parameters = self._searcher.propose(number)
        if parameters is None:
            raise ValueError(f"there are no parameters for trial {number} of {self.planned}")
        return parameters

    def begin(self, parameters: Parameters) -> Asked | None:
        """Begin the trial that was proposed last; none where the search has ended since then."""
        if self.over is not None:
            return None
        trial = Trial(len(self._trials) + 1, parameters)
        self._begin(trial)
        return Asked(trial=trial.number, parameters=dict(parameters), at=self.elapsed)

    def repeat(self, *, to_end: bool = False) -> Repeated | None:
        """Begin the next training with another seed of a trial that is to be repeated; none where none waits.

        They come before new trials. to_end: also where the search is over, and it is to be ended at once.
        """
        if not to_end and (self.broken is not None or self.stop_running):
            return None
        for trial in self.running:
            if len(trial.repeats) < trial.awaits:
                number = len(trial.repeats) + 2
                seed = seed_of(self._seed, number)
                event = Repeated(trial=trial.number, repeat=number, seed=seed, at=self.elapsed)
                self._repeat(event)
                return event
        return None

    @property
    def may_repeat(self) -> bool:
        """Whether a trial that runs may still have repeats that have not begun."""
        return self._tuning.seeds > 1 and bool(self._running) and not self.stop_running and self.broken is None

    def judged_at(self, trial: int, repeat: int = 1) -> frozenset[int]:
        """The epochs after which a trial reports and is told whether it goes on; its last one is not among them.

        A repeat is not stopped by the scheduler: what it is for is its value beside those of the other seeds.
        """
        own = self._trials[trial].parameters.get(EPOCHS, self._epochs)
        epochs = own if isinstance(own, int) else self._epochs
        if self._most_reports is not None:
            epochs = self._most_reports + 1
        if self._limits.each_epoch:
            return frozenset(range(1, epochs))
        if repeat > 1:
            return frozenset()
        return self._scheduler.judged_at(trial, epochs)

    @property
    def until(self) -> int | None:
        """The epoch, counted from 1, after which trials wait for each other; none where they do not."""
        return None if self._population is None else self._population.until

    def waits(self, trial: int) -> bool:
        """Whether a running trial is not to be trained before the others have come as far."""
        return self._population is not None and self._population.has_come(self._its(trial))

    def generation(self) -> Generation | None:
        """What follows this generation of a population, to be taken in by `evolve` once its checkpoints are copied.

        None while some have yet to come to its end, where it is the last one, and where there is no population.
        """
        if self._population is None or (len(self._trials) < self.planned and self.over is None):
            return None
        found = self._population.next(self._running, self._sign)
        return None if found is None else found.model_copy(update={"at": self.elapsed})

    def evolve(self, generation: Generation) -> None:
        """Begin the next generation. Raises ValueError for one that does not follow this one."""
        if self._population is None:
            raise ValueError("trials take over from others, and scheduler.name is not pbt")
        self._population.take(generation, self._running)

    def report(self, trial: int, epoch: int, value: float | None, repeat: int = 1) -> Reported:
        """Take in the metric's value after an epoch that a running trial has finished.

        An epoch that it has reported before changes nothing: what was said of it holds. Raises ValueError for a trial
        that does not run.
        """
        running = self._its(trial, repeat)
        if epoch not in running.reports:
            verdict = self._take(running, epoch, _finite(value))
            goes_on = verdict and self._limit is None
            running.told_to_stop = running.told_to_stop or (None if goes_on else epoch)
        stopped = running.told_to_stop is not None and epoch >= running.told_to_stop
        told = running.reports[epoch]
        return Reported(trial=trial, repeat=repeat, epoch=epoch, value=told, goes_on=not stopped, at=self.elapsed)

    def end(self, ended: Ended) -> Ended:
        """Take in that a running trial has ended; the event to log. Raises ValueError for a trial that does not run."""
        event = ended.model_copy(update={"value": _finite(ended.value), "at": self.elapsed})
        event = event.model_copy(update={"repeats": self._repeats_of(event)})
        if event.value is not None and self._goals.missing(event.metrics) is None:
            event = event.model_copy(update={"violation": self._goals.violation(event.metrics)})
        self._end(event)
        return event

    @property
    def trials(self) -> Mapping[int, Trial]:
        """All trials by their numbers, in order."""
        return MappingProxyType(self._trials)

    @property
    def running(self) -> tuple[Trial, ...]:
        """The trials that have begun and not ended, in the order of their numbers; of those to be repeated, until all
        their trainings have ended."""
        return tuple(self._running[number] for number in sorted(self._running))

    @property
    def at_work(self) -> tuple[Trial, ...]:
        """What has begun and not ended: trials, and repeats of them."""
        return tuple(each for one in self.running for each in (one, *one.repeats) if each.ended is None)

    @property
    def best(self) -> Trial | None:
        """The best trial of those that have ended, of equal ones the earliest: by the metric, or by the objectives in
        their order; one that breaks constraints only where none keeps them. Where trials are repeated, of those whose
        repeats have all had their epochs, if there are such."""
        return self._best

    @property
    def goals(self) -> Goals:
        """What trials are compared by."""
        return self._goals

    @property
    def leader(self) -> tuple[Trial, float] | None:
        """The best trial so far, and its value: of a population, what those that run have reported counts, too. None as
        long as no trial keeps the constraints."""
        best = self._best if self._best is not None and self._keeps_constraints(self._best) else None
        there = self._trials.values() if self._population is not None else [best] if best is not None else []
        told = [(self._sign * value, one.number) for one in there if (value := one.reached(self._sign)) is not None]
        if not told:
            return None
        loss, number = min(told)
        return self._trials[number], self._sign * loss

    @property
    def elapsed(self) -> float:
        """Seconds since the first trial began, over all attempts, without the time between them."""
        return self._elapsed if math.isnan(self._since) else self._elapsed + self._clock() - self._since

    @property
    def gpu_seconds(self) -> float:
        """GPU seconds of all trials, over all attempts."""
        return self._gpu_seconds + self._gpu_clock()

    def used(self) -> Used | None:
        """How much GPU time was taken, to be logged; none where no budget is about it."""
        return Used(gpu_seconds=round(self.gpu_seconds, 3), at=self.elapsed) if self._limits.counts_gpus else None

    @property
    def over(self) -> str | None:
        """Why no further trial begins, in words; none while some may."""
        if len(self._trials) >= self.planned:
            return self.broken or self._limit or f"all {self.planned} trials have begun"
        return self.broken or self._limit

    @property
    def stop_running(self) -> bool:
        """Whether the trials that run are to be stopped, as a budget or stopWhen has ended the search."""
        return self._limit is not None

    @property
    def _limit(self) -> str | None:
        return self._limits.reached(self.elapsed, self.gpu_seconds)

    @property
    def broken(self) -> str | None:
        """Why the job ends without a model, in words: failures that repeat, or no trial with a value in the end."""
        if self._limits.broken or self._best or self._running or not self._trials:
            return self._limits.broken
        if len(self._trials) < self.planned and not self.stop_running:
            return None
        last = self._trials[len(self._trials)]
        why = f": {last.message}" if last.message else ""
        return f"no trial ended with a value of the metric; the last one, trial {last.number}, is {last.state}{why}"

    def _apply(self, event: Event) -> None:
        match event:
            case WarmStarted():
                self._learn(event)
            case Asked():
                self._begin_again(event)
            case Repeated():
                self._repeat(event)
            case Reported():
                trial = self._its(event.trial, event.repeat)
                if event.epoch not in trial.reports:
                    self._take(trial, event.epoch, event.value)
                    trial.told_to_stop = trial.told_to_stop or (None if event.goes_on else event.epoch)
            case Ended():
                self._end(event)
            case Generation():
                self.evolve(event)
            case Used():
                self._gpu_seconds = max(self._gpu_seconds, event.gpu_seconds)
        self._elapsed = max(self._elapsed, event.at)
        self._since = self._clock()

    def _its(self, number: int, repeat: int = 1) -> Trial:
        """A training that has begun and not ended. Raises ValueError where there is no such."""
        if number not in self._running:
            state = "has ended" if number in self._trials else "has not begun"
            raise ValueError(f"trial {number} {state}")
        trial = self._running[number]
        found = next((one for one in (trial, *trial.repeats) if one.repeat == repeat), None)
        if found is None or found.ended is not None:
            which = "" if repeat == 1 else f"repeat {repeat} of "
            raise ValueError(f"{which}trial {number} has {'not begun' if found is None else 'ended'}")
        return found

    def _begin_again(self, event: Asked) -> None:
        if event.trial != len(self._trials) + 1:
            raise ValueError(f"trial {event.trial} begins where trial {len(self._trials) + 1} is the next")
        if fault := self._space.fault(event.parameters):
            raise ValueError(f"of trial {event.trial}, {fault}")
        self._begin(Trial(event.trial, event.parameters), proposed=False)

    def _learn(self, event: WarmStarted) -> None:
        if self._trials:
            raise ValueError("earlier studies are learnt from after a trial has begun")
        for one in event.trials:
            if fault := self._space.fault(one.parameters):
                raise ValueError(f"of an earlier trial, {fault}")
        self._searcher.learn([(one.parameters, self._sign * one.value) for one in event.trials])

    def _repeat(self, event: Repeated) -> None:
        trial = self._running.get(event.trial)
        if trial is None or len(trial.repeats) >= trial.awaits or event.repeat != len(trial.repeats) + 2:
            raise ValueError(f"repeat {event.repeat} of trial {event.trial} begins, and is not awaited")
        trial.repeats.append(Trial(trial.number, trial.parameters, repeat=event.repeat))

    def _begin(self, trial: Trial, *, proposed: bool = True) -> None:
        if not proposed:
            self._searcher.add(trial)
        self._trials[trial.number] = self._running[trial.number] = trial

    def _take(self, trial: Trial, epoch: int, value: float | None) -> bool:
        """Take a report in; whether the scheduler lets the trial go on. What is no number never becomes one again."""
        trial.reports[epoch] = value
        self._limits.epochs_finished(max(0, epoch - trial.epochs))
        if self._tuning.seeds == 1:  # else it is judged by all its seeds
            self._limits.value_seen(trial.number, value)
        trial.epochs = max(trial.epochs, epoch)
        if trial.repeat > 1:
            return value is not None
        goes_on = self._scheduler.judge(trial.number, epoch, math.inf if value is None else self._sign * value)
        # Of a population, it takes over from another one.
        return goes_on and (value is not None or self._population is not None)

    def _repeats_of(self, event: Ended) -> int:
        """How many repeats follow on the end of a training."""
        its_own = event.repeat == 1 and event.state == "completed" and event.value is not None
        if self._tuning.seeds == 1 or not its_own or self.stop_running:
            return 0
        best = self._best.value if self._best is not None and self._best.whole else None
        promises = best is None or self._sign * (event.value or 0.0) < self._sign * best
        return self._tuning.seeds - 1 if promises else 0

    def _end(self, event: Ended) -> None:
        one, trial = self._its(event.trial, event.repeat), self._running[event.trial]
        if event.state != "failed" and event.value is not None and (fault := self._fault(event)):
            raise ValueError(f"of trial {event.trial}, {fault}")
        self._limits.epochs_finished(max(0, event.epochs - one.epochs))
        one.epochs, one.seconds, one.best_epoch = max(event.epochs, one.epochs), event.seconds, event.best_epoch
        one.ended = event
        if one is trial:
            trial.awaits = event.repeats
        else:
            one.state, one.value = event.state, event.value
        ends = [each.ended for each in trial.repeats if each.ended is not None]
        if len(ends) == trial.awaits and trial.ended is not None:
            self._judge(trial, trial.ended, ends)

    def _judge(self, trial: Trial, own: Ended, repeats: list[Ended]) -> None:
        """Take in that a trial has ended, with all its repeats."""
        del self._running[trial.number]
        told = judged(own, repeats)
        trial.state, trial.value, trial.deviation, trial.whole = told.state, told.value, told.deviation, told.whole
        trial.cause, trial.message = told.cause, told.message
        if trial.value is not None:
            trial.metrics, trial.outcome = own.metrics, self._goals.outcome(trial.value, own.metrics)
        self._searcher.tell(trial, None if trial.value is None else self._sign * trial.value)
        before = self._best
        if trial.outcome is not None and (before is None or _rank(trial) < _rank(before)):
            self._best = trial
        improved = self._best is trial and (before is None or _rank(trial)[0] < _rank(before)[0])
        self._limits.value_seen(trial.number, trial.value)
        self._limits.ended(trial, improved=improved)

    @staticmethod
    def _keeps_constraints(trial: Trial) -> bool:
        return trial.outcome is not None and trial.outcome.feasible

    def _fault(self, event: Ended) -> str | None:
        """Why a trial cannot have ended so, as the end of a sentence; none if it can."""
        missing = self._goals.missing(event.metrics)
        if missing is not None:
            return f"there is no value of {missing}"
        violation = self._goals.violation(event.metrics)
        if event.violation != violation:
            return f"constraints are violated by {event.violation:g} there, and by {violation:g} in the spec"
        return None


def _rank(trial: Trial) -> tuple[tuple[float, ...], int]:
    """The smaller, the better; of a trial that has ended with a value."""
    rank = trial.outcome.rank if trial.outcome is not None else (math.inf,)
    return (float(not trial.whole), *rank), trial.number


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _longest(space: Space, epochs: int) -> int:
    """The most epochs that a trial has."""
    for dimension in space.dimensions:
        if dimension.path == EPOCHS:
            values = dimension.values
            own = values.values if isinstance(values, Choices) else [int(values.high)]
            return max([epochs, *(one for one in own if isinstance(one, int))])
    return epochs
