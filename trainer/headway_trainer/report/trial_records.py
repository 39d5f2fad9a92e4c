"""`trials.jsonl`: every trial of a search on a line, with all that its scheduler judged it by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import Field, JsonValue, ValidationError

from headway_api.base import StatusSection
from headway_trainer.errors import UserError
from headway_trainer.report.tuning_model import RepeatResult, ScheduledValues, TrialResult
from headway_trainer.storage import Store
from headway_trainer.tuning.events import Asked, Ended, Event, Generation, Move, Point, Repeated, Reported
from headway_trainer.tuning.repeats import judged, seed_of
from headway_trainer.tuning.trial import Trial

TRIALS_FILE = "trials.jsonl"


class TrialReport(StatusSection):
    """A value that a trial was judged by."""

    order: int
    """Which of all reports of the search it was, counted from 1: what others had reported by then is known by it."""
    epoch: int
    """Counted from 1."""
    value: float | None
    """Of the metric; null where it was no finite number."""
    goes_on: bool
    """Whether the next epoch began: what the scheduler said, and false once a budget or stopWhen ended the search."""
    at: float
    """When: in seconds since the first trial began, without the time between attempts."""


class TrialValues(StatusSection):
    """What a trial of a population (`pbt`) was trained with from an epoch on."""

    after_epoch: int
    """The epochs that were finished then."""
    source: int | None
    """The trial whose checkpoint it went on from; null where it began."""
    parameters: dict[str, JsonValue]
    """Its values, by path."""


class TrialRecord(TrialResult):
    """A line of trials.jsonl."""

    reports: list[TrialReport] = Field(default_factory=list)
    """By epoch; none where no scheduler judged it."""
    curve: list[Point] = Field(default_factory=list)
    """The metric over its epochs, once it has ended: epochs with the values after them. Of many epochs some, with six
    digits; none for what has no epochs."""
    lineage: list[TrialValues] = Field(default_factory=list)
    """Of a population, what it began with and each time that it took over from another trial, in order; empty for a
    trial whose values never changed."""
    began: float = 0.0
    """When it began: in seconds since the first trial began, without the time between attempts."""
    ended: float | None = None
    """When it ended, counted likewise; null for one that has not."""

    def result(self) -> TrialResult:
        """The trial without its reports."""
        return TrialResult.model_validate(self.model_dump(include=set(TrialResult.model_fields)))


def trial_records(events: Iterable[Event]) -> list[TrialRecord]:
    """The trials by number, from the log of what happened in the search. Pure.

    A trial that has not ended is `running`, with the epochs and the value of its newest report.
    """
    trials: dict[int, TrialRecord] = {}
    order = 0
    ends: defaultdict[int, list[Ended]] = defaultdict(list)
    for event in events:
        match event:
            case Asked(trial=number, parameters=parameters, at=at):
                trials[number] = TrialRecord(number=number, parameters=parameters, state="running", began=at)
            case Repeated(trial=number):
                begun = RepeatResult(repeat=event.repeat, seed=event.seed, state="running")
                repeats = [*trials[number].repeats, begun]
                trials[number] = trials[number].model_copy(update={"repeats": repeats})
            case Reported(trial=number) if event.repeat == 1:
                order += 1
                before = trials[number]
                told = event.model_dump(include={"epoch", "value", "goes_on", "at"})
                reports = [*before.reports, TrialReport(order=order, **told)]
                fields = {"reports": reports, "epochs": event.epoch, "value": event.value}
                trials[number] = before.model_copy(update=fields)
            case Generation(epoch=epoch, moves=moves):
                for move in moves:
                    trials[move.trial] = _moved(trials[move.trial], epoch, move)
            case Ended(trial=number):
                ends[number].append(event)
                trials[number] = _ended(trials[number], ends[number])
    return [trials[number] for number in sorted(trials)]


_OF_AN_END = set(TrialResult.model_fields) & set(Ended.model_fields) - {"repeats"}
_OF_A_REPEAT = set(RepeatResult.model_fields) & set(Ended.model_fields)


def _ended(trial: TrialRecord, ends: Sequence[Ended]) -> TrialRecord:
    """A trial once one more of its trainings has ended. ends: of all that have; the first is the trial's own."""
    own, *others = ends
    by_repeat = {one.repeat: one for one in others}
    fields: dict[str, Any] = own.model_dump(include=_OF_AN_END, by_alias=False)
    if own.repeats:
        fields |= {"own_value": own.value, "state": "running"}
        fields["repeats"] = [
            one.model_copy(update=by_repeat[one.repeat].model_dump(include=_OF_A_REPEAT, by_alias=False))
            if one.repeat in by_repeat
            else one
            for one in trial.repeats
        ]
    if len(others) == own.repeats:
        told = judged(own, others)
        fields |= {name: getattr(told, name) for name in ("state", "value", "deviation", "cause", "message")}
        fields["ended"] = ends[-1].at
    fields["curve"] = own.curve
    return trial.model_copy(update=fields)


def record_of(trial: Trial, seed: int) -> TrialRecord:
    """A trial that has ended with repeats. seed: the job's."""
    trainings = [one.ended for one in (trial, *trial.repeats) if one.ended is not None]
    repeats = [
        RepeatResult(repeat=one.repeat, seed=seed_of(seed, one.repeat), state="running") for one in trial.repeats
    ]
    begun = TrialRecord(number=trial.number, parameters=dict(trial.parameters), state="running", repeats=repeats)
    return _ended(begun, trainings)


def _moved(trial: TrialRecord, epoch: int, move: Move) -> TrialRecord:
    before = trial.lineage or [TrialValues(after_epoch=0, source=None, parameters=trial.parameters)]
    now = TrialValues(after_epoch=epoch, source=move.source, parameters=move.parameters)
    return trial.model_copy(update={"parameters": move.parameters, "lineage": [*before, now]})


def schedule_of(records: Sequence[TrialRecord], number: int) -> list[ScheduledValues]:
    """What the model of a trial was trained with, from its first epoch on: before it took over, its source's values.

    number: of the trial. Pure; empty for a trial that took over from none, nor did any that it comes from.
    """
    trials = {one.number: one for one in records}
    last, found = trials[number].epochs, list[ScheduledValues]()
    while True:
        one = trials[number]
        values = next((each for each in reversed(one.lineage) if each.after_epoch < last), None)
        first, parameters = (0, one.parameters) if values is None else (values.after_epoch, values.parameters)
        found.append(ScheduledValues(first=first + 1, last=last, trial=number, parameters=parameters))
        if values is None or values.source is None:
            return found[::-1] if len(found) > 1 else []
        number, last = values.source, first


def write_trials(store: Store, records: Sequence[TrialRecord]) -> None:
    """Write trials.jsonl into the run's folder. Raises StorageError."""
    store.write_pieces(TRIALS_FILE, lambda: _lines(records), last=True)


def read_trials(store: Store) -> list[TrialRecord]:
    """The trials of a finished run, by number.

    Raises NotFound where there is no trials.jsonl, UserError where a line of it cannot be read, and StorageError.
    """
    found = []
    for number, line in enumerate(store.read(TRIALS_FILE).removesuffix(b"\n").split(b"\n"), 1):
        try:
            found.append(TrialRecord.model_validate_json(line))
        except ValidationError as error:
            raise UserError(
                f"{store.child(TRIALS_FILE).uri}: line {number} is no trial that this version of Headway reads"
            ) from error
    return found


def _lines(records: Iterable[TrialRecord]) -> Iterator[bytes]:
    for one in records:
        yield one.model_dump_json().encode() + b"\n"
