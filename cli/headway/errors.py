"""What goes wrong, each with one sentence that says what to do about it."""

from __future__ import annotations

from headway_api.deployment_status import ModelDeploymentStatus
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
    "RolloutError",
    "RunError",
    "TimedOutError",
    "UnreachedError",
    "UsageError",
]


def _message(error: Exception) -> str:
    """The text of an error whose arguments are all that makes it again in another process, which pickle needs."""
    return str(error.args[0])


class JobEndedError(HeadwayError):
    """A job has ended, and not as was waited for."""

    def __init__(self, message: str, status: TrainingJobStatus) -> None:
        super().__init__(message, status)
        self.status = status
        """How it has ended."""

    __str__ = _message


class RolloutError(HeadwayError):
    """A deployment will not come to what was waited for: a version was rejected, or the spec is invalid."""

    def __init__(self, message: str, status: ModelDeploymentStatus) -> None:
        super().__init__(message, status)
        self.status = status
        """How the deployment is."""

    __str__ = _message


class RunError(HeadwayError):
    """A run on this machine has left no result: by its own code or data, its gates, or the machine."""

    def __init__(self, message: str, exit_code: int, output: str) -> None:
        super().__init__(message, exit_code, output)
        self.exit_code = exit_code
        """Of `headway run`, as its page has it: 64 for what is wrong with data, code or job, 65 for gates, 130 after
        it was interrupted. Negative: the signal that has ended its process."""
        self.output = output
        """The end of what it has printed."""

    __str__ = _message
