"""The trials of a run under way: which are at work, what is logged of them, and what of them stays.

Decided in docs/decisions/0088. What is tried next, and what is stopped, is the study's to say.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from headway_api.metrics import Better
from headway_api.training import Training
from headway_api.tuning import MAX_TRIALS, Tuning
from headway_trainer.data import DataInfo
from headway_trainer.data.prepared import CHILDREN
from headway_trainer.errors import OutOfMemory, UserError
from headway_trainer.outcome import Interrupted
from headway_trainer.process_resources import cores_short_of_trials, gpus_held
from headway_trainer.report.curves import points_each, thin
from headway_trainer.report.trial_records import TrialRecord, trial_records
from headway_trainer.run import Run
from headway_trainer.stages import own_trials
from headway_trainer.stages.retrain import rows_of_trials
from headway_trainer.stages.study_log import StudyLog
from headway_trainer.stages.trial_ends import described, newest_value, of_checkpoints, of_end, waits
from headway_trainer.stages.trial_folders import drop_ended, kept_of, tidy
from headway_trainer.stages.trial_folds import of_folds, train_folds
from headway_trainer.stages.trial_results import TrialResults
from headway_trainer.stages.trial_rows import Rows, TrialRows, train_on
from headway_trainer.stages.trial_specs import metric_of, scope_of, spec_of
from headway_trainer.stages.trial_steps import TrialSteps
from headway_trainer.stages.trial_tracking import tell_again, tell_begin, tell_end
from headway_trainer.stages.trial_values import values_of, with_values
from headway_trainer.stages.warm_start import warm_start
from headway_trainer.training.checkpoints.store import Checkpoints
from headway_trainer.training.checkpoints.take_over import go_on_from
from headway_trainer.training.link import Compared, Question, TrainEnd
from headway_trainer.tuning.events import EarlierSource, Ended, Generation, WarmStarted
from headway_trainer.tuning.gpu_time import GpuTime
from headway_trainer.tuning.importance import importances
from headway_trainer.tuning.repeats import seed_of
from headway_trainer.tuning.space import Space
from headway_trainer.tuning.status import status_of
from headway_trainer.tuning.study import Study
from headway_trainer.tuning.trial import Trial

_MOST_SHOWN = 1000
"""Characters of a trial's parameters in a line of the log."""
log = logging.getLogger("headway.tuning")


class Trials:
    """The trials of a run under way. Trials are worked on in threads; one at a time is at the study and its log."""

    def __init__(self, tuning: Tuning, run: Run, info: DataInfo | None) -> None:
        """info: of the run's own rows; none without data. Raises UserError for a log of another search, and
        StorageError."""
        self._tuning, self._run = tuning, run
        training, self._own, self._info = run.spec.training or Training(), own_trials.is_own(run.spec), info
        self._rows: TrialRows | None = None
        """None for a function of the user's own, which takes the run's as it likes."""
        if info is not None and not self._own:
            self._rows = TrialRows(run, *rows_of_trials(tuning, run, info))
        self._steps = TrialSteps(run, self._rows)
        self._folds = len(self._rows.own.folds) if self._rows is not None else 0
        """How many trainings each trial is; 0 where it has no folds."""
        run.reporter.trainings_each, run.reporter.trained_in_a_trial = max(1, self._folds), not self._folds
        self._log = StudyLog(run)
        self._gpu_time = GpuTime()
        events = self._log.read()
        if tuning.warm_start is not None and info is not None and not events:
            with run.reporter.alive_meanwhile():
                earlier = warm_start(tuning, metric_of(run.spec), run, info)
            run.fence()
            self._log.begin(earlier)
            events = [earlier]
        tell_again(run, events)
        ended = [one for one in trial_records(events) if one.state != "running"]
        self._results = TrialResults(tuning, run, ended)
        self._study = Study.replayed(
            tuning,
            metric=metric_of(run.spec),
            seed=run.spec.seed,
            epochs=training.epochs,
            most_reports=own_trials.MOST_REPORTS if self._own else None,
            events=events,
            gpu_clock=self._gpu_time.seconds,
        )
        self._changed = threading.Condition()
        self._proposing = threading.Lock()
        """Held, and taken before the other, while a trial is proposed, which takes `gp` a second, and while one ends:
        what is proposed depends on those that have ended. A trial that reports does not wait for that."""
        self._running: dict[str, tuple[Trial, Run]] = {}
        """The trials, and repeats of trials, that have begun in this attempt and have not ended, by their scopes."""
        self._seconds: defaultdict[str, float] = defaultdict(float)
        """For how long each trial has been trained in this attempt."""
        self._broken = False
        self._counts = Counter(one.state for one in self._study.trials.values())

    def run(self) -> Trial:
        """Run the trials; the best one. Raises UserError where there is none, Interrupted, and what ends a run."""
        study, workers = self._study, self._tuning.workers_per_trial
        short = cores_short_of_trials(self._run.spec.workers, self._tuning.trials_per_worker, self._run.around.cores)
        if short is not None:
            self._run.reporter.warn(short)
        tidy(self._run, study)
        self.tell()
        self._results.add_those_of_before()
        try:
            self._run.side_by_side(
                self._trials(),
                self._work,
                workers=workers,
                on_each=self._tuning.trials_per_worker,
                # Each that may run at once has a thread of the driver's.
                most=min(self._tuning.max_concurrent or MAX_TRIALS, study.planned * self._tuning.seeds),
                turn=self._keep_to_limits,
                stay=not self._own,  # there is nothing left to train, or to judge
            )
            if self._run.stop.is_set():
                raise Interrupted("stopped between two trials")
            self._end_waiting()
            self._results.finish()
        except Interrupted as error:
            self._log.append_use(study, at_once=True)
            ended = len(study.trials) - len(study.running)
            told = f"stopped when {ended} of {study.planned} trials had ended; the next attempt goes on with the others"
            raise Interrupted(told) from error
        finally:
            self._results.close()
        if study.best is None:
            raise UserError(study.broken or "no trial has a value of the metric")
        return study.best

    @property
    def metric(self) -> str:
        """What the best trial is the best by; of several objectives the first."""
        return self._study.goals.first

    @property
    def ended(self) -> str:
        """Why no further trial was begun."""
        return self._study.over or "all trials have ended"

    @property
    def gpu_hours(self) -> float | None:
        """What the trials have taken of them, over all attempts; none where no budget is about it."""
        used = self._study.used()
        return None if used is None else round(used.gpu_seconds / 3600, 6)

    def records(self) -> list[TrialRecord]:
        """All trials, as trials.jsonl tells of them. Raises StorageError."""
        return trial_records(self._log.read())

    def earlier(self) -> list[EarlierSource]:
        """The earlier studies that the searcher has learnt from. Raises StorageError."""
        return [one for event in self._log.read() if isinstance(event, WarmStarted) for one in event.sources]

    def importances(self) -> dict[str, float]:
        """How much each parameter matters, from 0 to 1; nothing where trials have changed theirs on their way."""
        if self._study.until is not None:
            return {}
        return importances(Space(self._tuning.parameters), self._study.trials.values())

    def _trials(self) -> Iterator[Run]:
        """Those that an attempt before has left running, and then new ones as long as there are some; of a population
        all of them, generation by generation."""
        while True:
            for trial in self._study.at_work:
                if not self._study.waits(trial.number) and not (self._study.until and self._is_ended()):
                    yield from self._begun(trial)
            while (begun := self._next()) is not None:
                yield from self._begun(begun)
            generation = self._next_generation()
            if generation is None:
                return
            self._evolve(generation)

    def _next(self) -> Trial | None:
        """The next one that begins: a repeat of a trial that is promising, or else a new trial."""
        while not (self._broken or self._run.stop.is_set()):
            if (begun := self._repeated() or self._asked()) is not None:
                return begun
            with self._changed:
                if not self._study.running or (self._study.over is not None and not self._study.may_repeat):
                    return None
                self._changed.wait(1.0)
        return None

    def _repeated(self) -> Trial | None:
        with self._changed:
            event = self._study.repeat()
            if event is None:
                return None
            self._log.append(self._study, event)
            return self._study.trials[event.trial].repeats[-1]

    def _asked(self) -> Trial | None:
        if self._study.over is not None:
            return None
        with self._proposing:
            parameters = self._study.propose()
            with self._changed:
                asked = None if parameters is None else self._study.begin(parameters)
                if asked is None:
                    return None
                self._log.append(self._study, asked)
                self._counts["running"] += 1
                self._tell()
                return self._study.trials[asked.trial]

    def _is_ended(self) -> bool:
        """Whether none of the trials that run is to be trained further."""
        return self._broken or self._run.stop.is_set() or self._study.broken is not None or self._study.stop_running

    def _next_generation(self) -> Generation | None:
        """What follows the running generation of a population, once all have come to its end; none after the last."""
        with self._changed:
            while self._study.until is not None and self._study.running and not self._is_ended():
                if (found := self._study.generation()) is not None:
                    return found
                self._changed.wait(1.0)
        return None

    def _evolve(self, generation: Generation) -> None:
        """Let trials take over from others. Nothing of the population is trained meanwhile."""
        attempt = self._run.file.attempt
        for move in generation.moves:
            self._run.fence()
            source = Checkpoints(self._run.store.child(CHILDREN, scope_of(move.source)), attempt)
            go_on_from(source, generation.epoch, self._run.store.child(CHILDREN, scope_of(move.trial)), attempt)
        with self._changed:
            self._study.evolve(generation)
            self._log.append(self._study, generation)
            self._tell()
        told = ", ".join(f"{scope_of(move.trial)} from {scope_of(move.source)}" for move in generation.moves)
        log.info("after epoch %d these take over: %s", generation.epoch, told or "none")

    def _begun(self, trial: Trial) -> Iterator[Run]:
        """The child of a trial, or of a repeat; none where its values go together in no spec, and it has failed."""
        number, repeat, scope = trial.number, trial.repeat, scope_of(trial.number, trial.repeat)
        parameters = self._study.trials[number].parameters
        values = ", ".join(f"{path} {value}" for path, value in parameters.items())
        log.info("%s begins: %s", scope, values if len(values) <= _MOST_SHOWN else f"{values[:_MOST_SHOWN]}…")
        tell_begin(self._run, number, repeat, parameters)
        try:
            spec = spec_of(self._run, parameters)
        except UserError as error:
            self._log_end(Ended(trial=number, repeat=repeat, state="failed", cause="UserError", message=str(error)))
            return
        spec = spec.model_copy(update={"seed": seed_of(self._run.spec.seed, repeat)})
        tuning = self._tuning
        child = self._run.child(scope, workers=tuning.workers_per_trial, on_each=tuning.trials_per_worker, spec=spec)
        at, until = self._study.judged_at(number, repeat), self._study.until
        if not self._folds:
            self._run.reporter.expect_one(child.scope, self._steps.planned(parameters))
            child.compared = Compared(at, partial(self._goes_on, trial), until)
        if self._own and child.compared is not None:
            metric = metric_of(self._run.spec)
            known = dict(trial.reports)
            better = self._tuning.better(metric)
            child.compared = replace(child.compared, metric=metric, better=better, values=known)
        with self._changed:
            self._running[child.scope] = trial, child
            if until is not None:
                self._tell()
        yield child

    def _goes_on(self, trial: Trial, question: Question) -> bool:
        """What the study says to a trial; it is logged before it is said."""
        with self._changed:
            known = question.epoch in trial.reports
            answer = self._study.report(trial.number, question.epoch, question.value, trial.repeat)
            if not known:
                self._log.append(self._study, answer)
                self._tell()
            return answer.goes_on

    def _work(self, child: Run) -> None:
        """Train one, and log how it ended, or how far it came of a generation."""
        trial, waiting = self._running[child.scope][0], False
        try:
            came_to = self._trained(trial, child)
            child.fence()
            if waiting := isinstance(came_to, Question):
                self._goes_on(trial, came_to)
            else:
                self._log_end(came_to)
        except BaseException:
            self._broken = True
            raise
        finally:
            with self._changed:
                self._running.pop(child.scope, None)
                if waiting:
                    self._run.reporter.waits(child.scope)
                    self._tell()
                elif not self._folds:
                    self._run.reporter.ended(child.scope)
                self._changed.notify_all()

    def _trained(self, trial: Trial, child: Run) -> Ended | Question:
        """How a trial ended; or its value where it waits for the others of its generation."""
        began = time.monotonic()
        ended = Ended(trial=trial.number, repeat=trial.repeat, state="failed")
        try:
            came_to = self._came_to(trial, child)
            if isinstance(came_to, Question):
                return came_to
            ended = came_to
        except (UserError, OutOfMemory) as error:
            ended = ended.model_copy(update={"cause": type(error).__name__, "message": str(error)})
        except Interrupted:
            if self._run.stop.is_set() or not self._study.stop_running:
                raise
            ended = (
                own_trials.stopped(trial, child)
                if self._own
                else self._with_values(trial, of_checkpoints(trial, *self._checkpoints(trial)))
            )
        finally:
            self._seconds[child.scope] += time.monotonic() - began
            child.steps.close()
        return ended.model_copy(update={"seconds": round(self._seconds[child.scope], 3)})

    def _came_to(self, trial: Trial, child: Run) -> Ended | Question:
        """As _trained, where nothing goes wrong."""
        gpus = gpus_held(child.spec.workers, child.around.gpus) / child.around.sharing.gpus
        held, metric = self._gpu_time.held(gpus), metric_of(self._run.spec)
        if self._rows is None:
            with held:
                return own_trials.trained(trial, child, self._info)
        # The rows are the trial's: another seed does not divide them anew.
        spec = child.spec.model_copy(update={"seed": self._run.spec.seed})
        with self._rows.of(spec) as rows, held:
            if rows.folds:
                return self._over_folds(trial.number, child, rows)
            end = train_on(rows, child)
        if waits(end, child):
            return Question(epoch=end.epochs_run, value=newest_value(end, metric))
        return self._with_values(trial, of_end(trial, metric, end), end)

    def _over_folds(self, number: int, child: Run, rows: Rows) -> Ended:
        """How a trial ended of which a model was trained for each fold."""
        steps = self._steps.planned(self._study.trials[number].parameters)
        ends = train_folds(
            child,
            rows.folds,
            rows.uri,
            lambda fold: self._run.reporter.expect_one(fold.scope, steps),
        )
        return of_folds(number, metric_of(self._run.spec), ends)

    def _end_waiting(self) -> None:
        """End the trials of a population that wait, and repeats that have not begun, where the search is over."""
        if not self._study.stop_running:
            return
        while (event := self._study.repeat(to_end=True)) is not None:
            self._log.append(self._study, event)
        for trial in self._study.at_work:
            self._run.fence()
            scope = scope_of(trial.number, trial.repeat)
            self._run.reporter.expect_one(scope, self._steps.planned(trial.parameters))
            self._run.reporter.ended(scope)
            ended = of_checkpoints(trial, *self._checkpoints(trial))
            self._log_end(ended.model_copy(update={"seconds": round(self._seconds[scope], 3)}))

    def _log_end(self, ended: Ended) -> None:
        """Log how a trial ended, and keep the best one's model alone. Raises UserError where trials fail for good."""
        curve = ended.curve or sorted(self._study.trials[ended.trial].reports.items())
        thinned = thin(curve, points_each(self._study.planned), ended.value) if ended.repeat == 1 else []
        with self._proposing, self._changed:
            before = self._study.best
            event = self._study.end(ended.model_copy(update={"curve": thinned}))
            self._log.append(self._study, event)
            state = self._study.trials[ended.trial].state
            if state != "running":
                self._counts.update({"running": -1, state: 1})
            self._tell()
            broken, kept = self._study.broken, kept_of(self._study)
        log.info("%s: %s", scope_of(ended.trial, ended.repeat), described(event))
        tell_end(self._run, event)
        if state != "running":
            self._results.add(self._study.trials[ended.trial], event, curve)
        drop_ended(self._run, ended, before, kept)
        self._keep_to_limits()
        if broken is not None:
            raise UserError(broken)

    def _tell(self) -> None:
        trained = [trial.number for trial, _ in list(self._running.values())]
        self._run.reporter.tuning(status_of(self._study, metric_of(self._run.spec), self._counts, trained))

    def tell(self) -> None:
        """Tell what attempts before have done: their steps count in this one, too."""
        self._steps.tell_of_ended(self._study)
        self._tell()

    def _checkpoints(self, trial: Trial) -> tuple[str, Better, Checkpoints]:
        """What chooses the checkpoint of a trial, its direction, and the trial's checkpoints."""
        metric, folder = (
            metric_of(self._run.spec),
            self._run.store.child(CHILDREN, scope_of(trial.number, trial.repeat)),
        )
        return metric, self._tuning.better(metric), Checkpoints(folder, self._run.file.attempt)

    def _with_values(self, trial: Trial, ended: Ended, end: TrainEnd | None = None) -> Ended:
        """With what several metrics are of the model that is kept of a trial. end: as it was judged."""
        goals = self._study.goals
        if ended.value is None or not goals.named:
            return ended
        return with_values(ended, goals, values_of(end, *self._checkpoints(trial)))

    def _keep_to_limits(self) -> None:
        """Stop the trials that run where the search is over."""
        with self._changed:
            self._log.append_use(self._study)
            if self._study.stop_running:
                for _, child in self._running.values():
                    child.stop.set()
