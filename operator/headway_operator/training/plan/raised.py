"""`spec.tuning.trials`, raised once a job has begun: an attempt goes on to its end with as many as it was told of, and
the next one goes on with the same search, also after the job has succeeded."""

from __future__ import annotations

from headway_api import trials
from headway_api.job import TrainingJobSpec
from headway_api.status import Attempt, Cause
from headway_operator.training.plan.decision import Decision
from headway_operator.training.plan.model import Job

REASON_TRIALS_RAISED = "TrialsRaised"
"""Running=False for this reason, and of an Event: the job goes on with more trials."""
_GOES_ON: tuple[Cause | None, ...] = (None, "GateFailed")
"""The ends of an attempt that more trials follow: it has run all that it was told of."""


def told(spec: TrainingJobSpec | None, config: int = 0) -> int | None:
    """How many trials an attempt is told of; none where that number cannot be raised.

    config: as the objects of an attempt say that was begun with another spec, maybe; 0 if they say nothing.
    """
    most = trials.raisable(spec.tuning) if spec is not None else None
    return most if most is None or config <= 0 else config


def more(job: Job, attempt: Attempt | None) -> int | None:
    """How many trials there are to be, if that is more than an attempt was told of."""
    most = told(job.spec)
    if most is None or attempt is None or attempt.trials is None or most <= attempt.trials:
        return None
    return most


def goes_on(job: Job) -> bool:
    """Whether a job that has succeeded is to go on."""
    last = job.status.attempts[-1] if job.status.attempts else None
    return job.status.phase == "Succeeded" and more(job, last) is not None


def follows(job: Job, attempt: Attempt, cause: Cause | None) -> bool:
    """Whether further trials follow an attempt that ends so."""
    return cause in _GOES_ON and more(job, attempt) is not None


def announce(decision: Decision, attempt: Attempt) -> None:
    """Say that the job goes on after an attempt; what it has come to so far stays in its status."""
    text = (
        f"spec.tuning.trials is {told(decision.job.spec)} now, and attempt {attempt.number} was told of "
        f"{attempt.trials}: the next attempt goes on with the same search"
    )
    decision.status.phase = "Pending"
    decision.status.condition("Running", False, REASON_TRIALS_RAISED, text)
    decision.notice(REASON_TRIALS_RAISED, text)
