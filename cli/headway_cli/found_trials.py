"""The trials of a run, finished or not, as they are in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

if TYPE_CHECKING:
    from headway_trainer.report.trial_records import TrialRecord
    from headway_trainer.report.tuning_model import TuningResult
    from headway_trainer.storage import Store


MOST_BYTES = 256 << 20
"""Of a run's trials: 100,000 of them take about as many."""


@dataclass(frozen=True)
class Found:
    """The trials of a run."""

    records: Sequence[TrialRecord]
    """By number, or, of a finished run, the best first and those without a value last."""
    result: TuningResult | None = None
    """What the run's result says of the search; none where it has not finished."""
    front: frozenset[int] = frozenset()
    """The numbers of the trials of the front; none where there are not several objectives, or the run goes on."""
    note: str | None = None
    """What to know of them."""

    @property
    def metrics(self) -> list[str]:
        """The metrics of objectives and constraints that trials have; none where one metric says it all."""
        return list(dict.fromkeys(name for one in self.records for name in one.metrics))

    @property
    def constrained(self) -> bool:
        """Whether trials had constraints to keep."""
        return any(one.violation for one in self.records) or bool(self.result is not None and self.result.constraints)


def find(folder: str, *more: str) -> Found:
    """The trials of the run in a folder, or at a URI. more: places where a run of it that goes on has its own files.

    Raises UserError where there are no trials, and StorageError.
    """
    from headway_trainer.errors import UserError
    from headway_trainer.report.trial_records import trial_records
    from headway_trainer.storage import Store
    from headway_trainer.tuning.log import EventLog

    for place in [*more, folder]:
        store = Store.open(place)
        _refuse_large(store)
        finished = _finished(store)
        try:
            records = trial_records(EventLog(store, 0).read())
        except UserError:
            if finished is None:
                raise
            records = []
        # The log has more where a search goes on after its end, as it was given more trials.
        if finished is not None and len(records) <= len(finished.records):
            return finished
        if records:
            return Found(records, note=f"The run in {store.uri} has not finished: these are its trials.")
    raise UserError(
        f"{folder} holds no trials: give the folder of a run whose job has spec.tuning, as headway run's --output "
        "or a job's folder on its storage"
    )


def _refuse_large(store: Store) -> None:
    """Raise UserError for more than trials take: whoever writes there is not to fill the memory of who reads it."""
    from headway_trainer.errors import NotFound, UserError
    from headway_trainer.report.trial_records import TRIALS_FILE
    from headway_trainer.tuning.log import FOLDER

    sizes = [size for _, size in store.walk(FOLDER)]
    with suppress(NotFound):  # the run goes on
        sizes.append(store.size(TRIALS_FILE))
    if sum(sizes) > MOST_BYTES:
        raise UserError(f"{store.uri} has {sum(sizes) >> 20:,} MiB of trials, and {MOST_BYTES >> 20} MiB are read")


def _finished(store: Store) -> Found | None:
    """The trials of a finished run; none where it has none, or has not finished.

    Raises UserError where its files are not what was written, and StorageError.
    """
    from headway_trainer.errors import NotFound, UserError
    from headway_trainer.publish import RESULT_FILE
    from headway_trainer.report.model import RunResult
    from headway_trainer.report.trial_records import read_trials
    from headway_trainer.report.trials import best_first, front_of

    try:
        records = read_trials(store)
        result = RunResult.model_validate_json(store.read(RESULT_FILE)).tuning
    except NotFound:
        return None
    except ValidationError as error:
        raise UserError(f"{store.child(RESULT_FILE).uri} is no result that this version of Headway reads") from error
    if result is None:
        return Found(records)
    ranked = best_first(records, result.better, result.objectives)
    there = {one.number for one in ranked}
    found = [*ranked, *(one for one in records if one.number not in there)]
    return Found(found, result, frozenset(front_of(records, result.objectives)))
