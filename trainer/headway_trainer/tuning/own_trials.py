"""The trials of a user's own `ray.tune.Tuner`, as far as they have been told of: for the status, trials.jsonl and the
result. Pure."""

from __future__ import annotations

from collections import Counter

from headway_api.status import MAX_RUNNING_TRIALS, TuningStatus
from headway_api.tuning import MAX_TRIALS
from headway_trainer.report.curves import curves_of, points_each, thin
from headway_trainer.report.trial_records import TrialRecord, TrialReport
from headway_trainer.report.trials import best_first, bounded_result
from headway_trainer.report.tuning_model import TuningResult
from headway_trainer.tuning.own_messages import Plan, TrialTold
from headway_trainer.tuning.status import best_told, running_told

MOST_REPORTS = 200_000
"""Reports that are kept, of all trials together; of later ones the trial's sums alone."""


class OwnTrials:
    """The trials by number."""

    def __init__(self) -> None:
        self.plan = Plan()
        self.left_out = 0
        """Reports that were not kept."""
        self._trials: dict[int, TrialRecord] = {}
        self._waiting: set[int] = set()
        self._reported: dict[int, dict[str, float]] = {}
        self._reports = 0

    def take(self, told: TrialTold) -> None:
        """Take in what is told of a trial."""
        before = self._trials.get(told.number)
        reports = [] if before is None else before.reports
        if told.report is not None and self._reports < MOST_REPORTS:
            self._reports += 1
            report = TrialReport(order=self._reports, at=told.at, **told.report.model_dump())
            reports.append(report)
        elif told.report is not None:
            self.left_out += 1
        ended = told.state in {"completed", "stopped", "failed"}
        self._trials[told.number] = TrialRecord(
            number=told.number,
            parameters=told.parameters,
            state="running" if told.state == "waiting" else told.state,
            value=None if told.state == "failed" else told.value,
            epochs=told.epochs,
            seconds=round(told.seconds, 3),
            cause=told.cause,
            message=told.message,
            began=told.at if before is None else before.began,
            ended=told.at if ended else None,
        ).model_copy(update={"reports": reports})  # the same list: a copy for each report would be quadratic
        (self._waiting.add if told.state == "waiting" else self._waiting.discard)(told.number)
        self._reported[told.number] = told.reported

    @property
    def best(self) -> TrialRecord | None:
        """The trial with the best value; of equal ones the earlier. None where the Tuner names no metric."""
        return next(iter(best_first(self._trials.values(), self.plan.mode)), None) if self.plan.metric else None

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return sum(one.ended is not None for one in self._trials.values())

    def records(self) -> list[TrialRecord]:
        """All trials by number, those that have ended with the curves of their reports."""
        most = points_each(len(self._trials))
        return [_with_curve(self._trials[number], most) for number in sorted(self._trials)]

    def status(self) -> TuningStatus:
        """The trials in few words."""
        counts = Counter(one.state for one in self._trials.values())
        running = [one for one in self._trials.values() if one.state == "running" and one.number not in self._waiting]
        planned = self.plan.planned
        return TuningStatus(
            metric=self.plan.metric,
            planned=planned if planned is not None and planned <= MAX_TRIALS else None,
            running=len(running),
            waiting=counts["running"] - len(running),
            completed=counts["completed"],
            stopped=counts["stopped"],
            failed=counts["failed"],
            best=best_told(self.best),
            running_trials=[
                running_told(one.number, one.epochs, _newest(one)) for one in running[-MAX_RUNNING_TRIALS:]
            ],
        )

    def result(self) -> TuningResult:
        """What the result says of them."""
        best, records = self.best, self.records()
        number = None if best is None else best.number
        return bounded_result(
            [one.result() for one in records],
            metric=self.plan.metric,
            better=self.plan.mode,
            search=self.plan.search,
            scheduler=self.plan.scheduler,
            best=number,
            ended="Tuner.fit() has returned",
            curves=curves_of(records, number),
        ).model_copy(update={"reported": {} if best is None else self._reported[best.number]})


def _with_curve(one: TrialRecord, most: int) -> TrialRecord:
    points = [(report.epoch, report.value) for report in one.reports]
    curve = thin(points, most, one.value) if one.ended is not None else []
    return one.model_copy(update={"curve": curve})


def _newest(one: TrialRecord) -> float | None:
    return one.reports[-1].value if one.reports else one.value
