"""`trials.jsonl`: every trial of a search on a line, with all that its scheduler judged it by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pydantic import Field, ValidationError

from headway_api.base import StatusSection
from headway_trainer.errors import UserError
from headway_trainer.report.model import TrialResult
from headway_trainer.storage import Store
from headway_trainer.tuning.events import Asked, Ended, Event, Reported

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
    """What the scheduler said."""


class TrialRecord(TrialResult):
    """A line of trials.jsonl."""

    reports: list[TrialReport] = Field(default_factory=list)
    """By epoch; none where no scheduler judged it."""

    def result(self) -> TrialResult:
        """The trial without its reports."""
        return TrialResult.model_validate(self.model_dump(exclude={"reports"}))


def trial_records(events: Iterable[Event]) -> list[TrialRecord]:
    """The trials by number, from the log of what happened in the search. Pure.

    A trial that has not ended is `running`, with the epochs and the value of its newest report.
    """
    trials: dict[int, TrialRecord] = {}
    order = 0
    for event in events:
        match event:
            case Asked(trial=number, parameters=parameters):
                trials[number] = TrialRecord(number=number, parameters=parameters, state="running")
            case Reported(trial=number, epoch=epoch, value=value, goes_on=goes_on):
                order += 1
                report = TrialReport(order=order, epoch=epoch, value=value, goes_on=goes_on)
                before = trials[number]
                fields = {"reports": [*before.reports, report], "epochs": epoch, "value": value}
                trials[number] = before.model_copy(update=fields)
            case Ended(trial=number):
                told = event.model_dump(exclude={"do", "trial"})
                trials[number] = trials[number].model_copy(update=told)
    return [trials[number] for number in sorted(trials)]


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
