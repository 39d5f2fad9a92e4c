"""What goes wrong, each with one sentence that says what to do about it."""

from __future__ import annotations

from headway_api.status import TrainingJobStatus
from headway_cli.cluster.errors import (
    ClusterError,
    ExistsError,
    HeadwayError,
    InputError,
    InvalidJobError,
    NotFoundError,
    RefusedError,
    TimedOutError,
    UnreachedError,
    UsageError,
)

__all__ = [
    "ClusterError",
    "ExistsError",
    "HeadwayError",
    "InputError",
    "InvalidJobError",
    "JobEndedError",
    "NotFoundError",
    "RefusedError",
    "TimedOutError",
    "UnreachedError",
    "UsageError",
]


class JobEndedError(HeadwayError):
    """A job has ended, and not as was waited for."""

    def __init__(self, message: str, status: TrainingJobStatus) -> None:
        super().__init__(message)
        self.status = status
        """How it has ended."""
