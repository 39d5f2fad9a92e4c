"""What the log of a study does not tell an attempt that goes on with it, also after its end: `tuning/study.json`."""

from __future__ import annotations

import contextlib

from pydantic import ValidationError

from headway_api.base import StatusSection
from headway_trainer.errors import NotFound
from headway_trainer.storage import Store
from headway_trainer.tuning.log import FOLDER

RECORD_FILE = f"{FOLDER}/study.json"


class StudyRecord(StatusSection):
    """`tuning/study.json`."""

    content_hash: str | None = None
    """Identifies the content of the rows that its trials learn from."""
    taken_over: int | None = None
    """The trial whose checkpoint the run's own is; none where it has none yet, or another one is being copied."""
    retraining: str | None = None
    """Identifies the final training that the run's own checkpoints are of (`tuning.final: retrain`); none for none."""


def read_study_record(store: Store) -> StudyRecord:
    """The record of a run's study; an empty one if there is none that can be read. Raises StorageError."""
    with contextlib.suppress(NotFound, ValidationError):
        return StudyRecord.model_validate_json(store.read(RECORD_FILE))
    return StudyRecord()


def write_study_record(store: Store, record: StudyRecord) -> None:
    """Leave the record for the next attempt. Raises StorageError."""
    store.write(RECORD_FILE, record.model_dump_json().encode())
