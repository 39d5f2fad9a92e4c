"""A search that goes on with more trials: which run before is of the same one, and how many trials have begun."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import click

from headway_api import trials
from headway_api.job import TrainingJob
from headway_api.wording import printable


def job_digest(job: TrainingJob) -> str:
    """Identifies what is trained: everything but what only a cluster looks at."""
    only_cluster = {"image", "head", "scheduling", "retry", "suspend", "active_deadline_seconds", "storage"}
    spec = job.spec.model_dump(mode="json", exclude={*only_cluster, "ttl_seconds_after_finished"})
    return hashlib.sha256(json.dumps([job.metadata.name, spec], sort_keys=True).encode()).hexdigest()


def search_digest(job: TrainingJob) -> str | None:
    """Identifies a search, whatever the number of its trials; none where there is none, or the number is a part of
    what it does."""
    if (tuning := job.spec.tuning) is None or trials.raisable(tuning) is None:
        return None
    spec = job.spec.model_copy(update={"tuning": tuning.model_copy(update={"trials": None})})
    return job_digest(job.model_copy(update={"spec": spec}))


def trials_begun(run: Path) -> int:
    """How many trials have begun in a run's own folder. Raises ClickException where its log cannot be read."""
    from headway_trainer.errors import StorageError, UserError
    from headway_trainer.storage import Store
    from headway_trainer.tuning.events import Asked
    from headway_trainer.tuning.log import EventLog

    try:
        return sum(isinstance(event, Asked) for event in EventLog(Store.open(str(run)), 0).read())
    except (UserError, StorageError) as error:
        raise click.ClickException(printable(str(error))) from error
