"""`trials/N/result.json`: what is known of one trial that has ended, beside trials.jsonl. Published as
docs/reference/trial.schema.json."""

from __future__ import annotations

import json

from pydantic import Field

from headway_api.metrics import Better
from headway_trainer.report.tuning_model import TrialResult
from headway_trainer.tuning.events import Point

TRIALS_FOLDER = "trials"
SCHEMA_ID = "https://headway.dev/schemas/trial.schema.json"


class TrialFile(TrialResult):
    """A trial that has ended."""

    job: str
    """The name of its job."""
    metric: str
    """What `values` are of, as `part/name`: what trials are compared by, and of several objectives the first one of the
    validation part."""
    better: Better
    """Whether smaller or larger values are."""
    values: list[Point] = Field(default_factory=list)
    """Epochs, counted from 1, each with the metric's value after it, or null; of more than 2000 epochs some. Empty for
    what is trained without epochs. Of a trial that an attempt before has ended and not written, as in trials.jsonl."""
    seed: int
    """As the job's: the same values train the same model."""
    workers: int
    """Its worker pods."""
    processes: int
    """Training processes of all of them."""
    attempt: int
    """The attempt of the job that wrote this."""


def file_of(number: int) -> str:
    """Where a trial's file is in the job's folder."""
    return f"{TRIALS_FOLDER}/{number}/result.json"


def trial_schema() -> str:
    """The JSON schema of a trial's `result.json`, as it is published."""
    schema = TrialFile.model_json_schema(by_alias=True, mode="serialization")
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, **schema}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
